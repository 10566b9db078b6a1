"""Tests of the contract over Chainlit's own layers; see `differences`."""

from __future__ import annotations

from fnmatch import fnmatch

import pytest

from tests.contract import (
    test_concurrency,
    test_context,
    test_deletion,
    test_element_sources,
    test_elements,
    test_favorites,
    test_feedback,
    test_placement,
    test_search,
    test_step_order,
    test_steps,
    test_thread_list,
    test_threads,
    test_users,
    test_values,
)
from tests.official.differences import DIFFERENCES

pytestmark = pytest.mark.full

MODULES = [
    test_concurrency,
    test_context,
    test_deletion,
    test_element_sources,
    test_elements,
    test_favorites,
    test_feedback,
    test_placement,
    test_search,
    test_step_order,
    test_steps,
    test_thread_list,
    test_threads,
    test_users,
    test_values,
]


def _shared(name: str, value: object) -> bool:
    """Whether a test or fixture of a contract module runs here too."""
    marks = {mark.name for mark in getattr(value, "pytestmark", [])}
    is_fixture = type(value).__name__ == "FixtureFunctionDefinition"
    return is_fixture or (name.startswith("test_") and callable(value) and "ours" not in marks)


for _module in MODULES:
    for _name, _value in vars(_module).items():
        if _shared(_name, _value):
            assert _name not in globals() or globals()[_name] is _value, f"two tests named {_name}"
            globals()[_name] = _value


def test_each_difference_names_a_test() -> None:
    names = {difference.test.partition("[")[0] for difference in DIFFERENCES}
    assert all(any(fnmatch(test, name) for test in globals()) for name in names)
