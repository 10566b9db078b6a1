"""Writes transcripts as Markdown.

Messages are Markdown themselves and stay it, but nothing in a message may reach beyond it: a
message is a block quote, which ends every fence, list and HTML block that was left open in it, and
inputs and outputs of tools are fenced by more backticks than they hold (CommonMark 0.31, 4.5 and
5.1). Everything else is escaped.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from ..records import Record
from . import formatting
from .conversation import Conversation, TranscriptEntry
from .formatting import one_line
from .step_tree import MESSAGE_TYPES

# Inside a word, an underscore has no meaning.
_SPECIAL = re.compile(r"([\\`*\[\]<>#~&$]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9]))")
_BACKTICKS = re.compile(r"`+")
_LINE_ENDS = re.compile(r"\r\n|\r|\n")


class MarkdownExport(formatting.Transcript):
    """Writes conversations as Markdown, separated by rules."""

    suffix = ".md"
    _separator = ""

    def _heading(self, conversation: Conversation) -> Iterator[str]:
        yield self._separator
        self._separator = "---\n\n"
        yield f"# {escape(formatting.thread_title(conversation.thread))}\n\n"
        facts = formatting.thread_facts(conversation)
        yield from (f"- {label}: {escape(value)}\n" for label, value in facts)
        yield "\n"

    def _entry(self, entry: TranscriptEntry) -> Iterator[str]:
        if entry.step is None:
            yield "## Other files\n\n"
        elif entry.step.values["type"] in MESSAGE_TYPES:
            yield from _message(entry.step)
        else:
            yield quote("\n\n".join(_step(entry.step)), entry.depth) + "\n\n"
        notes = "\n".join((*map(_element, entry.elements), *map(_feedback, entry.feedback)))
        if notes:
            yield quote(notes, entry.depth) + "\n\n"


def escape(text: str) -> str:
    r"""A text in one line without any meaning in Markdown.

    Example:
        >>> escape("# a <b> *c*")
        '\\# a \\<b\\> \\*c\\*'
    """
    return _SPECIAL.sub(r"\\\1", one_line(text))


def fence(text: str, language: str = "") -> str:
    r"""A text in a code fence that it cannot close.

    Example:
        >>> print(fence("a\n```"))
        ````
        a
        ```
        ````
    """
    longest = max(map(len, _BACKTICKS.findall(text)), default=0)
    backticks = "`" * max(3, longest + 1)
    return f"{backticks}{language}\n{_LINE_ENDS.sub(chr(10), text)}\n{backticks}"


def quote(text: str, depth: int = 1) -> str:
    """Put each line of a text in a block quote.

    Args:
        text: Markdown.
        depth: The number of nested quotes; may be 0.
    """
    prefix = "> " * depth
    lines = _LINE_ENDS.split(text)
    return "\n".join(prefix + line if line else prefix.rstrip() for line in lines)


def _message(step: Record) -> Iterator[str]:
    values = step.values
    parts = [formatting.author(step), formatting.format_time(values["createdAt"]), _error(step)]
    yield f"## {' · '.join(escape(part) for part in parts if part)}\n\n"
    if text := formatting.message_text(step):
        language = formatting.language_name(values["language"])
        yield f"{quote(fence(text, language) if language else text)}\n\n"


def _step(step: Record) -> Iterator[str]:
    values = step.values
    heading = f"**{escape(values['type']) or 'step'}** {escape(formatting.author(step))}"
    parts = [formatting.format_time(values["createdAt"]), formatting.duration(step), _error(step)]
    yield " · ".join([heading, *(escape(part) for part in parts if part)])
    language = formatting.language_name(values["language"])
    input_language = formatting.language_name(values["showInput"]) or language
    if values["input"]:
        yield f"Input:\n\n{fence(values['input'], input_language)}"
    if values["output"]:
        yield f"Output:\n\n{fence(values['output'], language)}"


def _error(step: Record) -> str | None:
    return "error" if step.values["isError"] else None


def _element(element: Record) -> str:
    name = escape(element.values["name"] or "unnamed")
    url = formatting.safe_link(element.values["url"])
    label = f"[{name}](<{url}>)" if url else name
    return f"- Attached: {label} ({escape(formatting.describe_element(element))})"


def _feedback(feedback: Record) -> str:
    comment = escape(feedback.values["comment"] or "")
    return f"- Feedback: thumbs {formatting.thumb(feedback)}{f': {comment}' if comment else ''}"
