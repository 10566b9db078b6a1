"""What a process can tell of itself while it works: its memory and the gaps of its event loop."""

from __future__ import annotations

import asyncio
import gc
import os
import re
import sys
import threading
import time
import traceback
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType

MIB = 1024 * 1024
STATUS = Path("/proc/self/status")
PERIOD = 0.001


class Memory:
    """The growth of this process from the moment on at which it is made.

    On Linux the kernel keeps the peak and forgets it on request, so no peak between two
    samples is missed. Elsewhere the peak since the start of the process stands in for it.
    """

    def __init__(self) -> None:
        gc.collect()
        if STATUS.exists():
            Path("/proc/self/clear_refs").write_text("5")  # The peak is what is used now.
        self._before = _peak()

    @property
    def growth(self) -> float:
        """Megabytes between the start and the peak."""
        return (_peak() - self._before) / MIB


def resident() -> float:
    """Megabytes of memory that this process has now; elsewhere than on Linux, its peak."""
    return (_kernel_says("VmRSS") if STATUS.exists() else _peak()) / MIB


def _peak() -> int:
    if STATUS.exists():
        return _kernel_says("VmHWM")
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def _kernel_says(name: str) -> int:
    found = re.search(rf"{name}:\s+(\d+) kB", STATUS.read_text())
    assert found
    return int(found[1]) * 1024


@dataclass(frozen=True, slots=True)
class Gap:
    """A time in which the event loop did not come round.

    Args:
        seconds: How late a task woke up.
        computing: How much of it the loop's thread ran; the rest it waited for the
            processor, for the interpreter's lock or in a blocking call.
    """

    seconds: float = 0.0
    computing: float = 0.0


class Gaps:
    """Finds the longest gap of the running event loop: a task sleeps 1 ms again and again.

    Args:
        explain: Seconds; for longer gaps, keep where the loop's thread stood in `stacks`.

    Example:
        >>> async with Gaps() as gaps:
        ...     await work()
        >>> gaps.longest.seconds
    """

    def __init__(self, explain: float = 0.0) -> None:
        self.longest = Gap()
        self.stacks: dict[str, int] = {}
        self._explain = explain
        self._beat = time.perf_counter()
        self._ended = threading.Event()

    async def __aenter__(self) -> Gaps:
        self._task = asyncio.create_task(self._watch())
        await asyncio.sleep(PERIOD)
        if self._explain:
            target = threading.get_ident()
            self._looker = threading.Thread(target=self._look, args=[target], daemon=True)
            self._looker.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await asyncio.sleep(PERIOD)  # A gap that has just begun ends here.
        self._ended.set()
        self._task.cancel()
        await asyncio.wait([self._task])

    async def _watch(self) -> None:
        while True:
            before, ran = time.perf_counter(), time.thread_time()
            self._beat = before
            await asyncio.sleep(PERIOD)
            late = time.perf_counter() - before - PERIOD
            if late > self.longest.seconds:
                self.longest = Gap(late, time.thread_time() - ran)

    def _look(self, target: int) -> None:
        while not self._ended.wait(self._explain / 4):
            if time.perf_counter() - self._beat > self._explain:
                frames = traceback.extract_stack(sys._current_frames()[target])
                where = " < ".join(
                    f"{f.name} {Path(f.filename).name}:{f.lineno}" for f in frames[:-7:-1]
                )
                self.stacks[where] = self.stacks.get(where, 0) + 1


def watch_idle(pipe: Connection) -> None:
    """Find the longest gap of a loop that has nothing to do: what the machine alone costs.

    Args:
        pipe: Gets a True when it begins, and the gap in seconds after the other end has
            sent something.
    """

    async def watch() -> float:
        async with Gaps() as gaps:
            pipe.send(True)
            while not pipe.poll():  # noqa: ASYNC110 - the other end is in another process
                await asyncio.sleep(0.05)
        return gaps.longest.seconds

    pipe.send(asyncio.run(watch()))


def load() -> float:
    """The machine's load average over the last minute."""
    return os.getloadavg()[0]
