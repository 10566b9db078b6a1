"""Tests of the contract over Chainlit's own layers; see `differences`."""

from __future__ import annotations

from fnmatch import fnmatch
from importlib import import_module
from pathlib import Path

import pytest

from tests import contract
from tests.official.differences import DIFFERENCES

pytestmark = pytest.mark.full


def _is_ours(value: object) -> bool:
    marks = getattr(value, "pytestmark", [])
    return "ours" in {mark.name for mark in (marks if isinstance(marks, list) else [marks])}


def _is_shared(name: str, value: object) -> bool:
    """Whether a test or fixture of a contract module runs here too."""
    is_fixture = type(value).__name__ == "FixtureFunctionDefinition"
    return is_fixture or (name.startswith("test_") and callable(value) and not _is_ours(value))


for _path in sorted(Path(str(contract.__file__)).parent.glob("test_*.py")):
    _module = import_module(f"tests.contract.{_path.stem}")
    for _name, _value in vars(_module).items():
        if not _is_ours(_module) and _is_shared(_name, _value):
            assert _name not in globals() or globals()[_name] is _value, f"two tests named {_name}"
            globals()[_name] = _value


def test_each_difference_names_a_test() -> None:
    names = {name.partition("[")[0] for tests in DIFFERENCES.values() for name in tests}
    assert all(any(fnmatch(test, name) for test in globals()) for name in names)
