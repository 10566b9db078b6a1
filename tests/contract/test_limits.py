"""What is larger than the settings allow is refused before any work is done for it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from chainlit.element import CustomElement
from chainlit.types import Feedback, Pagination, ThreadFilter
from chainlit.user import User

from chainlit_sqla import SQLADataLayer
from chainlit_sqla.errors import InvalidSearch, TooLarge
from chainlit_sqla.settings import Settings
from tests.contract.backends import Backend
from tests.contract.build import message, new_id, steps_of, thread
from tests.contract.fixtures import Socket
from tests.servers.ports import free_port

pytestmark = pytest.mark.ours

LONG = "x" * 20_000_000
ROW = {"CHAINLIT_SQLA_MAX_ROW_BYTES": "1000000", "CHAINLIT_SQLA_MAX_SHORT_TEXT": "1000"}


@pytest.fixture
async def unreachable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[SQLADataLayer]:
    """A layer without a database: what it refuses costs the database nothing."""
    for name, value in ROW.items():
        monkeypatch.setenv(name, value)
    settings = Settings.load(retry_seconds=0, close_seconds=1, data_dir=tmp_path)
    layer = SQLADataLayer(f"postgresql://127.0.0.1:{free_port()}/none", settings=settings)
    yield layer
    assert layer.write_queue.pending == 0
    await layer.close()


async def test_what_is_too_large_is_refused_before_the_queue(unreachable: Any) -> None:
    layer, row = unreachable, "CHAINLIT_SQLA_MAX_ROW_BYTES"
    large = {"text": "x" * 1_000_001}
    for changed in ({"input": large["text"]}, {"metadata": large}, {"tags": [large["text"]]}):
        with pytest.raises(TooLarge, match=rf"step .* has 1.0 MB, 1.0 MB at most .*{row}"):
            await layer.create_step(message("t", "said", **changed))
    with pytest.raises(TooLarge, match=rf"element .* has 1.0 MB, .*{row}"):
        await layer.create_element(CustomElement(name="n", props=large, thread_id="t", for_id="s"))
    with pytest.raises(TooLarge, match=row):
        await layer.update_thread("t", metadata=large)
    with pytest.raises(TooLarge, match=row):
        await layer.create_user(User(identifier="ada", metadata=large))
    with pytest.raises(TooLarge, match=r"The name .* 1,001 characters, 1,000 at most are accepted"):
        await layer.update_thread("t", name="x" * 1_001)
    with pytest.raises(TooLarge, match=r"The comment has .* raise CHAINLIT_SQLA_MAX_SHORT_TEXT"):
        await layer.upsert_feedback(Feedback(forId="s", value=1, comment="x" * 1_001))
    with pytest.raises(InvalidSearch, match=r"1,000 at most .* raise CHAINLIT_SQLA_MAX_SHORT_TEXT"):
        await layer.list_threads(Pagination(first=5), ThreadFilter(userId="u", search="x" * 1_001))


async def test_a_long_first_message_names_its_thread_by_its_beginning(
    layer: Any, socket: Socket
) -> None:
    thread_id = new_id()
    socket.enter(thread_id)
    await layer.create_step(message(thread_id, "x" * 1_000_000))
    await layer.update_thread(thread_id, name="x" * 1_000_000)
    found = await layer.get_thread(thread_id)
    assert (found["name"], len(found["steps"][0]["output"])) == ("x" * 10_000, 1_000_000)


async def test_a_large_message_is_stored_whole(layer: Any) -> None:
    thread_id = await thread(layer)
    await layer.create_step(message(thread_id, "ü" * 5_000_000, id="s"))
    assert (await steps_of(layer, thread_id))["s"]["output"] == "ü" * 5_000_000


async def test_an_id_that_nobody_can_have_is_unknown(layer: Any, backend: Backend) -> None:
    assert await layer.get_thread_author(LONG) == ""
    assert await layer.get_thread(LONG) is None
    assert await layer.get_step(LONG) is None
    assert await layer.get_element(LONG, LONG) is None
    assert await layer.get_user(LONG) is None
    assert await layer.get_favorite_steps(LONG) == []
    page = await layer.list_threads(Pagination(first=5), ThreadFilter(userId=LONG))
    assert page.data == []
