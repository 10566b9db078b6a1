"""Work that outlives the request that started it keeps nothing of the request."""

from __future__ import annotations

import asyncio
import gc
import logging
import weakref
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import pytest
from chainlit.user import User

from chainlit_sqla import SQLADataLayer
from chainlit_sqla.errors import WriteError
from chainlit_sqla.settings import Settings
from tests.contract.build import file_element, message, new_id
from tests.contract.fixtures import Socket
from tests.servers.ports import free_port
from tests.until import until

pytestmark = pytest.mark.ours

REQUEST: ContextVar[str] = ContextVar("request", default="none")


async def test_the_first_session_is_released(layer: Any) -> None:
    """Also the one in which tables are checked, connections opened and files deleted."""

    async def first_request() -> weakref.ref[Any]:
        socket, thread_id = Socket(), new_id()
        session = weakref.ref(socket.enter(thread_id))
        await layer.create_user(User(identifier="ada"))
        await layer.create_step(message(thread_id, "said", id="s"))
        await layer.create_element(file_element(thread_id, "s", id="e", content=b"x"))
        assert await layer.get_thread(thread_id)
        await layer.delete_element("e", thread_id)
        for each in socket.sessions:
            await each.delete()
        return session

    session = await asyncio.create_task(first_request())
    await layer.get_thread("another")

    async def is_released() -> bool:
        gc.collect()
        return session() is None

    await until(is_released)


async def test_what_is_logged_in_the_background_names_no_request(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chainlit_sqla._internal.outage.GRACE", 0.01)
    settings = Settings.load(retry_seconds=0.1, close_seconds=1, data_dir=tmp_path)
    layer = SQLADataLayer(f"postgresql://127.0.0.1:{free_port()}/none", settings=settings)
    requests: dict[str, str] = {}

    def note_request(record: logging.LogRecord) -> bool:
        requests[record.getMessage()] = REQUEST.get()
        return True

    async def request() -> None:
        REQUEST.set("the first")
        with pytest.raises(WriteError):
            await layer.update_thread("t", name="n")

    caplog.handler.addFilter(note_request)
    with caplog.at_level(logging.INFO, "chainlit_sqla"):
        await asyncio.create_task(request())
        await layer.close()
    caplog.handler.removeFilter(note_request)
    written = {text: name for text, name in requests.items() if text.startswith("Not ")}
    assert written
    assert set(written.values()) == {"none"}, written
