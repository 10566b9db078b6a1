"""Where Chainlit's own layers differ from the contract, and why.

Each entry becomes an expected failure. It is strict, except where chance decides: a
difference that Chainlit mends breaks these tests, so that this list stays true. Numbers are
issues of Chainlit/chainlit. Seen with Chainlit 2.12.0.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.official.difference import in_tasks
from tests.official.differences_in_steps import STEPS
from tests.official.differences_in_threads import THREADS

DIFFERENCES = STEPS + THREADS


def difference(
    test: Callable[..., Any], layer: str, parameters: str
) -> pytest.MarkDecorator | None:
    """Find the mark for a test.

    Args:
        test: The test.
        layer: One of `LAYERS`.
        parameters: The id of its other parameters.
    """
    for one in DIFFERENCES:
        if one.covers(test.__name__, layer, parameters):
            strict = one.sure and not in_tasks(test)
            return pytest.mark.xfail(reason=one.why, strict=strict, run=one.run)
    return None
