"""What an operator reads about an outage, on a loop whose time a test moves on."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

import pytest

from chainlit_sqla._internal.outage import GRACE, INTERVAL, MOST_NAMED, OutageLog

log = logging.getLogger("tests.outage")


class Clock:
    """Time that passes when a test says so; it is the time of the event loop, too."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    async def pass_by(self, seconds: float) -> None:
        self.now += seconds
        for _ in range(3):  # The loop notices the time, then calls what is due.
            await asyncio.sleep(0)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """Take the lines that were logged since the last call."""
    caplog.set_level(logging.INFO)

    def take() -> list[str]:
        messages = caplog.messages[:]
        caplog.clear()
        return messages

    return take


def outage_of(clock: Clock, waiting: list[int]) -> OutageLog:
    asyncio.get_running_loop().time = clock  # type: ignore[method-assign]
    return OutageLog(log, "written", lambda: f"{waiting[0]} writes", clock=clock)


async def test_an_outage_of_minutes_takes_a_few_lines(
    clock: Clock, lines: Callable[[], list[str]]
) -> None:
    waiting = [3]
    outage = outage_of(clock, waiting)
    outage.failed("connection refused")
    await clock.pass_by(GRACE)
    assert lines() == ["Not written yet: 3 writes: connection refused"]
    for second in range(60):
        waiting[0] += 10
        await clock.pass_by(1)
        outage.failed(f"refused again in second {second}")
    assert lines() == [
        "Not written for 30 s: 303 writes: refused again in second 28",
        "Not written for 60 s: 603 writes: refused again in second 58",
    ]
    assert (outage.seconds, outage.reason) == (60.5, "refused again in second 59")
    outage.succeeded(500, left=103)
    assert lines() == []
    outage.succeeded(100, left=10)  # What arrived meanwhile does not prolong it.
    outage.succeeded(3, left=9)
    assert lines() == ["Written again after 60 s: 603 written, 0 given up, 61 attempts failed"]
    await clock.pass_by(INTERVAL)
    assert lines() == []
    assert (outage.seconds, outage.reason) == (None, None)


async def test_a_second_failure_prolongs_the_outage(
    clock: Clock, lines: Callable[[], list[str]]
) -> None:
    outage = outage_of(clock, [3])
    outage.failed("lost")
    await clock.pass_by(GRACE)
    outage.succeeded(1, left=2)
    outage.failed("lost")
    outage.succeeded(1, left=5)
    assert len(lines()) == 1
    outage.succeeded(5)
    assert lines() == ["Written again after 0 s: 7 written, 0 given up, 2 attempts failed"]


async def test_all_failed_work_can_be_found_but_floods_no_log(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, log.name)
    outage = outage_of(clock, [0])
    for number in range(10_000):
        outage.refused(f"step {number}", "no answer")
    await clock.pass_by(INTERVAL)
    errors = [r.getMessage() for r in caplog.records if r.levelno == logging.ERROR]
    assert errors[0] == "Not written: step 0: no answer"
    assert errors[MOST_NAMED:] == ["Not written: 9980 more; the log level DEBUG names each"]
    assert all(f"Not written: step {n}: no answer" in caplog.messages for n in (20, 9_999))
    outage.refused("step x", "no answer")  # Named again in the next interval.
    assert caplog.records[-1].levelno == logging.ERROR


async def test_closing_tells_the_number_at_once_and_then_is_silent(
    clock: Clock, lines: Callable[[], list[str]]
) -> None:
    outage = outage_of(clock, [0])
    outage.failed("lost")
    for number in range(22):
        outage.refused(f"step {number}", "closed")
    outage.close()
    assert lines()[-1] == "Not written: 2 more; the log level DEBUG names each"
    await clock.pass_by(2 * INTERVAL)
    assert lines() == []


async def test_a_deadlock_is_no_outage(clock: Clock, lines: Callable[[], list[str]]) -> None:
    outage = outage_of(clock, [1])
    for _ in range(100):
        outage.failed("deadlock detected")
        await clock.pass_by(0.02)
        outage.succeeded()
        await clock.pass_by(0.02)
    assert lines() == []


async def test_an_outage_without_attempts_logs_nothing(
    clock: Clock, lines: Callable[[], list[str]]
) -> None:
    outage = outage_of(clock, [1])
    outage.failed("lost")
    await clock.pass_by(GRACE)
    lines()
    for _ in range(3):
        await clock.pass_by(INTERVAL)
    assert lines() == []
    outage.failed("lost")
    await clock.pass_by(INTERVAL)
    assert lines() == ["Not written for 120 s: 1 writes: lost"]
