"""One journey in a real browser: what a person sees before and after a restart."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Page, async_playwright, expect

from tests.servers.require import unavailable
from tests.until import PATIENCE

from .person import PASSWORD
from .server import AppServer

pytestmark = pytest.mark.full

FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
)
PATIENCE_MS = PATIENCE * 1_000
QUESTION = "Show me the harvest"


@pytest.fixture
async def page(server: AppServer) -> AsyncIterator[Page]:
    """A tab of headless Chromium that reaches the server under test and nothing else."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        unavailable("Chromium", "apt-get install chromium")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        page = await browser.new_page(viewport={"width": 1280, "height": 1040}, locale="en-US")
        page.set_default_timeout(PATIENCE_MS)
        expect.set_options(timeout=PATIENCE_MS)
        await page.route(lambda url: not url.startswith(server.origin), lambda route: route.abort())
        yield page
        await browser.close()


async def test_a_person_finds_the_conversation_again(
    server: AppServer, page: Page, tmp_path: Path
) -> None:
    pictures = Path(os.environ.get("E2E_SCREENSHOTS", tmp_path))
    await page.goto(server.url)
    await page.fill("#email", "alice")
    await page.fill("#password", PASSWORD)
    await page.keyboard.press("Enter")
    await assert_greeting_is_whole(page)
    await page.fill("#chat-input", QUESTION)
    await page.keyboard.press("Enter")
    await assert_answer_is_shown(page)
    await page.locator(".positive-feedback-off").click()
    await page.get_by_role("dialog").get_by_role("textbox").fill("Clear")
    await page.locator("#submit-feedback").click()
    await expect(page.locator(".positive-feedback-on")).to_be_visible()
    await page.screenshot(path=pictures / "live-chat.png")

    server.restart()
    await page.goto(server.url)
    await assert_greeting_is_whole(page)
    await page.get_by_role("link", name=QUESTION).first.click()
    await page.wait_for_url("**/thread/*")
    await assert_answer_is_shown(page)
    await expect(page.locator(".positive-feedback-on")).to_be_visible()
    await page.screenshot(path=pictures / "resumed-chat.png")
    await page.fill("#chat-input", "Echo that")
    await page.keyboard.press("Enter")
    await expect(page.get_by_text("Answer 2: Echo that")).to_be_visible()


async def assert_greeting_is_whole(page: Page) -> None:
    """Whoever leaves before takes the folder from under the file that Chainlit is sending."""
    await expect(page.get_by_text("Good morning!")).to_be_visible()
    await expect(page.get_by_text("leaflet.txt")).to_be_visible()


async def assert_answer_is_shown(page: Page) -> None:
    """The question, the answer with its attachments, and the steps that led to it."""
    await expect(page.locator(".message-content").get_by_text(QUESTION)).to_be_visible()
    await expect(page.get_by_text("The harvest grew in three of four years")).to_be_visible()
    await expect(page.get_by_text("Used research")).to_be_visible()
    await expect(page.get_by_text("Used query")).to_be_visible()
    await expect(page.get_by_text("SELECT year, tonnes FROM harvest")).to_be_visible()
    await expect(page.get_by_text("leaflet.txt")).to_be_visible()
    await expect(page.get_by_text("harvest.csv")).to_be_visible()
    await expect(page.get_by_text("Counted 2 times")).to_be_visible()
    image = page.get_by_role("img", name="chart.png")
    await expect(image).to_be_visible()
    await page.wait_for_function(
        "image => image.complete && image.naturalWidth === 240", arg=await image.element_handle()
    )
