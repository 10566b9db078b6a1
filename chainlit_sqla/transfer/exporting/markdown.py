"""`MarkdownExport`: transcripts in Markdown.

What was said is Markdown itself, and is shown as such; but nothing in it may reach beyond its
place. So a message is a block quote, which ends every fence, list and HTML block that was left
open in it, and what tools took and gave is fenced by more backticks than it holds
(CommonMark 0.31, 4.5 and 5.1). Everything else is escaped.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from ..records import Record
from . import formatting as words
from .conversation import Conversation, Entry
from .step_tree import MESSAGES
from .transcript import Transcript

# Within a word an underscore means nothing.
_SPECIAL = re.compile(r"([\\`*\[\]<>#~&$]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9]))")
_TICKS = re.compile(r"`+")
# What a reader of Markdown takes for the end of a line.
_ENDS = re.compile(r"\r\n|\r|\n")


class MarkdownExport(Transcript):
    """Writes conversations as Markdown, one below the other."""

    suffix = ".md"
    _begun = False

    def _opening(self, total: int) -> Iterable[str]:  # noqa: ARG002 - they need no number
        return ()

    def _head(self, conversation: Conversation) -> Iterator[str]:
        if self._begun:
            yield "---\n\n"
        self._begun = True
        yield from _head(conversation)

    def _entry(self, entry: Entry) -> Iterator[str]:
        if entry.step is None:
            yield "## Other files\n\n"
        elif entry.step.values["type"] in MESSAGES:
            yield from _message(entry.step)
        else:
            yield quoted("\n\n".join(_step(entry.step)), entry.depth) + "\n\n"
        notes = "\n".join((*map(_element, entry.elements), *map(_feedback, entry.feedback)))
        if notes:
            yield quoted(notes, entry.depth) + "\n\n"

    def _foot(self) -> Iterable[str]:
        return ()

    def _closing(self) -> Iterable[str]:
        return ()


def escape(text: str) -> str:
    r"""A text in one line that is nothing but text in Markdown.

    Example:
        >>> escape("# a <b> *c*")
        '\\# a \\<b\\> \\*c\\*'
    """
    return _SPECIAL.sub(r"\\\1", words.one_line(text))


def fenced(text: str, language: str = "") -> str:
    r"""A text as it is, in a fence that it cannot close.

    Example:
        >>> print(fenced("a\n```"))
        ````
        a
        ```
        ````
    """
    longest = max((len(run) for run in _TICKS.findall(text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{_ENDS.sub(chr(10), text)}\n{fence}"


def quoted(text: str, depth: int = 1) -> str:
    """Each line of a text in a block quote.

    Args:
        text: Markdown.
        depth: How many quotes, one in the other; may be 0.
    """
    mark = "> " * depth
    return "\n".join(mark + line if line else mark.rstrip() for line in _ENDS.split(text))


def _head(conversation: Conversation) -> Iterator[str]:
    thread = conversation.thread
    yield f"# {escape(words.title(thread))}\n\n"
    lines = [
        ("User", words.owner(conversation)),
        ("Started", words.moment(thread.values["createdAt"])),
        ("Last activity", words.moment(thread.values["updatedAt"])),
        ("Tags", ", ".join(map(str, thread.values["tags"] or ()))),
        ("Id", thread.values["id"]),
    ]
    yield from (f"- {name}: {escape(value)}\n" for name, value in lines if value)
    yield "\n"


def _message(step: Record) -> Iterator[str]:
    values = step.values
    parts = [words.author(step), words.moment(values["createdAt"]), _mark(step)]
    yield f"## {' · '.join(escape(part) for part in parts if part)}\n\n"
    if text := words.said(step):
        language = words.language(values["language"])
        yield f"{quoted(fenced(text, language) if language else text)}\n\n"


def _step(step: Record) -> Iterator[str]:
    values = step.values
    name = f"**{escape(words.one_line(values['type']) or 'step')}** {escape(words.author(step))}"
    parts = [words.moment(values["createdAt"]), words.took(step), _mark(step)]
    yield " · ".join([name, *(escape(part) for part in parts if part)])
    language = words.language(values["language"])
    shown = values["showInput"]
    if values["input"]:
        yield f"Input:\n\n{fenced(values['input'], words.language(shown) or language)}"
    if values["output"]:
        yield f"Output:\n\n{fenced(values['output'], language)}"


def _mark(step: Record) -> str | None:
    return "error" if step.values["isError"] else None


def _element(element: Record) -> str:
    name = escape(element.values["name"] or "unnamed")
    url = words.link(element.values["url"])
    shown = f"[{name}](<{url}>)" if url else name
    return f"- Attached: {shown} ({escape(words.kind(element))})"


def _feedback(feedback: Record) -> str:
    comment = words.one_line(feedback.values["comment"])
    behind = f": {escape(comment)}" if comment else ""
    return f"- Feedback: {words.judgement(feedback)}{behind}"
