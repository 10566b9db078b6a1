"""What a test does when a server it needs cannot be had."""

from __future__ import annotations

import os
from importlib.util import find_spec
from typing import NoReturn

import pytest


def unavailable(what: str, how: str) -> NoReturn:
    """Skip the test loudly, or fail it where nothing may be skipped."""
    message = f"NOT TESTED: {what}; to run it: {how}"
    if os.environ.get("REQUIRE_ALL") == "1":
        pytest.fail(f"REQUIRE_ALL=1: {message}", pytrace=False)
    pytest.skip(message)


def missing_packages(*names: str) -> str:
    """Return which of some packages are not installed, as a clause, or an empty string."""

    def is_missing(name: str) -> bool:
        try:
            return find_spec(name) is None
        except ModuleNotFoundError:  # The package that contains it.
            return True

    missing = [name for name in names if is_missing(name)]
    return f"no {' and no '.join(missing)} installed" if missing else ""
