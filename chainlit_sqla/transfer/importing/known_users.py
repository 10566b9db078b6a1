"""Users of a source who are in the target already: what is replaced, and what differs.

As for the data layer, a user is the one with the identifier: the id is the database's. A
display name that the source has not replaces none (`deserialize.user_operation`); no more
does the moment of which it does not know when it was.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..records import EPOCH, Record


def carried(user: Record) -> tuple[str, ...]:
    """The columns that an import takes from a source to a user who is there.

    Args:
        user: As the source gives it.

    Example:
        >>> carried(Record.parse('{"kind": "user", "id": "1", "identifier": "me"}'))
        ('metadata',)
    """
    values = user.values
    names = [] if values["displayName"] is None else ["displayName"]
    names.append("metadata")
    return tuple(names if values["createdAt"] in (None, EPOCH) else [*names, "createdAt"])


def differing(user: Record, there: Mapping[str, Any]) -> tuple[str, ...]:
    """The columns that are not as the source has them.

    Args:
        user: As the source gives it.
        there: The values of the user with this identifier in the target.
    """
    return tuple(name for name in carried(user) if not _same(name, user.values[name], there[name]))


def _same(name: str, value: Any, there: Any) -> bool:
    """Whether values are the same on every database, by the rule for whole records."""
    empty: dict[str, Any] = {
        "id": "",
        "identifier": "",
        "displayName": None,
        "metadata": {},
        "createdAt": EPOCH,
    }
    ours, theirs = (Record("user", {**empty, name: one}) for one in (value, there))
    return ours.digest() == theirs.digest()
