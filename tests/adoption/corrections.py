"""Where Chainlit's layer reads something else after the way there and back: each a reason."""

from __future__ import annotations

from copy import deepcopy

from tests.frozen import conversations as said
from tests.frozen.catalog import CATALOG
from tests.frozen.comparable import Conversations, Row


def given_back(name: str, expected: Conversations, found: Conversations) -> Conversations:
    """What is expected instead of what Chainlit's layer read before.

    Args:
        name: The frozen database.
        expected: What Chainlit's own layer read from it.
        found: What it reads now.
    """
    expected = deepcopy(expected)
    for thread in expected["threads"].values():
        # Ours always has a time: that of the first step, or of the thread.
        _fill(thread, _first(thread))
        for step in (one for ones in thread["steps"].values() for one in ones):
            _fill(step, thread["createdAt"])
    if name.endswith("_duplicates"):
        # One row for each id, one account for each name: the others stay in quarantine.
        for rows in expected["users"].values():
            del rows[1:]
        # Of two steps with one id one is left: that which stands first in the table.
        left = found["threads"][said.thread_id(2)]["steps"][said.step_id(2, 1)]
        rows = expected["threads"][said.thread_id(2)]["steps"][said.step_id(2, 1)]
        rows[:] = [one for one in rows if left == [one]]
    assert CATALOG[name].kind in ("chainlit", "wild")
    return expected


def _fill(row: Row, made: str | None) -> None:
    if row["createdAt"] is None:
        row["createdAt"] = made


def _first(thread: Row) -> str | None:
    made = [one["createdAt"] for ones in thread["steps"].values() for one in ones]
    return min((at for at in made if at is not None), default="1970-01-01T00:00:00.000000+00:00")
