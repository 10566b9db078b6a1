"""What transcripts say about rows, in plain words; whoever uses them escapes them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import quote, urlsplit

from ..._internal.timestamps import format_instant
from ..records import EPOCH, Record
from .conversation import Conversation

LINKS = frozenset({"http", "https", "mailto"})
"""Schemes of URLs that become links: others could run something."""

_LANGUAGE = re.compile(r"[A-Za-z0-9_+.#-]{1,40}")
# Everything but what RFC 3986 allows in a URL, and the percent sign.
_SAFE = ":/?#[]@!$&'()*+,;=%-._~"
_INVISIBLE = re.compile(r"[\x00-\x20\x7f-\x9f\s]+")


def title(thread: Record) -> str:
    """The name of a thread in one line; of one without, a stand-in."""
    return one_line(thread.values["name"]) or "Untitled conversation"


def author(step: Record) -> str:
    """Who says or does it."""
    values = step.values
    return one_line(values["name"]) or str(values["type"]).replace("_", " ")


def owner(conversation: Conversation) -> str | None:
    """The user as people know them."""
    if conversation.owner is not None:
        values = conversation.owner.values
        shown = one_line(values["displayName"])
        return f"{shown} ({values['identifier']})" if shown else str(values["identifier"])
    identifier: str | None = conversation.thread.values["userIdentifier"]
    return identifier


def said(step: Record) -> str:
    """The text of a message; early releases of Chainlit kept it as the input."""
    return str(step.values["output"] or step.values["input"] or "")


def moment(value: datetime | None) -> str | None:
    """An instant for people, to the second.

    Example:
        >>> moment(datetime.fromisoformat("2026-01-31T08:00:00.5+00:00"))
        '2026-01-31 08:00:00 UTC'
    """
    if value is None or value == EPOCH:
        return None
    shown = format_instant(value.replace(microsecond=0))
    return None if shown is None else shown.replace("T", " ").replace("Z", " UTC")


def took(step: Record) -> str | None:
    """How long it took, where that is known."""
    start, end = step.values["start"], step.values["end"]
    if start is None or end is None or end <= start:
        return None
    return f"{(end - start).total_seconds():,.1f} s"


def language(value: Any) -> str:
    """A name of a language that can stand behind a fence or in a class, else nothing.

    Example:
        >>> language("python"), language("a b`")
        ('python', '')
    """
    return value if isinstance(value, str) and _LANGUAGE.fullmatch(value) else ""


def link(url: Any) -> str | None:
    """A URL that may be followed: absolute, of a scheme in `LINKS`, without odd characters.

    Example:
        >>> link("https://example.org/a b"), link("javascript:alert(1)")
        ('https://example.org/a%20b', None)
    """
    if not isinstance(url, str):
        return None
    try:
        scheme = urlsplit(url.strip()).scheme
    except ValueError:
        return None
    return quote(url.strip(), safe=_SAFE) if scheme in LINKS else None


def judgement(feedback: Record) -> str:
    """Up or down."""
    return "thumbs up" if feedback.values["value"] > 0 else "thumbs down"


def kind(element: Record) -> str:
    """What an element is: its type, its media type, its size."""
    values: Mapping[str, Any] = element.values
    parts = [one_line(values["type"]), one_line(values["mime"])]
    if values["byteSize"] is not None:
        parts.append(f"{values['byteSize']:,} bytes")
    return ", ".join(part for part in parts if part)


def one_line(text: Any) -> str:
    """A text without line ends and control characters."""
    return "" if text is None else _INVISIBLE.sub(" ", str(text)).strip()
