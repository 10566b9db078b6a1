"""Where Chainlit's own layers differ from the contract, and why.

Each entry becomes an expected failure. It is strict: a difference that Chainlit mends
breaks these tests, so that this list stays true. Numbers are issues of Chainlit/chainlit.
Seen with Chainlit 2.12.0.
"""

from __future__ import annotations

import pytest

from tests.official.differences_in_steps import STEPS
from tests.official.differences_in_threads import THREADS

DIFFERENCES = STEPS + THREADS


def difference(name: str, layer: str, parameters: str) -> pytest.MarkDecorator | None:
    """Find the mark for a test.

    Args:
        name: The test's name.
        layer: One of `LAYERS`.
        parameters: The id of its other parameters.
    """
    for one in DIFFERENCES:
        if one.covers(name, layer, parameters):
            return pytest.mark.xfail(reason=one.why, strict=one.sure, run=one.run)
    return None
