"""The frozen databases, and a context in which Chainlit's own layers can be called."""

from __future__ import annotations

from tests.frozen.load import *  # noqa: F403
