"""People in a chat are not told where the database is, whatever an app does with an error."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from chainlit.types import Feedback, Pagination, ThreadFilter
from chainlit.user import User

from chainlit_sqla import SQLADataLayer
from chainlit_sqla.errors import ChainlitSqlaError
from chainlit_sqla.settings import Settings
from tests.contract.build import message
from tests.contract.fixtures import Socket
from tests.servers.ports import free_port

pytestmark = pytest.mark.ours


async def test_errors_in_a_chat_do_not_name_the_database(socket: Socket, tmp_path: Path) -> None:
    settings = Settings.load(data_dir=tmp_path, retry_seconds=0, read_seconds=1, close_seconds=1)
    address = f"127.0.0.1:{free_port()}"
    layer = SQLADataLayer(f"postgresql://admin:secret@{address}/chats", settings=settings)

    async def error_of(work: Any) -> ChainlitSqlaError:
        with pytest.raises(ChainlitSqlaError) as raised:
            await work
        return raised.value

    def calls() -> list[Any]:
        # Chainlit shows the text of an error in `on_message` to the person in the chat.
        return [
            layer.get_thread("t"),
            layer.get_user("u"),
            layer.list_threads(Pagination(first=1), ThreadFilter(userId="u")),
            layer.list_threads(Pagination(first=1), ThreadFilter(userId="u", search="x")),
            layer.get_element("t", "e"),
            layer.create_step(message("t")),
            layer.update_thread("t", name="n"),
            layer.delete_thread("t"),
            layer.delete_step("s"),
            layer.delete_element("e", "t"),
            layer.create_user(User(identifier="u")),
            layer.upsert_feedback(Feedback(forId="s", value=1)),
        ]

    assert address in str(await error_of(layer.get_thread("t"))), "for a script"
    socket.enter("t")
    for call in calls():
        error = await error_of(call)
        for part in (address, "127.0.0.1", "admin", "secret"):
            assert part not in str(error)
        assert error.__cause__ is not None, "for the log"
    await layer.close()
