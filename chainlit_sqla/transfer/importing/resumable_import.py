"""`Import`: brings the conversations of a source into a database of ours.

It can be started again at any moment: it continues after the last batch of threads that was
written, and writing a batch twice changes nothing. Memory does not grow with the source. At the
end both sides are compared.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import select

from ..._internal.aio import Watch, quiet
from ..._internal.timestamps import now
from ...database import Database
from ...models import imports
from ..sources import Chunk, Source
from .comparison import Comparer, Comparison
from .writer import ImportTarget, Written


@dataclass(slots=True)
class Result:
    """The result of an import; its counts include those of the interrupted runs it continued."""

    source: str
    target: str = ""
    read: Counter[str] = field(default_factory=Counter)
    quarantined: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Rows by kind and reason."""
    partly_quarantined: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Rows that were imported but for some values."""
    deleted: int = 0
    """Rows that were not imported, since they were deleted in the target."""
    notes: Sequence[str] = ()
    resumed: bool = False
    comparison: Comparison = field(default_factory=Comparison)
    seconds: float = 0.0

    @property
    def rows(self) -> int:
        """Rows of the source that were read."""
        return self.read.total()

    def add(self, chunk: Chunk, written: Written) -> None:
        """Count what became of a chunk."""
        self.read.update(record.kind for record in chunk.records)
        self.read.update(row.kind for row in chunk.quarantined if not row.partial)
        for row in (*chunk.quarantined, *written.refused):
            counts = self.partly_quarantined if row.partial else self.quarantined
            counts[row.kind, row.general_reason] += 1
        self.deleted += written.deleted

    def document(self) -> dict[str, Any]:
        """What a later run needs to continue, as JSON."""
        return {
            "read": self.read,
            "quarantined": [[*key, count] for key, count in self.quarantined.items()],
            "partlyQuarantined": [[*key, count] for key, count in self.partly_quarantined.items()],
            "deleted": self.deleted,
        }

    def resume(self, document: Mapping[str, Any]) -> None:
        """Add the counts of an interrupted run."""
        self.read.update(document["read"])
        self.quarantined.update({(kind, why): n for kind, why, n in document["quarantined"]})
        self.partly_quarantined.update(
            {(kind, why): n for kind, why, n in document["partlyQuarantined"]}
        )
        self.deleted += document["deleted"]
        self.resumed = True


class Import:
    """Brings an open source into a database at this release's revision, which may be in use.

    With ``update``, a row of the source replaces a different one.
    """

    def __init__(
        self, source: Source, database: Database, *, update: bool = False, watch: Watch = quiet
    ) -> None:
        self._source = source
        self._database = database
        self._watch = watch
        self._target = ImportTarget(database, source.title, update=update)
        self._result = Result(source.title)
        self._began = self._started = now()
        self._total = 0

    async def run(self) -> Result:
        """Import, then compare; after an error, another run continues."""
        token = await self._resume()
        self._total = sum((await self._source.count()).values())
        # Users always from the beginning: their ids in the target are needed.
        await self._write(self._source.users(), counted=not self._result.read)
        await self._write(self._source.threads(token))
        await self._write(self._source.rest())
        await self._save_progress(None, finished=now())
        await self._target.refresh_statistics()
        return await self._compare()

    async def compare(self) -> Result:
        """Only compare, and write nothing."""
        self._total = sum((await self._source.count()).values())
        return await self._compare()

    async def _resume(self) -> str | None:
        """The resume token of an interrupted run of the same source."""
        query = select(imports).where(imports.c.id == self._source.identity)
        rows = await self._database.read(lambda connection: connection.execute(query))
        row = rows.one_or_none()
        if row is None or row.finishedAt is not None or row.position is None:
            return None
        self._started = row.startedAt
        self._result.resume(row.details)
        token: str = row.position
        return token

    async def _write(self, chunks: AsyncGenerator[Chunk, None], *, counted: bool = True) -> None:
        """Write chunks, and the resume token after each batch."""
        async with aclosing(chunks):
            async for chunk in chunks:
                written = await self._target.write(chunk)
                if counted:
                    self._result.add(chunk, written)
                if chunk.threads is not None:
                    self._target.ownership.end_batch()
                    await self._save_progress(chunk.resume_token)
                self._watch("Importing", min(self._result.rows, self._total), self._total)

    async def _save_progress(self, token: str | None, finished: datetime | None = None) -> None:
        await self._target.save_progress(
            {
                "id": self._source.identity,
                "source": self._source.title,
                "position": token,
                "details": self._result.document(),
                "startedAt": self._started,
                "finishedAt": finished,
            }
        )

    async def _compare(self) -> Result:
        done = 0
        async with AsyncExitStack() as stack:
            with self._database.translated_errors():
                connection = await stack.enter_async_context(self._database.snapshot())
            comparer = Comparer(self._database, connection, self._target.ownership)
            for chunks in (self._source.users(), self._source.threads()):
                async with aclosing(chunks):
                    async for chunk in chunks:
                        with self._database.translated_errors():  # The source has its own.
                            await comparer.add(chunk)
                        done += chunk.rows
                        self._watch("Comparing", done, self._total)
        self._watch("Comparing", self._total, self._total)
        self._result.comparison = comparer.result
        self._result.notes = await self._source.notes()
        self._result.seconds = (now() - self._began).total_seconds()
        return self._result
