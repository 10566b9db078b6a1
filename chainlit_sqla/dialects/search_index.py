"""The database's own index for searching messages, which `chainlit-sqla search enable` builds."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, Table
from sqlalchemy.ext.asyncio import AsyncEngine

from .base import BoundStatement

INDEX = "chainlit_sqla_search"
"""The name of the index, and how the names of all that belongs to it begin."""


@dataclass(frozen=True, slots=True)
class SearchState:
    """What a database has for searching."""

    exists: bool = False
    """Whether there is an index, or a part of one."""
    usable: bool = False
    """Whether the index holds every message."""
    built_at: str = ""
    folds_unicode: bool = True
    """Whether the database ignores the case of all letters, not of ASCII only."""
    indexes_unicode: bool = True
    """Whether the index holds letters beyond ASCII."""


class SearchIndex(ABC):
    """One kind of index; a schema of None is the connection's default one."""

    @abstractmethod
    def state_query(self, schema: str | None) -> BoundStatement:
        """Return the statement that reads the state of the index."""

    @abstractmethod
    def parse_state(self, row: Sequence[Any]) -> SearchState:
        """Return the state that a row of `state_query` describes."""

    @abstractmethod
    def size_query(self, schema: str | None) -> BoundStatement:
        """Return the statement that reads the size in bytes of an index that exists."""

    @abstractmethod
    def match(self, text: str, state: SearchState) -> str | None:
        """Return what `hits` takes to find a text, None where the index cannot find it."""

    @abstractmethod
    def hits(self, steps: Table, *, icu: bool) -> Select[Any]:
        """Select the ``threadId`` of messages that may contain a text, by the index alone.

        The parameters are ``term`` (`Dialect.search_term`) and ``match`` (of `match`).
        """

    @abstractmethod
    async def build(self, engine: AsyncEngine, schema: str | None) -> None:
        """Build the index, or complete one whose building was interrupted."""

    @abstractmethod
    async def drop(self, engine: AsyncEngine, schema: str | None) -> None:
        """Drop the index; nothing happens where there is none."""
