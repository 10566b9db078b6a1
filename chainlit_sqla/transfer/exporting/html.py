"""`HtmlExport`: transcripts as one page that needs nothing else.

No scripts, no requests: the page forbids them to itself as well (Content Security Policy), so
whatever a message holds is only shown.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from html import escape as _escape
from importlib.resources import files
from typing import Any

from ..records import Record
from . import formatting as words
from .conversation import Conversation, Entry
from .markdown_to_html import rendered
from .step_tree import MESSAGES
from .transcript import Transcript

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
_DEEPEST = 8


class HtmlExport(Transcript):
    """Writes conversations as a page."""

    suffix = ".html"
    _open = True

    def _opening(self, total: int) -> Iterator[str]:
        self._open = total == 1
        style = files(__package__).joinpath("page.css").read_text(encoding="utf-8")
        yield '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        yield f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        yield '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        yield '<meta name="color-scheme" content="light dark">\n'
        yield '<meta name="referrer" content="no-referrer">\n'
        yield f"<title>Conversations</title>\n<style>\n{style}</style>\n</head>\n<body>\n<main>\n"
        if total != 1:
            yield f"<h1>{total:,} conversations</h1>\n"

    def _head(self, conversation: Conversation) -> Iterator[str]:
        thread = conversation.thread
        started = words.moment(thread.values["createdAt"])
        yield f'<details class="thread"{" open" if self._open else ""}>\n<summary>'
        yield f"<h2>{_text(words.title(thread))}</h2>"
        yield _spans(words.owner(conversation), started)
        yield '</summary>\n<dl class="facts">'
        facts = [
            ("Last activity", words.moment(thread.values["updatedAt"])),
            ("Tags", ", ".join(map(str, thread.values["tags"] or ()))),
            ("Id", thread.values["id"]),
        ]
        yield from (f"<dt>{name}</dt><dd>{_text(value)}</dd>" for name, value in facts if value)
        yield "</dl>\n"

    def _entry(self, entry: Entry) -> Iterator[str]:
        notes = "".join((*map(_element, entry.elements), *map(_feedback, entry.feedback)))
        shown = f'<ul class="notes">{notes}</ul>\n' if notes else ""
        step = entry.step
        if step is None:
            yield f'<section class="message system"><header>Other files</header>{shown}</section>\n'
        elif step.values["type"] in MESSAGES:
            yield from _message(step, shown)
        else:
            yield from _step(step, min(entry.depth, _DEEPEST), shown)

    def _foot(self) -> Iterable[str]:
        return ("</details>\n",)

    def _closing(self) -> Iterable[str]:
        return ("</main>\n</body>\n</html>\n",)


def _message(step: Record, notes: str) -> Iterator[str]:
    values = step.values
    yield f'<section class="message {values["type"].removesuffix("_message")}">'
    yield f"<header><strong>{_text(words.author(step))}</strong>"
    yield _spans(words.moment(values["createdAt"]))
    yield f"{_mark(step)}</header>\n"
    if text := words.said(step):
        html = _block(text) if words.language(values["language"]) else rendered(text)
        yield f'<div class="text">{html}</div>\n'
    yield f"{notes}</section>\n"


def _step(step: Record, depth: int, notes: str) -> Iterator[str]:
    values = step.values
    yield f'<details class="step" style="--depth:{depth}"><summary>'
    yield f"<em>{_text(values['type'])}</em> <strong>{_text(words.author(step))}</strong>"
    yield f"{_spans(words.moment(values['createdAt']), words.took(step))}{_mark(step)}</summary>\n"
    for name in ("input", "output"):
        if values[name]:
            yield f"<h3>{name.title()}</h3>{_block(values[name])}\n"
    yield f"{notes}</details>\n"


def _element(element: Record) -> str:
    name, url = _text(element.values["name"] or "unnamed"), words.link(element.values["url"])
    if url:
        name = f'<a href="{_escape(url)}" rel="noopener noreferrer nofollow">{name}</a>'
    return f"<li>Attached: {name} <small>({_text(words.kind(element))})</small></li>"


def _feedback(feedback: Record) -> str:
    comment = words.one_line(feedback.values["comment"])
    behind = f": {_escape(comment)}" if comment else ""
    return f"<li>Feedback: {words.judgement(feedback)}{behind}</li>"


def _mark(step: Record) -> str:
    return ' <span class="error">error</span>' if step.values["isError"] else ""


def _spans(*parts: str | None) -> str:
    return "".join(f" <small>{_text(part)}</small>" for part in parts if part)


def _block(text: str) -> str:
    return f"<pre><code>{_escape(text)}</code></pre>"


def _text(value: Any) -> str:
    return _escape(words.one_line(value))
