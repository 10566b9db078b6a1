"""Writes transcripts as one HTML page without scripts and without requests.

The page's Content Security Policy forbids both as well. Messages are rendered by markdown-it-py,
which rich depends on and which follows CommonMark: HTML in a message becomes text, images become
links, and links lead only where `formatting.safe_link` allows.
"""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping, Sequence
from functools import cache
from html import escape
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from ..records import Record
from . import formatting
from .conversation import Conversation, TranscriptEntry
from .formatting import safe_link
from .step_tree import MESSAGE_TYPES

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.renderer import RendererProtocol
    from markdown_it.rules_core import StateCore
    from markdown_it.token import Token
    from markdown_it.utils import OptionsDict

MAX_RENDERED = 50_000
"""Characters of a message that is rendered; a longer one is shown as text, as some take long."""

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
_LINK_REL = "noopener noreferrer nofollow"
_MAX_INDENT = 8
_MAX_NESTING = 20
_CONTAINERS = {"blockquote_open", "list_item_open"}


class HtmlExport(formatting.Transcript):
    """Writes conversations as a page."""

    suffix = ".html"
    _conversation_end = "</details>\n"
    _open = ""

    def begin(self, total: int) -> None:
        """Write the head of the page; a single conversation is unfolded."""
        self._open = " open" if total == 1 else ""
        style = files(__package__).joinpath("page.css").read_text(encoding="utf-8")
        heading = "" if total == 1 else f"<h1>{total:,} conversations</h1>\n"
        self._text(
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            '<meta name="color-scheme" content="light dark">\n'
            '<meta name="referrer" content="no-referrer">\n'
            f"<title>Conversations</title>\n<style>\n{style}</style>\n</head>\n<body>\n<main>\n"
            f"{heading}"
        )

    def end(self) -> None:
        """Write the end of the page."""
        self._text("</main>\n</body>\n</html>\n")

    def _heading(self, conversation: Conversation) -> Iterator[str]:
        facts = dict(formatting.thread_facts(conversation))
        yield f'<details class="thread"{self._open}>\n<summary>'
        yield f"<h2>{_text(formatting.thread_title(conversation.thread))}</h2>"
        yield _small(facts.pop("User", None), facts.pop("Started", None))
        yield '</summary>\n<dl class="facts">'
        yield from (f"<dt>{label}</dt><dd>{_text(value)}</dd>" for label, value in facts.items())
        yield "</dl>\n"

    def _entry(self, entry: TranscriptEntry) -> Iterator[str]:
        items = "".join((*map(_element, entry.elements), *map(_feedback, entry.feedback)))
        notes = f'<ul class="notes">{items}</ul>\n' if items else ""
        step = entry.step
        if step is None:
            yield f'<section class="message system"><header>Other files</header>{notes}</section>\n'
        elif step.values["type"] in MESSAGE_TYPES:
            yield from _message(step, notes)
        else:
            yield from _step(step, min(entry.depth, _MAX_INDENT), notes)


def _message(step: Record, notes: str) -> Iterator[str]:
    values = step.values
    yield f'<section class="message {values["type"].removesuffix("_message")}">'
    yield f"<header><strong>{_text(formatting.author(step))}</strong>"
    yield f"{_small(formatting.format_time(values['createdAt']))}{_error(step)}</header>\n"
    if text := formatting.message_text(step):
        is_code = formatting.language_name(values["language"])
        yield f'<div class="text">{_code(text) if is_code else markdown_to_html(text)}</div>\n'
    yield f"{notes}</section>\n"


def _step(step: Record, depth: int, notes: str) -> Iterator[str]:
    values = step.values
    times = formatting.format_time(values["createdAt"]), formatting.duration(step)
    yield f'<details class="step" style="--depth:{depth}"><summary>'
    yield f"<em>{_text(values['type'])}</em> <strong>{_text(formatting.author(step))}</strong>"
    yield f"{_small(*times)}{_error(step)}</summary>\n"
    for name in ("input", "output"):
        if values[name]:
            yield f"<h3>{name.title()}</h3>{_code(values[name])}\n"
    yield f"{notes}</details>\n"


def _element(element: Record) -> str:
    name, url = _text(element.values["name"] or "unnamed"), safe_link(element.values["url"])
    label = f'<a href="{escape(url)}" rel="{_LINK_REL}">{name}</a>' if url else name
    return (
        f"<li>Attached: {label} <small>({_text(formatting.describe_element(element))})</small></li>"
    )


def _feedback(feedback: Record) -> str:
    comment = _text(feedback.values["comment"])
    thumb = formatting.thumb(feedback)
    return f"<li>Feedback: thumbs {thumb}{f': {comment}' if comment else ''}</li>"


def _error(step: Record) -> str:
    return ' <span class="error">error</span>' if step.values["isError"] else ""


def _small(*parts: str | None) -> str:
    return "".join(f" <small>{_text(part)}</small>" for part in parts if part)


def _code(text: str) -> str:
    return f"<pre><code>{escape(text)}</code></pre>"


def _text(value: Any) -> str:
    return escape(formatting.one_line(value))


def markdown_to_html(text: str) -> str:
    r"""Render a message as HTML that shows it and does nothing else.

    Args:
        text: Markdown, or any other text.

    Example:
        >>> markdown_to_html("*hello* <b>")
        '<p><em>hello</em> &lt;b&gt;</p>\n'
    """
    if len(text) <= MAX_RENDERED:
        parser = _parser()
        env: dict[str, Any] = {}
        tokens = parser.parse(text, env)
        # The parser drops what is nested more deeply.
        if not any(t.type in _CONTAINERS and t.level >= _MAX_NESTING - 1 for t in tokens):
            html: str = parser.renderer.render(tokens, parser.options, env)
            return html
    return f'<pre class="plain">{escape(text)}</pre>\n'


@cache
def _parser() -> MarkdownIt:
    from markdown_it import MarkdownIt  # Other commands start without this import.

    options = {"html": False, "breaks": True, "maxNesting": _MAX_NESTING}
    parser = MarkdownIt("commonmark", options)
    parser.enable(["table", "strikethrough"])
    parser.validateLink = lambda url: safe_link(url) is not None  # type: ignore[method-assign]
    parser.core.ruler.push("demote_headings", _demote_headings)
    parser.add_render_rule("image", _image_as_link)
    return parser


def _demote_headings(state: StateCore) -> None:
    """Put the headings of a message below those of the page, and mark its links."""
    for token in state.tokens:
        if token.type in {"heading_open", "heading_close"}:
            token.tag = f"h{min(int(token.tag[1:]) + 3, 6)}"
        for child in token.children or ():
            if child.type == "link_open":
                child.attrSet("rel", _LINK_REL)


def _image_as_link(
    renderer: RendererProtocol,  # noqa: ARG001 - the signature of a render rule
    tokens: Sequence[Token],
    index: int,
    options: OptionsDict,  # noqa: ARG001
    env: MutableMapping[str, Any],  # noqa: ARG001
) -> str:
    token = tokens[index]
    name = escape(token.content or "image")
    url = safe_link(token.attrGet("src"))
    open_links = sum((t.type == "link_open") - (t.type == "link_close") for t in tokens[:index])
    if url is None or open_links:
        return f"<span>{name}</span>"
    return f'<a href="{escape(url)}" rel="{_LINK_REL}">{name}</a>'
