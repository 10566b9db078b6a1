"""Turns rows into the plain text of documents; each format escapes it by its own rules."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any
from urllib.parse import quote, urlsplit

from ..._internal.timestamps import format_instant
from ..records import EPOCH, Record
from .conversation import Conversation, TranscriptEntry

Write = Callable[[bytes], object]
"""Writes bytes to the output."""

_LINK_SCHEMES = frozenset({"http", "https", "mailto"})  # Others could run something.
_LANGUAGE = re.compile(r"[A-Za-z0-9_+.#-]{1,40}")
_URL_CHARACTERS = ":/?#[]@!$&'()*+,;=%-._~"  # RFC 3986, and the percent sign.
_INVISIBLE = re.compile(r"[\x00-\x20\x7f-\x9f\s]+")
_PORTABLE_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
_NOT_ALPHANUMERIC = re.compile(r"[\W_]+")
_MAX_TITLE_BYTES = 80  # With the rest of the name far below the 255 that file systems allow.


class Document(ABC):
    """A file of conversations that is written step by step.

    Args:
        write: Writes bytes to the output.

    Example:
        ``document.begin(1)``, ``await document.add(conversation)``, ``document.end()``
    """

    suffix: str
    """The suffix of its file names."""

    def __init__(self, write: Write) -> None:
        self._write = write
        self.parts = 0
        """The number of steps, or of messages, that were written."""

    def begin(self, total: int) -> None:  # noqa: B027 - most formats begin with nothing
        """Write what stands before all conversations.

        Args:
            total: The number of conversations that follow.
        """

    @abstractmethod
    async def add(self, conversation: Conversation) -> None:
        """Write a conversation."""

    def end(self) -> None:  # noqa: B027
        """Write what stands after all conversations."""


class Transcript(Document):
    """A human-readable document: a heading for each conversation, then its entries."""

    _conversation_end = ""

    async def add(self, conversation: Conversation) -> None:
        """Write a conversation."""
        self._text(self._heading(conversation))
        async for entry in conversation.entries:
            self._text(self._entry(entry))
            self.parts += entry.step is not None
        self._text(self._conversation_end)

    def _text(self, parts: Iterable[str]) -> None:
        if text := "".join(parts):
            # A text from Python may hold half a surrogate pair, which UTF-8 cannot encode.
            self._write(text.encode("utf-8", "replace"))

    @abstractmethod
    def _heading(self, conversation: Conversation) -> Iterable[str]: ...

    @abstractmethod
    def _entry(self, entry: TranscriptEntry) -> Iterable[str]: ...


def thread_title(thread: Record) -> str:
    """The name of a thread in one line, or a stand-in."""
    return one_line(thread.values["name"]) or "Untitled conversation"


def thread_facts(conversation: Conversation) -> list[tuple[str, str]]:
    """What a transcript says about a thread: labels and values."""
    values = conversation.thread.values
    facts = [
        ("User", owner_name(conversation)),
        ("Started", format_time(values["createdAt"])),
        ("Last activity", format_time(values["updatedAt"])),
        ("Tags", ", ".join(map(str, values["tags"] or ()))),
        ("Id", values["id"]),
    ]
    return [(label, value) for label, value in facts if value]


def owner_name(conversation: Conversation) -> str | None:
    """The display name and the identifier of a thread's user."""
    if conversation.owner is not None:
        values = conversation.owner.values
        name = one_line(values["displayName"])
        return f"{name} ({values['identifier']})" if name else str(values["identifier"])
    identifier: str | None = conversation.thread.values["userIdentifier"]
    return identifier


def author(step: Record) -> str:
    """The name of a step, or its type."""
    return one_line(step.values["name"]) or str(step.values["type"]).replace("_", " ")


def message_text(step: Record) -> str:
    """The text of a message; early releases of Chainlit stored it as the input."""
    return str(step.values["output"] or step.values["input"] or "")


def format_time(value: datetime | None) -> str | None:
    """An instant to the second; None where it is not known.

    Example:
        >>> format_time(datetime.fromisoformat("2026-01-31T08:00:00.5+00:00"))
        '2026-01-31 08:00:00 UTC'
    """
    if value is None or value == EPOCH:
        return None
    text = format_instant(value.replace(microsecond=0))
    return None if text is None else text.replace("T", " ").replace("Z", " UTC")


def duration(step: Record) -> str | None:
    """How long a step took; None where it is not known."""
    start, end = step.values["start"], step.values["end"]
    if start is None or end is None or end <= start:
        return None
    return f"{(end - start).total_seconds():,.1f} s"


def language_name(value: Any) -> str:
    """A language that can stand behind a fence or in a class; else empty.

    Example:
        >>> language_name("python"), language_name("a b`")
        ('python', '')
    """
    return value if isinstance(value, str) and _LANGUAGE.fullmatch(value) else ""


def safe_link(url: Any) -> str | None:
    """A URL that may be followed: absolute, with a harmless scheme, odd characters quoted.

    Example:
        >>> safe_link("https://example.org/a b"), safe_link("javascript:alert(1)")
        ('https://example.org/a%20b', None)
    """
    if not isinstance(url, str):
        return None
    try:
        scheme = urlsplit(url.strip()).scheme
    except ValueError:
        return None
    return quote(url.strip(), safe=_URL_CHARACTERS) if scheme in _LINK_SCHEMES else None


def thumb(feedback: Record) -> str:
    """``up`` or ``down``."""
    return "up" if feedback.values["value"] > 0 else "down"


def describe_element(element: Record) -> str:
    """The type, media type and size of an element."""
    values = element.values
    parts = [one_line(values["type"]), one_line(values["mime"])]
    if values["byteSize"] is not None:
        parts.append(f"{values['byteSize']:,} bytes")
    return ", ".join(part for part in parts if part)


def one_line(text: Any) -> str:
    """A text without line ends and control characters."""
    return "" if text is None else _INVISIBLE.sub(" ", str(text)).strip()


def file_name(thread: Record, suffix: str) -> str:
    """A file name of day, title and id that every file system accepts; unique for each thread.

    Args:
        thread: The thread's row.
        suffix: The end of the name.

    Example:
        >>> file_name(thread, ".md")
        '2026-01-31-weather-in-paris-0b0e6c2e-8f0c-4b0e-9d52-6a1f7f3c1f10.md'
    """
    day = thread.values["createdAt"].date().isoformat()
    normal = unicodedata.normalize("NFKC", thread_title(thread)).lower()
    title = _NOT_ALPHANUMERIC.sub("-", normal).encode()[:_MAX_TITLE_BYTES].decode(errors="ignore")
    id: str = thread.values["id"]
    if not _PORTABLE_ID.fullmatch(id):  # Ids may differ in their letter case only.
        id = hashlib.sha256(id.encode()).hexdigest()[:32]
    return f"{day}-{title.strip('-') or 'conversation'}-{id}{suffix}"
