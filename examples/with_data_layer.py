"""The same app with the data layer in it: `chainlit run examples/with_data_layer.py`."""

import chainlit as cl
from minimal_app import answer, log_in, resume, start  # noqa: F401 - registers the callbacks

from chainlit_sqla import SQLADataLayer


@cl.data_layer
def data_layer() -> SQLADataLayer:
    return SQLADataLayer()
