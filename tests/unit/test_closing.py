"""Closing the parts of a layer: each within what is left of one budget, whatever others do."""

from __future__ import annotations

import asyncio
import time

import pytest

from chainlit_sqla.integration import lifecycle
from chainlit_sqla.integration.lifecycle import Part, close_parts


@pytest.fixture(autouse=True)
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lifecycle, "CANCEL_SECONDS", 0.05)


async def nothing(_seconds: float) -> None:
    pass


async def broken(_seconds: float) -> None:
    raise RuntimeError("socket gone")


async def endless(_seconds: float) -> None:
    await asyncio.Event().wait()


async def stubborn(_seconds: float) -> None:
    for _ in range(2):
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            continue


def recording(closed: list[float]) -> Part:
    async def close(seconds: float) -> None:
        closed.append(seconds)

    return "connections", 1.0, close


async def test_an_error_or_a_standstill_skips_nothing(caplog: pytest.LogCaptureFixture) -> None:
    closed: list[float] = []
    parts: list[Part] = [
        ("uploads", 0.2, endless),
        ("writes", 0.4, broken),
        ("the store", 0.6, stubborn),
        recording(closed),
    ]
    began = time.monotonic()
    await close_parts(parts, 0.5)
    assert time.monotonic() - began < 2
    assert len(closed) == 1
    assert caplog.messages == [
        "Not closed in time: uploads",
        "Not closed: writes: socket gone",
        "Not closed in time: the store",
    ]


async def test_each_part_gets_what_is_left(caplog: pytest.LogCaptureFixture) -> None:
    given: list[float] = []
    first, (name, _, close) = recording(given), recording(given)
    await close_parts([(first[0], 0.5, first[2]), (name, 1.0, close)], 60)
    assert 29 < given[0] <= 30
    assert 59 < given[1] <= 60
    assert caplog.messages == []


async def test_what_is_unfinished_is_counted_in_one_line(caplog: pytest.LogCaptureFixture) -> None:
    async def unfinished(_seconds: float) -> list[int]:
        return [0] * 10_000

    async def uploads(_seconds: float) -> list[str]:
        return ["e1", "e2"]

    await close_parts([("uploads", 0.5, uploads), ("writes", 1.0, unfinished)], 1)
    [message] = caplog.messages
    assert message.startswith(
        "Not finished in 0 s of closing: 2 uploads, 10000 writes; raise CHAIN"
    )


async def test_a_cancelled_close_releases_the_rest_without_waiting() -> None:
    closed: list[float] = []
    task = asyncio.create_task(close_parts([("writes", 0.5, endless), recording(closed)], 600))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert closed == [0.0]
