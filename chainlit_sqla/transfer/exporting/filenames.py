"""`file_name`: a name for the file of a conversation that every file system takes."""

from __future__ import annotations

import hashlib
import re
import unicodedata

from ..records import Record
from . import formatting as words

_PLAIN_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
_NO_LETTER = re.compile(r"[\W_]+")
_LONGEST = 80
"""Bytes of the title: with the rest, far below the 255 that file systems allow."""


def file_name(thread: Record, suffix: str) -> str:
    """Name a file by day, title and id: no two conversations have the same.

    Args:
        thread: Its row.
        suffix: Of the name.

    Example:
        >>> file_name(thread, ".md")
        '2026-01-31-weather-in-paris-0b0e6c2e-8f0c-4b0e-9d52-6a1f7f3c1f10.md'
    """
    day = thread.values["createdAt"].date().isoformat()
    title = _NO_LETTER.sub("-", unicodedata.normalize("NFKC", words.title(thread)).lower())
    short = title.encode()[:_LONGEST].decode(errors="ignore").strip("-") or "conversation"
    id: str = thread.values["id"]
    if not _PLAIN_ID.fullmatch(id):  # Also where two differ in case only.
        id = hashlib.sha256(id.encode()).hexdigest()[:32]
    return f"{day}-{short}-{id}{suffix}"
