"""The database's own index for searching messages, which `chainlit-sqla search enable` builds."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import Executable, Select, Table

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

INDEX = "chainlit_sqla_search"
"""The name of the index, and how the names of all that belongs to it begin."""


@dataclass(frozen=True, slots=True)
class SearchState:
    """What a database has for searching.

    Args:
        exists: Whether there is an index, or a part of one.
        usable: Whether the index holds every message.
        built_at: When it was completed, as text; empty while it is not.
        folds_unicode: Whether the database ignores the case of all letters, not of ASCII only.
        indexes_unicode: Whether the index holds letters beyond ASCII.
    """

    exists: bool = False
    usable: bool = False
    built_at: str = ""
    folds_unicode: bool = True
    indexes_unicode: bool = True


class SearchIndex(ABC):
    """One kind of index for searching messages."""

    @abstractmethod
    def state_query(self, schema: str | None) -> Executable:
        """Return the statement that reads the state of the index.

        Args:
            schema: The schema of the tables; None: the connection's default one.
        """

    @abstractmethod
    def parse_state(self, row: Sequence[Any] | None) -> SearchState:
        """Return the state that a row of `state_query` describes."""

    @abstractmethod
    async def size(self, connection: AsyncConnection, schema: str | None) -> int:
        """Return the size of the index in bytes."""

    @abstractmethod
    def match(self, text: str, state: SearchState) -> str | None:
        """Return what `hits` takes to find a text, None where the index cannot find it.

        Args:
            text: The text to search for.
            state: The state of the index.
        """

    @abstractmethod
    def hits(self, steps: Table, *, icu: bool) -> Select[Any]:
        """Select the ``threadId`` of messages that may contain the text, by the index alone.

        The parameters are ``term`` (`Dialect.search_term`) and ``match`` (of `match`).

        Args:
            steps: The table of messages.
            icu: Whether the server has ICU collations; only PostgreSQL asks.
        """

    @abstractmethod
    async def build(self, engine: AsyncEngine, schema: str | None) -> None:
        """Build the index, or complete one whose building was interrupted.

        Args:
            engine: The engine of the database.
            schema: The schema of the tables; None: the connection's default one.

        Raises:
            ConfigurationError: The database lacks what the index needs.
        """

    @abstractmethod
    async def drop(self, engine: AsyncEngine, schema: str | None) -> None:
        """Drop the index; nothing happens where there is none.

        Raises:
            ConfigurationError: The database lacks what dropping it needs.
        """
