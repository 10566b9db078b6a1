"""Writes transcripts as one HTML page without scripts and without requests.

The page's Content Security Policy forbids both as well. Everything is rendered from the Markdown of
`markdown.describe` by markdown-it-py, which follows CommonMark: HTML becomes text, images become
links, and links lead only where `safe_link` allows.
"""

from __future__ import annotations

from functools import cache
from html import escape
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from .conversation import Conversation, Document, TranscriptEntry
from .markdown import describe, format_time, safe_link, thread_facts, thread_title

if TYPE_CHECKING:
    from markdown_it import MarkdownIt

MAX_RENDERED = 50_000
"""Characters of a message that is rendered; a longer one is shown as text, as some take long."""

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
_MAX_INDENT = 8
_MAX_NESTING = 20
_CONTAINERS = {"blockquote_open", "list_item_open"}


class HtmlExport(Document):
    """Writes conversations as a page."""

    _open = ""

    def begin(self, count: int) -> None:
        """Write the head of the page; a single conversation is unfolded."""
        self._open = " open" if count == 1 else ""
        style = files(__package__).joinpath("page.css").read_text(encoding="utf-8")
        heading = "" if count == 1 else f"<h1>{count:,} conversations</h1>\n"
        self._text(
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            '<meta name="color-scheme" content="light dark">\n'
            '<meta name="referrer" content="no-referrer">\n'
            f"<title>Conversations</title>\n<style>\n{style}</style>\n</head>\n<body>\n<main>\n"
            f"{heading}"
        )

    async def add(self, conversation: Conversation) -> bool:
        """Write a conversation."""
        title = escape(thread_title(conversation))
        started = format_time(conversation.thread.values["createdAt"]) or ""
        self._text(
            f'<details class="thread"{self._open}>\n'
            f"<summary><h2>{title}</h2> <small>{started}</small></summary>\n"
            f'<div class="facts">{_render(thread_facts(conversation))}</div>\n'
        )
        async for entry in conversation.entries:
            self._text(_section(entry))
        self._text("</details>\n")
        return True

    def end(self) -> None:
        """Write the end of the page."""
        self._text("</main>\n</body>\n</html>\n")


def _section(entry: TranscriptEntry) -> str:
    role, heading, blocks, notes = describe(entry)
    heading = _parser().renderInline(heading)
    notes = f'<div class="notes">{_render(notes)}</div>\n' if notes else ""
    if role is None:  # Its blocks are fenced, so they need no limit.
        texts = "".join(map(_render, blocks))
        depth = min(entry.depth, _MAX_INDENT)
        summary = f'<details class="step" style="--depth:{depth}"><summary>{heading}</summary>\n'
        return f"{summary}{texts}{notes}</details>\n"
    texts = "".join(f'<div class="text">{markdown_to_html(block)}</div>\n' for block in blocks)
    header = f'<section class="message {role}"><header>{heading}</header>\n'
    return f"{header}{texts}{notes}</section>\n"


def markdown_to_html(text: str) -> str:
    """Render a message as HTML that shows it and does nothing else."""
    if len(text) <= MAX_RENDERED:
        parser = _parser()
        env: dict[str, Any] = {}
        tokens = parser.parse(text, env)
        # The parser drops what is nested more deeply.
        if not any(t.type in _CONTAINERS and t.level >= _MAX_NESTING - 1 for t in tokens):
            html: str = parser.renderer.render(tokens, parser.options, env)
            return html
    return f'<pre class="plain">{escape(text)}</pre>\n'


def _render(text: str) -> str:
    html: str = _parser().render(text)
    return html


@cache
def _parser() -> MarkdownIt:
    from markdown_it import MarkdownIt  # Other commands start without this import.

    options = {"html": False, "breaks": True, "maxNesting": _MAX_NESTING}
    parser = MarkdownIt("commonmark", options)
    parser.enable(["table", "strikethrough"])
    parser.disable("image")  # Its text and its URL are a link then.
    parser.validateLink = lambda url: safe_link(url) is not None  # type: ignore[method-assign]
    return parser
