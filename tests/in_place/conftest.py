"""Frozen databases, and what they hold afterwards."""

from __future__ import annotations

import os

import pytest

from tests.frozen.load import *  # noqa: F403


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("CHAINLIT_", "DATABASE_URL")):
            monkeypatch.delenv(name)
