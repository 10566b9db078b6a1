"""`Import`: brings the conversations of a source into a database of ours.

It can be begun again at any moment: it goes on after the last batch of threads that was
written whole, and writing a batch twice changes nothing. Memory does not grow with the source.
At the end both sides are compared.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Row, Select, select
from sqlalchemy.ext.asyncio import AsyncConnection

from ..._internal.progress import Watch, quiet
from ..._internal.timestamps import now
from ...database import Database
from ...models import imports
from ..sources.base import Chunk, Source
from .comparison import Comparison
from .deletions import Missing
from .target import Target, Written
from .verify import Verification

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Result:
    """What an import did.

    Args:
        source: Where it read, for people.
        target: Where it wrote, for people.
        read: Rows of the source by kind, those of an earlier run included.
        aside: Rows put aside, by kind and reason.
        partly: Rows that are there, of which a value was put aside, by kind and reason.
        deleted: Rows that were not brought back, since they were deleted in the target.
        known_users: Users that were there under the same identifier.
        notes: What people should know of the source.
        resumed: Whether it went on where an earlier run was interrupted.
        comparison: What is different at the end; None: it was not compared.
        missing: What the target has and the source has not; None: nobody asked.
        seconds: Of this run.
    """

    source: str
    target: str = ""
    read: Counter[str] = field(default_factory=Counter)
    aside: Counter[tuple[str, str]] = field(default_factory=Counter)
    partly: Counter[tuple[str, str]] = field(default_factory=Counter)
    deleted: int = 0
    known_users: int = 0
    notes: Sequence[str] = ()
    resumed: bool = False
    comparison: Comparison | None = None
    missing: Missing | None = None
    seconds: float = 0.0

    @property
    def rows(self) -> int:
        """Rows of the source that were read."""
        return self.read.total()

    def document(self) -> dict[str, Any]:
        """What is to be remembered when it goes on later."""
        return {
            "read": dict(self.read),
            "aside": [[*key, count] for key, count in self.aside.items()],
            "partly": [[*key, count] for key, count in self.partly.items()],
            "deleted": self.deleted,
            "knownUsers": self.known_users,
        }

    def remember(self, document: Mapping[str, Any]) -> None:
        """Take over what an earlier run did."""
        self.read.update(document.get("read", {}))
        for name, counts in (("aside", self.aside), ("partly", self.partly)):
            counts.update({(kind, why): n for kind, why, n in document.get(name, [])})
        self.deleted += document.get("deleted", 0)
        self.known_users += document.get("knownUsers", 0)
        self.resumed = True


class Import:
    """Brings a source into a database.

    Args:
        source: Open.
        database: At this release's revision; it may be in use.
        update: Whether a row of the source replaces a different one that is there.
        watch: Is told of the progress.
        missing: Whether to look what the target has and the source has not.

    Example:
        >>> async with open_source("old.jsonl", settings) as source:
        ...     result = await Import(source, database).run()
        >>> result.comparison.equal
        True
    """

    def __init__(
        self,
        source: Source,
        database: Database,
        *,
        update: bool = False,
        watch: Watch = quiet,
        missing: bool = False,
    ) -> None:
        self._source = source
        self._database = database
        self._watch = watch
        self._target = Target(database, source.title, update=update)
        self._result = Result(source.title, missing=Missing() if missing else None)
        self._began = self._started = now()
        self._total = 0

    async def run(self) -> Result:
        """Import, then compare.

        Raises:
            ImportSourceError: The source cannot be read.
            DatabaseUnavailable: The target stayed away; the same again goes on.
        """
        position = await self._resume()
        self._total = sum((await self._source.count()).values())
        # Users each time from the beginning: their ids in the target are needed.
        await self._bring(self._source.users(), counted=not self._result.read)
        await self._bring(self._source.threads(after=position))
        await self._bring(self._source.rest())
        await self._save(None, finished=now())
        await self._target.settle()
        await self._verify()
        return await self._finish()

    async def compare(self) -> Result:
        """Only compare, and write nothing."""
        self._total = sum((await self._source.count()).values())
        await self._verify()
        return await self._finish()

    async def _resume(self) -> str | None:
        """Where an interrupted run of the same source stood."""
        query = select(imports).where(imports.c.id == self._source.identity)
        row = await self._database.read(lambda c: _first(c, query))
        if row is None or row.finishedAt is not None or row.position is None:
            return None
        self._started = row.startedAt
        self._result.remember(row.details)
        position: str = row.position
        return position

    async def _bring(self, chunks: AsyncGenerator[Chunk, None], *, counted: bool = True) -> None:
        """Write chunks, and where to go on after each batch.

        Args:
            chunks: Of the source.
            counted: Whether they are to be counted; not where an earlier run has done it.
        """
        async with aclosing(chunks):
            async for chunk in chunks:
                written = await self._target.write(chunk.records, chunk.misfits)
                if counted:
                    self._count(chunk, written)
                if chunk.threads is not None:
                    self._target.end_batch()
                if chunk.position is not None:
                    await self._save(chunk.position)
                self._show()

    async def _save(self, position: str | None, finished: datetime | None = None) -> None:
        row = {
            "id": self._source.identity,
            "source": self._source.title,
            "position": position,
            "details": self._result.document(),
            "startedAt": self._started,
            "finishedAt": finished,
        }
        await self._target.write((), position=row)

    async def _verify(self) -> None:
        verification = Verification(self._source, self._target, self._result.missing)
        await verification.users()
        done = 0
        async with aclosing(verification.threads()) as chunks:
            async for chunk in chunks:
                done += chunk.read
                self._watch("Comparing", done, self._total)
        self._watch("Comparing", self._total, self._total)
        self._result.comparison = verification.found

    def _count(self, chunk: Chunk, written: Written) -> None:
        result = self._result
        result.read.update(record.kind for record in chunk.records)
        result.read.update(misfit.kind for misfit in chunk.misfits if not misfit.kept)
        for misfit in (*chunk.misfits, *written.refused):
            counts = result.partly if misfit.kept else result.aside
            counts[misfit.kind, misfit.general] += 1
        result.deleted += written.deleted
        result.known_users += written.known_users

    def _show(self) -> None:
        self._watch("Importing", min(self._result.rows, self._total), self._total)

    async def _finish(self) -> Result:
        self._result.notes = await self._source.notes()
        self._result.seconds = (now() - self._began).total_seconds()
        return self._result


async def _first(connection: AsyncConnection, query: Select[Any]) -> Row[Any] | None:
    row: Row[Any] | None = (await connection.execute(query)).one_or_none()
    return row
