"""Limits of what clients and apps send, checked before any work is done for it.

The size of a row is checked where it enters the write queue, which measures it anyway.
"""

from __future__ import annotations

from .._internal.json import clean_text
from ..errors import InvalidSearch, TooLarge

_UNKNOWN_ID = 2_000
"""Characters of an id that is not stored, whatever the database is."""


def known_id(id: str) -> str:
    """Return an id for a query; one that is too long to be stored is cut, and still is."""
    return clean_text(id[:_UNKNOWN_ID] if isinstance(id, str) else id)


def check_comment(comment: str | None, most: int) -> None:
    """Refuse a comment of feedback that is too long."""
    _check(TooLarge, "The comment", comment, most)


def thread_name(name: str | None, most: int, *, cut: bool) -> str | None:
    """Refuse a name that is too long, or cut it in the session of a browser.

    Chainlit names a thread by its first message, which is stored whole.
    """
    if cut and isinstance(name, str):
        return name[:most]
    _check(TooLarge, "The name of a thread", name, most)
    return name


def search_text(search: str | None, most: int) -> str:
    """Return the text to search for, refuse one that is too long."""
    _check(InvalidSearch, "The search text", search, most)
    return clean_text(search or "")


def _check(kind: type[TooLarge | InvalidSearch], what: str, text: str | None, most: int) -> None:
    if isinstance(text, str) and len(text) > most:
        raise kind(
            f"{what} has {len(text):,} characters, {most:,} at most are accepted; shorten it, or "
            "raise CHAINLIT_SQLA_MAX_SHORT_TEXT"
        )
