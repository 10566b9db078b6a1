"""Clients choose ids, names and files; no log line of theirs looks like another one."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from typing import Any

import pytest
from chainlit.types import Feedback, Pagination, ThreadFilter
from chainlit.user import User

from chainlit_sqla.errors import ChainlitSqlaError
from tests.contract.build import at, file_element, message

pytestmark = pytest.mark.ours

FORGED = "x\n2026-01-31 - ERROR - forged\r\x1b[31m\u2028\x85\u202ey"


async def test_log_lines_and_errors_cannot_be_forged(
    layer: Any, caplog: pytest.LogCaptureFixture
) -> None:
    errors: list[str] = []

    async def call(work: Awaitable[Any]) -> Any:
        try:
            return await work
        except ChainlitSqlaError as error:
            errors.append(str(error))

    endless: dict[str, Any] = {}
    endless["self"] = endless
    step = {**message(FORGED), "id": FORGED, "name": FORGED, "createdAt": at(1)}
    unreadable = file_element(FORGED, FORGED, path=f"/nowhere/{FORGED}", content=None)
    with caplog.at_level(logging.DEBUG, "chainlit_sqla"):
        user = await call(layer.create_user(User(identifier=FORGED)))
        for values in ({"user_id": FORGED}, {"user_id": user.id, "name": FORGED}):
            await call(layer.update_thread(FORGED, **values))
        for changes in ({}, {"id": FORGED * 50}, {"metadata": endless}, {"createdAt": FORGED}):
            await call(layer.create_step({**step, **changes}))
        for element in (unreadable, file_element(FORGED, FORGED)):
            element.id = FORGED
            await call(layer.create_element(element))
        await call(layer.upsert_feedback(Feedback(forId=f"no {FORGED}", value=1)))
        page = Pagination(first=1, cursor=FORGED)
        await call(layer.list_threads(page, ThreadFilter(userId=user.id)))
        for deletion in (
            layer.delete_step(f"no {FORGED}"),
            layer.delete_element(FORGED, FORGED),
            layer.delete_thread(FORGED),
            layer.create_step(step),
        ):
            await call(deletion)
        await asyncio.sleep(0)
    lines = [record.getMessage() for record in caplog.records if "chainlit_sqla" in record.name]
    assert len(errors) > 4
    assert any("cannot read the file" in line for line in lines)
    assert any("the thread was deleted" in line for line in lines)
    assert [line for line in lines + errors if not line.isprintable()] == []
