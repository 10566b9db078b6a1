"""`rendered`: Markdown of a message as HTML that does nothing but show it.

Markdown-it-py renders it: rich, which the command line needs anyway, brings it along, and it
keeps to CommonMark. HTML in a message is text, images are links (a page must ask nobody for
anything), and links lead only where `words.link` allows.
"""

from __future__ import annotations

from collections.abc import MutableMapping, Sequence
from functools import cache
from html import escape
from typing import TYPE_CHECKING, Any

from . import formatting as words

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.renderer import RendererProtocol
    from markdown_it.rules_core import StateCore
    from markdown_it.token import Token
    from markdown_it.utils import OptionsDict

LONGEST = 50_000
"""Characters: longer texts are shown as they are, since some take long to render."""
_LOWEST = 6
_NESTING = 20
_DEEPEST = _NESTING - 1
_CONTAINERS = {"blockquote_open", "list_item_open"}


def rendered(text: str) -> str:
    r"""HTML of a message.

    Args:
        text: Markdown, or anything.

    Example:
        >>> rendered("*hello* <b>")
        '<p><em>hello</em> &lt;b&gt;</p>\n'
    """
    if len(text) > LONGEST:
        return _plain(text)
    parser = _parser()
    env: dict[str, Any] = {}
    tokens = parser.parse(text, env)
    if any(t.type in _CONTAINERS and t.level >= _DEEPEST for t in tokens):
        return _plain(text)  # What lies deeper is not in it.
    html: str = parser.renderer.render(tokens, parser.options, env)
    return html


def _plain(text: str) -> str:
    return f'<pre class="plain">{escape(text)}</pre>\n'


@cache
def _parser() -> MarkdownIt:
    from markdown_it import MarkdownIt  # Other commands start without it.

    parser = MarkdownIt("commonmark", {"html": False, "breaks": True, "maxNesting": _NESTING})
    parser.enable(["table", "strikethrough"])
    parser.validateLink = lambda url: words.link(url) is not None  # type: ignore[method-assign]
    parser.core.ruler.push("below_our_headings", _lower)
    parser.add_render_rule("image", _image)
    return parser


def _lower(state: StateCore) -> None:
    """Headings of a message stand below those of the page; links tell nobody of it."""
    for token in state.tokens:
        if token.type in {"heading_open", "heading_close"}:
            token.tag = f"h{min(int(token.tag[1:]) + 3, _LOWEST)}"
        for child in token.children or ():
            if child.type == "link_open":
                child.attrSet("rel", "noopener noreferrer nofollow")


def _image(
    renderer: RendererProtocol,  # noqa: ARG001 - as the rule is called
    tokens: Sequence[Token],
    index: int,
    options: OptionsDict,  # noqa: ARG001
    env: MutableMapping[str, Any],  # noqa: ARG001
) -> str:
    token = tokens[index]
    name = escape(token.content or "image")
    url = words.link(token.attrGet("src"))
    depth = sum((t.type == "link_open") - (t.type == "link_close") for t in tokens[:index])
    if url is None or depth:
        return f"<span>{name}</span>"
    return f'<a href="{escape(url)}" rel="noopener noreferrer nofollow">{name}</a>'
