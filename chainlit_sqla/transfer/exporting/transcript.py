"""`Transcript`: what all forms for people have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable

from .conversation import Conversation, Entry
from .sink import Report, Write

EVERY = 100
"""Steps between two reports."""


class Transcript(ABC):
    """One document, written step by step.

    Args:
        write: Takes bytes.
        report: Is told how many steps more are written.

    Example:
        ``document.begin(1)``, ``await document.add(conversation)``, ``document.end()``
    """

    suffix: str
    """Of the names of its files."""

    def __init__(self, write: Write, report: Report) -> None:
        self._write = write
        self._report = report
        self.parts = 0
        """Steps that were written."""

    def begin(self, total: int) -> None:
        """Write what stands before all conversations.

        Args:
            total: How many there will be.
        """
        self._put(self._opening(total))

    async def add(self, conversation: Conversation) -> None:
        """Write a conversation."""
        self._put(self._head(conversation))
        number = 0
        async for entry in conversation.entries:
            self._put(self._entry(entry))
            self.parts += entry.step is not None
            number += 1
            if number == EVERY:
                self._report(number)
                number = 0
        self._report(number)
        self._put(self._foot())

    def end(self) -> None:
        """Write what stands behind all conversations."""
        self._put(self._closing())

    def _put(self, parts: Iterable[str]) -> None:
        if text := "".join(parts):
            # As Python holds it, a text may have half a character, which UTF-8 has not.
            self._write(text.encode("utf-8", "replace"))

    @abstractmethod
    def _opening(self, total: int) -> Iterable[str]: ...

    @abstractmethod
    def _head(self, conversation: Conversation) -> Iterable[str]: ...

    @abstractmethod
    def _entry(self, entry: Entry) -> Iterable[str]: ...

    @abstractmethod
    def _foot(self) -> Iterable[str]: ...

    @abstractmethod
    def _closing(self) -> Iterable[str]: ...
