"""The one retry loop, and the one search for refused items."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from chainlit_sqla._internal.retry import bisect, retry


class Flaky:
    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.calls = 0
        self.pauses: list[float] = []

    async def work(self) -> str:
        self.calls += 1
        if self.calls <= self.failures:
            raise OSError(f"attempt {self.calls}")
        return "done"

    async def sleep(self, pause: float) -> None:
        self.pauses.append(pause)


def is_os_error(error: Exception) -> bool:
    return isinstance(error, OSError)


async def test_pauses_double_with_jitter_up_to_the_longest() -> None:
    flaky = Flaky(failures=6)
    reported: list[tuple[str, float]] = []

    result = await retry(
        lambda: flaky.work(),
        is_os_error,
        first_pause=1.0,
        longest_pause=8.0,
        on_retry=lambda error, pause: reported.append((str(error), pause)),
        sleep=flaky.sleep,
    )

    assert result == "done"
    for pause, longest in zip(flaky.pauses, (1, 2, 4, 8, 8, 8), strict=True):
        assert longest / 2 <= pause <= longest
    assert [pause for _, pause in reported] == flaky.pauses
    assert reported[0][0] == "attempt 1"


@pytest.mark.parametrize(
    ("limits", "calls"), [({"attempts": 3}, 3), ({"seconds": 0.0}, 1), ({"seconds": 0.4}, 1)]
)
async def test_the_last_error_is_raised_at_a_limit(limits: dict[str, float], calls: int) -> None:
    flaky = Flaky(failures=99)
    with pytest.raises(OSError, match=f"attempt {calls}"):
        await retry(flaky.work, is_os_error, first_pause=1.0, sleep=flaky.sleep, **limits)  # type: ignore[arg-type]
    assert flaky.calls == calls


async def test_other_errors_are_not_repeated() -> None:
    flaky = Flaky(failures=99)
    with pytest.raises(OSError, match="attempt 1"):
        await retry(flaky.work, lambda _: False)
    assert flaky.calls == 1


async def test_a_pause_can_be_cancelled() -> None:
    flaky = Flaky(failures=99)
    pausing = asyncio.Event()
    task = asyncio.create_task(
        retry(
            flaky.work,
            is_os_error,
            first_pause=60,
            longest_pause=60,
            on_retry=lambda *_: pausing.set(),
        )
    )
    await pausing.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert flaky.calls == 1


@pytest.mark.parametrize("bad", [set(), {0}, {3}, {1, 2, 6}, set(range(7))])
async def test_bisect_finds_the_refused_items_and_keeps_the_order(bad: set[int]) -> None:
    written: list[int] = []
    refused: list[int] = []

    async def write(numbers: Sequence[int]) -> None:
        if bad.intersection(numbers):
            raise ValueError(numbers)
        written.extend(numbers)

    await bisect(
        range(7),
        write,
        lambda error: isinstance(error, ValueError),
        lambda number, _: refused.append(number),
    )

    assert written == [number for number in range(7) if number not in bad]
    assert refused == sorted(bad)


async def test_bisect_ends_at_an_error_that_is_no_refusal() -> None:
    async def write(numbers: Sequence[int]) -> None:
        raise OSError

    with pytest.raises(OSError):
        await bisect([1, 2], write, lambda error: isinstance(error, ValueError), pytest.fail)  # type: ignore[arg-type]
