"""Memory that uploads share: who wants some waits until there is enough."""

from __future__ import annotations

import asyncio
from collections import deque

from .base import CHUNK


class Budget:
    """A number of bytes, given out in the order of asking; good in one event loop.

    Args:
        size: Bytes at most, for all together.

    Example:
        >>> taken = await budget.take(5 * 1024 * 1024)
        >>> budget.give(taken)
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._free = size
        self._waiting: deque[tuple[asyncio.Future[None], int]] = deque()

    async def take(self, amount: int) -> int:
        """Wait for some bytes.

        Args:
            amount: What shall be kept in memory. The least is what a request takes besides,
                the most is all.

        Returns:
            What is to be given back.
        """
        amount = min(max(amount, CHUNK), self._size)
        if not self._waiting and amount <= self._free:
            self._free -= amount
            return amount
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append((turn, amount))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                self._wake()  # Others may want less.
            else:
                self.give(amount)
            raise
        return amount

    def give(self, amount: int) -> None:
        """Give bytes back.

        Args:
            amount: What `take` returned.
        """
        self._free += amount
        self._wake()

    def _wake(self) -> None:
        while self._waiting:
            turn, amount = self._waiting[0]
            if not turn.cancelled():
                if amount > self._free:
                    return
                self._free -= amount
                turn.set_result(None)
            self._waiting.popleft()
