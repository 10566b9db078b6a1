"""Transcripts in Markdown: nothing in them reaches beyond its place."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from chainlit_sqla._internal.json import clean_text
from chainlit_sqla.transfer.exporting.markdown import escape, fence, one_line, quote

from .conftest import Exported
from .story import ANSWER, EVIL, OUTPUT, TITLE, Story

READER = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
texts = st.text(
    st.sampled_from("`~>#*_-+=|[](){}<>!&\\:/ \t\n\r1a.x\"'$\u2028") | st.characters(codec="utf-8"),
    max_size=60,
).map(clean_text)


def headings(document: str) -> list[tuple[str, str]]:
    """The headings of the document itself, not those in quotes or lists."""
    tokens = READER.parse(document)
    return [
        (token.tag, spoken(tokens[place + 1]))
        for place, token in enumerate(tokens)
        if token.type == "heading_open" and token.level == 0
    ]


def spoken(inline: Token) -> str:
    """What a line says; it must be nothing but text."""
    children = inline.children or []
    assert {child.type for child in children} <= {"text", "text_special"}, inline.content
    return "".join(child.content for child in children)


async def test_a_document_has_a_heading_for_each_conversation_and_message(
    exported: Exported, story: Story
) -> None:
    document = (await exported("markdown")).text
    found = headings(document)
    assert [text for tag, text in found if tag == "h1"] == [TITLE, "No answer", "Rome"]
    said = [text.split(" · ") for tag, text in found if tag == "h2"]
    assert [parts[0] for parts in said] == [
        "System",
        "alice@example.org",
        "Assistant",
        "Assistant",
        "Assistant",
        "Other files",
        "alice@example.org",
        "Assistant",
        "bob",
        "bob",
        "Assistant",
        "bob",
    ]
    assert said[1][1] == "2026-03-01 12:00:01 UTC"
    assert said[4][-1] == "error"


async def test_messages_steps_files_and_feedback_are_in_it(
    exported: Exported, story: Story
) -> None:
    document = (await exported("markdown", threads=[story.paris])).text
    assert quote(ANSWER) in document
    assert quote(EVIL) in document
    assert f"Output:\n\n`````json\n{OUTPUT}\n`````" in document
    assert "**tool** look_up · 2026-03-01 12:00:03 UTC · 1.5 s" in document
    assert "> **llm** in \\`ner\\` · 2026-03-01 12:00:04 UTC · 1.5 s · error" in document
    assert "> ## not a heading" in document
    assert (
        "- Attached: [chart\\](x).png](<https://example.org/a%20b>) (file, text/plain)" in document
    )
    assert "- Attached: odd (file, text/plain)" in document
    assert "javascript:alert(1)>" not in document
    assert document.count("- Feedback: thumbs up: great") == 1
    # The feedback for the run stands with its last answer that is no error.
    assert document.index("Anything else?") < document.index("great") < document.index("Timed out")
    assert "on_message" not in document


@given(texts)
def test_escaped_text_is_read_as_it_is(text: str) -> None:
    tokens = READER.parse(f"# x {escape(text)} x\n")
    assert [token.type for token in tokens] == ["heading_open", "inline", "heading_close"]
    assert spoken(tokens[1]) == f"x {one_line(text)} x"


@given(texts, st.integers(0, 3))
def test_what_is_fenced_stays_in_the_fence(text: str, depth: int) -> None:
    tokens = READER.parse(f"{quote(fence(text), depth)}\n\nafter\n")
    blocks = [token for token in tokens if token.type == "fence"]
    assert len(blocks) == 1
    lines = text.replace("\r\n", "\n").replace("\r", "\n")
    assert blocks[0].content == f"{lines}\n"
    assert [token.type for token in tokens[-3:]] == [
        "paragraph_open",
        "inline",
        "paragraph_close",
    ]
    assert tokens[-2].content == "after"


@given(texts)
def test_what_is_quoted_stays_in_the_quote(text: str) -> None:
    tokens = READER.parse(f"## before\n\n{quote(text)}\n\n## after\n")
    top = [token.type for token in tokens if token.level == 0]
    assert top == [
        "heading_open",
        "heading_close",
        "blockquote_open",
        "blockquote_close",
        "heading_open",
        "heading_close",
    ]
