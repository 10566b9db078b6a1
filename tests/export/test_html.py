"""A page that shows what was said and does nothing else."""

from __future__ import annotations

import shutil
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from playwright.async_api import async_playwright

from chainlit_sqla._internal.json import clean_text
from chainlit_sqla.transfer.exporting.html import MAX_RENDERED, markdown_to_html
from chainlit_sqla.transfer.exporting.markdown import safe_link
from tests.servers.require import unavailable

from .conftest import Exported
from .story import OUTPUT, TITLE, Story

VOID = {"meta", "br", "hr"}
# Tags and their members that only show something.
QUIET = VOID | {"a", "blockquote", "body", "code", "dd", "details", "div", "dl", "dt", "em", "h1"}
QUIET |= {"h2", "h3", "h4", "h5", "h6", "head", "header", "html", "li", "main", "ol", "p", "pre"}
QUIET |= {"s", "section", "small", "span", "strong", "style", "summary", "table", "tbody", "td"}
QUIET |= {"th", "thead", "title", "tr", "ul"}
MEMBERS = {"class", "style", "href", "rel", "open", "lang", "charset", "name", "content", "start"}
MEMBERS |= {"http-equiv", "title"}

NASTY = ["<script>", "</script>", "</div></details>", "<img src=x onerror=a>", "](javascript:a)"]
NASTY += ["[", "![i](http://a/b)", "[l](http://a)", "[r](x.html)", "&lt;", '"', "'", "<!--", "`"]
NASTY += ["#", ">", "-", "*", "~~", "|a|b|\n|-|-|\n", "<http://a>", "<javascript:a>", "<style>"]
NASTY += ["[d](data:text/html,x)", "[v](vbscript:x)", "[u](JaVaScRiPt:a)", "[n](//a)", "&#106;"]
NASTY += ["[![i](http://a)](http://b)", "\n", "\n\n", "```\n", " ", "    "]
markup = st.lists(st.sampled_from(NASTY) | st.text(max_size=5), max_size=20).map(
    lambda parts: clean_text("".join(parts))
)


class Page(HTMLParser):
    """Takes a page apart; refuses what could do something."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.text = ""
        self.links: list[str] = []
        self.tags: list[str] = []
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert self._open == [], "a tag is open at the end"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in QUIET, f"<{tag}>"
        for name, value in attrs:
            assert name in MEMBERS, f"{name}={value}"
            if name == "href":
                assert urlsplit(value or "").scheme in {"http", "https", "mailto"}
                self.links.append(value or "")
        self.tags.append(tag)
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


async def test_everything_is_on_the_page_as_text(exported: Exported, story: Story) -> None:
    html = (await exported("html")).text
    page = Page(html)
    assert TITLE in page.text
    assert '<img src=x onerror="alert(1)">' in page.text
    assert "[click](javascript:alert(1))" in page.text
    assert OUTPUT in page.text
    assert "Feedback: thumbs up: great" in page.text
    assert "useless *really*" in page.text
    assert "<strong>sunny</strong>" in html
    assert page.tags.count("table") == 1
    assert set(page.links) == {"http://127.0.0.1:9/t.png", "https://example.org/a%20b"}
    assert html.count('<details class="thread">') == 3
    assert "default-src 'none'" in html


@pytest.mark.full
async def test_a_browser_shows_it_and_asks_nobody(
    exported: Exported, story: Story, tmp_path: Path
) -> None:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        unavailable("Chromium", "apt-get install chromium")
    file = tmp_path / "page.html"
    html = (await exported("html", threads=[story.paris])).text
    assert '<details class="thread" open>' in html, "a single conversation is unfolded"
    file.write_text(html, encoding="utf-8")
    asked, said = [], []
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-gpu"]
        )
        for colours in ("light", "dark"):
            page = await browser.new_page(color_scheme=colours)
            page.on("request", lambda request: asked.append(request.url))
            page.on("dialog", lambda dialog: said.append(dialog.message))
            page.on("console", lambda message: said.append(message.text))
            await page.goto(file.as_uri())
            answer = page.get_by_text("Anything else?")
            assert await answer.is_visible()
            assert not await page.get_by_text("</details><script>").is_visible()
            await page.locator("summary", has_text="look_up").click()
            assert await page.get_by_text("</details><script>").is_visible()
            back = await page.evaluate("getComputedStyle(document.body).backgroundColor")
            assert (back == "rgb(255, 255, 255)") == (colours == "light")
        await browser.close()
    assert asked == [file.as_uri()] * 2
    assert said == []


@given(markup)
def test_no_message_can_do_anything(text: str) -> None:
    Page(markdown_to_html(text))


def test_a_very_long_message_is_shown_as_it_is() -> None:
    text = "*a* <b>" * MAX_RENDERED
    assert Page(markdown_to_html(text)).text.strip() == text


@given(st.lists(st.sampled_from(["> ", "- ", "1. "]), max_size=45))
def test_what_is_nested_deeply_is_not_left_out(marks: list[str]) -> None:
    assert "WORD" in markdown_to_html("".join(marks) + "WORD")


def test_only_links_that_lead_away_are_links() -> None:
    assert safe_link("https://example.org/a?b=c#d") == "https://example.org/a?b=c#d"
    assert safe_link("mailto:me@example.org") == "mailto:me@example.org"
    assert safe_link('https://a/"><script>') == "https://a/%22%3E%3Cscript%3E"
    for url in ("javascript:a", " javascript:a", "java\nscript:a", "data:,x", "//a", "/a", "x", ""):
        assert safe_link(url) is None
    assert safe_link(None) is None
    assert safe_link("http://[") is None
