"""Log lines about an outage: a few, however much work waits and however often it is tried.

An operator reads one line when work begins to wait, one every 30 seconds in which it was tried, and
one when it is over; none of them has a traceback. Work that failed for good is named, so that it
can be found: the first pieces of an interval at ERROR, the others at DEBUG, with their number at
ERROR.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from contextvars import Context

INTERVAL = 30.0
"""Seconds between two lines about an outage."""
GRACE = 0.5
"""Seconds that an outage lasts before it is reported: a deadlock is over sooner."""
MOST_NAMED = 20
"""Pieces of failed work that are named at ERROR in an interval."""


def printable(text: str) -> str:
    """Return a text as one line without control characters: clients choose parts of many."""
    return text if text.isprintable() else repr(text)[1:-1]


class OutageLog:
    """Reports work of one kind that a server does not do at present.

    Args:
        log: The logger of the module that does the work.
        done: What is done with the work: "written", "read".
        describe: Returns what waits at present, such as "340 writes (2.1 MB)".
        clock: Returns seconds.
    """

    def __init__(
        self,
        log: logging.Logger,
        done: str,
        describe: Callable[[], str],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._log = log
        self._done = done
        self._describe = describe
        self._clock = clock
        self._since: float | None = None
        self._reason = ""
        self._attempts = self._new_attempts = self._succeeded = self._refused = 0
        self._goal: int | None = None
        """How many must have succeeded for the outage to be over, once one has."""
        self._is_reported = False
        self._named = self._unnamed = 0
        self._timer: tuple[asyncio.AbstractEventLoop, asyncio.TimerHandle] | None = None

    @property
    def seconds(self) -> float | None:
        """How long work has been waiting; None: it is not."""
        return None if self._since is None else self._clock() - self._since

    @property
    def reason(self) -> str | None:
        """The last error of the present outage, in one line."""
        return None if self._since is None else self._reason

    def failed(self, reason: str) -> None:
        """Record an attempt that failed; the work, or more of its kind, will be tried again."""
        self._reason, self._goal = printable(reason), None
        self._attempts += 1
        self._new_attempts += 1
        if self._since is None:
            self._since = self._clock()
            self._attempts, self._succeeded, self._refused = 1, 0, 0
            self._is_reported = False
            self._arm(GRACE)

    def succeeded(self, number: int = 1, left: int = 0) -> None:
        """Record work that is done; ``left`` is what still waits.

        The outage is over when everything that waited at the first success is done.
        """
        if self._since is None:
            return
        self._succeeded += number
        if self._goal is None:
            self._goal = self._succeeded + left
        if self._succeeded + self._refused >= self._goal:
            seconds, self._since, self._new_attempts = self.seconds, None, 0
            self._log.log(
                logging.WARNING if self._is_reported else logging.DEBUG,
                "%s again after %.0f s: %d %s, %d given up, %d attempts failed",
                *(self._done.capitalize(), seconds, self._succeeded, self._done),
                *(self._refused, self._attempts),
            )

    def refused(self, what: str, reason: object) -> None:
        """Record and name work that failed for good."""
        self._refused += 1
        is_named = self._named < MOST_NAMED
        self._named, self._unnamed = self._named + is_named, self._unnamed + (not is_named)
        level = logging.ERROR if is_named else logging.DEBUG
        text = printable(str(reason))  # Many errors begin with what they are about.
        text = text if text.startswith(what) else f"{what}: {text}"
        self._log.log(level, "Not %s: %s", self._done, text)
        self._arm(INTERVAL)

    def close(self) -> None:
        """Stop reporting; log the number of those that were not named."""
        if self._timer is not None:
            self._timer[1].cancel()
        self._since = self._timer = None
        self._new_attempts = 0
        self._report()

    def _report(self) -> None:
        if self._unnamed:
            self._log.error(
                "Not %s: %d more; the log level DEBUG names each", self._done, self._unnamed
            )
        seconds = self.seconds or 0.0
        if self._new_attempts and (self._is_reported or seconds >= GRACE):
            how_long = f" for {seconds:.0f} s" if self._is_reported else " yet"
            text = "Not %s%s: %s: %s"
            self._log.warning(text, self._done, how_long, self._describe(), self._reason)
            self._is_reported = True
            self._new_attempts = 0
        self._named = self._unnamed = 0

    def _tick(self) -> None:
        self._timer = None
        has_named = self._named > 0
        self._report()
        if self._since is not None:
            self._arm(INTERVAL if self._is_reported else GRACE)
        elif has_named:
            self._arm(INTERVAL)

    def _arm(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        if self._timer is None or self._timer[0] is not loop:  # An ended loop calls nothing.
            self._timer = loop, loop.call_later(seconds, self._tick, context=Context())
