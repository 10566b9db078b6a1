"""Writes transcripts as Markdown, and describes the entries of any transcript in it.

Messages are Markdown themselves and stay it, but nothing in a message may reach beyond it: a
message is a block quote, which ends every fence, list and HTML block that was left open in it, and
inputs and outputs of tools are fenced by more backticks than they hold (CommonMark 0.31, 4.5 and
5.1). Everything else is escaped.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple
from urllib.parse import quote as quote_url
from urllib.parse import urlsplit

from ..._internal.timestamps import EPOCH, format_instant
from ..records import Record
from .conversation import (
    MESSAGE_TYPES,
    Conversation,
    Document,
    TranscriptEntry,
    message_text,
    thumb,
)

# Inside a word, an underscore has no meaning.
_SPECIAL = re.compile(r"([\\`*\[\]<>#~&$]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9]))")
_BACKTICKS = re.compile(r"`+")
_LINE_ENDS = re.compile(r"\r\n|\r|\n")
_INVISIBLE = re.compile(r"[\x00-\x20\x7f-\x9f\s]+")
_LANGUAGE = re.compile(r"[A-Za-z0-9_+.#-]{1,40}")
_LINK_SCHEMES = frozenset({"http", "https", "mailto"})  # Others could run something.
_URL_CHARACTERS = ":/?#[]@!$&'()*+,;=%-._~"  # RFC 3986, and the percent sign.


class Section(NamedTuple):
    """An entry as Markdown; its role is None for a step that is no message.

    Each of its blocks must be kept apart from what follows; notes list elements and feedback.
    """

    role: str | None
    heading: str
    blocks: Sequence[str]
    notes: str


class MarkdownExport(Document):
    """Writes conversations as Markdown, separated by rules."""

    _separator = ""

    async def add(self, conversation: Conversation) -> bool:
        """Write a conversation."""
        title, facts = escape(thread_title(conversation)), thread_facts(conversation)
        self._text(f"{self._separator}# {title}\n\n{facts}\n\n")
        self._separator = "---\n\n"
        async for entry in conversation.entries:
            section = describe(entry)
            if section.role is None:
                text = "\n\n".join((section.heading, *section.blocks))
                self._text(f"{quote(text, entry.depth)}\n\n")
            else:
                texts = "".join(f"{quote(block)}\n\n" for block in section.blocks)
                self._text(f"## {section.heading}\n\n{texts}")
            if section.notes:
                self._text(f"{quote(section.notes, entry.depth)}\n\n")
        return True


def thread_title(conversation: Conversation) -> str:
    """The name of a thread in one line, or a stand-in."""
    return one_line(conversation.thread.values["name"]) or "Untitled conversation"


def thread_facts(conversation: Conversation) -> str:
    """A list of what a transcript says about a thread."""
    values = conversation.thread.values
    user = values["userIdentifier"]
    if conversation.owner is not None:
        owner = conversation.owner.values
        name = one_line(owner["displayName"])
        user = f"{name} ({owner['identifier']})" if name else owner["identifier"]
    facts = (
        ("User", user),
        ("Started", format_time(values["createdAt"])),
        ("Last activity", format_time(values["updatedAt"])),
        ("Tags", ", ".join(map(str, values["tags"] or ()))),
        ("Id", values["id"]),
    )
    return "\n".join(f"- {label}: {escape(value)}" for label, value in facts if value)


def describe(entry: TranscriptEntry) -> Section:
    """Describe an entry of a transcript."""
    notes = "\n".join((*map(_element, entry.elements), *map(_feedback, entry.feedback)))
    step = entry.step
    if step is None:
        return Section("system", "Other files", (), notes)
    values = step.values
    author = escape(one_line(values["name"]) or str(values["type"]).replace("_", " "))
    time, error = format_time(values["createdAt"]), "error" if values["isError"] else None
    language = _language(values["language"])
    if values["type"] in MESSAGE_TYPES:
        text = message_text(step)
        blocks = [fence(text, language) if language else text] if text else []
        role = values["type"].removesuffix("_message")
        return Section(role, _joined(author, time, error), blocks, notes)
    name = f"**{escape(values['type']) or 'step'}** {author}"
    blocks = []
    if values["input"]:
        input_language = _language(values["showInput"]) or language
        blocks.append(f"Input:\n\n{fence(values['input'], input_language)}")
    if values["output"]:
        blocks.append(f"Output:\n\n{fence(values['output'], language)}")
    return Section(None, _joined(name, time, _duration(step), error), blocks, notes)


def one_line(text: Any) -> str:
    """A text without line ends and control characters."""
    return "" if text is None else _INVISIBLE.sub(" ", str(text)).strip()


def escape(text: Any) -> str:
    """A text in one line without any meaning in Markdown."""
    return _SPECIAL.sub(r"\\\1", one_line(text))


def fence(text: str, language: str = "") -> str:
    """A text in a code fence that it cannot close."""
    longest = max(map(len, _BACKTICKS.findall(text)), default=0)
    backticks = "`" * max(3, longest + 1)
    return f"{backticks}{language}\n{_LINE_ENDS.sub(chr(10), text)}\n{backticks}"


def quote(text: str, depth: int = 1) -> str:
    """Put each line of a text in block quotes, of a depth that may be 0."""
    prefix = "> " * depth
    lines = _LINE_ENDS.split(text)
    return "\n".join(prefix + line if line else prefix.rstrip() for line in lines)


def safe_link(url: Any) -> str | None:
    """A URL that may be followed: absolute, with a harmless scheme, odd characters quoted."""
    if not isinstance(url, str):
        return None
    try:
        scheme = urlsplit(url.strip()).scheme
    except ValueError:
        return None
    return quote_url(url.strip(), safe=_URL_CHARACTERS) if scheme in _LINK_SCHEMES else None


def format_time(value: datetime | None) -> str | None:
    """An instant to the second, such as ``2026-01-31 08:00:00 UTC``; None if it is not known."""
    if value is None or value == EPOCH:
        return None
    text = format_instant(value.replace(microsecond=0))
    return None if text is None else text.replace("T", " ").replace("Z", " UTC")


def _duration(step: Record) -> str | None:
    start, end = step.values["start"], step.values["end"]
    if start is None or end is None or end <= start:
        return None
    return f"{(end - start).total_seconds():,.1f} s"


def _language(value: Any) -> str:
    """A language that can stand behind a fence; else empty."""
    return value if isinstance(value, str) and _LANGUAGE.fullmatch(value) else ""


def _joined(*parts: str | None) -> str:
    return " · ".join(part for part in parts if part)


def _element(element: Record) -> str:
    values = element.values
    name, url = escape(values["name"] or "unnamed"), safe_link(values["url"])
    label = f"[{name}](<{url}>)" if url else name
    size = None if values["byteSize"] is None else f"{values['byteSize']:,} bytes"
    facts = (escape(values["type"]), escape(values["mime"]), size)
    return f"- Attached: {label} ({', '.join(fact for fact in facts if fact)})"


def _feedback(feedback: Record) -> str:
    comment = escape(feedback.values["comment"])
    return f"- Feedback: thumbs {thumb(feedback)}{f': {comment}' if comment else ''}"
