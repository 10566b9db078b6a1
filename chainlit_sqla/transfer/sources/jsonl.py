"""`JsonlSource`: a file that ``chainlit-sqla export`` wrote, or made by hand without a header.

A batch is some threads and the lines that belong to them: it ends before a thread that follows
other lines, once it has enough threads. Its resume token is the position of its end in bytes of
the uncompressed file. The line of a thread comes before those that belong to it, in the same
batch: so a batch always says who owns its threads, also after an interruption.
"""

from __future__ import annotations

import gzip
import hashlib
import zlib
from codecs import BOM_UTF8
from collections import Counter
from collections.abc import AsyncGenerator, Collection, Iterator, Mapping, Sequence
from contextlib import aclosing
from pathlib import Path

import orjson

from ...errors import ImportSourceError
from ..record_file import End, Header, open_lines
from ..records import COLUMNS, IN_THREADS, Record, unknown_columns
from .base import BATCH, CHUNK_BYTES, CHUNK_ROWS, Chunk, Items
from .quarantine import QUARANTINED, QuarantinedRow

BAD_LINE = "line"
"""The kind of a line that is not a record."""
_THREAD_KINDS = ("thread", *IN_THREADS)
_REPAIR = "export it again, or delete its first line to import the lines that it has"


class JsonlSource:
    """Reads a file of records, which may be compressed by gzip."""

    def __init__(self, path: Path) -> None:
        self.title = str(path)
        self._path = path
        first = next((line for _, line in self._lines(0)), b"")
        try:
            self._header = Header.parse(first) if _is_header(first) else None
        except ImportSourceError as error:
            raise ImportSourceError(f"{path}: {error}") from error
        self.identity = hashlib.sha256(f"{path.resolve()}\n".encode() + first).hexdigest()
        self._counts: Counter[str] | None = None

    async def count(self) -> Mapping[str, int]:
        """The number of lines of each kind; a truncated or disordered file is refused."""
        if self._counts is None:
            self._counts = self._scan()
        return self._counts

    async def notes(self) -> Sequence[str]:
        """Why the file may hold only a part of a database."""
        if self._header is None:
            return ("The file has no header line, so it may be incomplete.",)
        filters = ", ".join(f"{name} {value}" for name, value in self._header.filters.items())
        return (f"The file is a selection ({filters}).",) if filters else ()

    def users(self) -> AsyncGenerator[Chunk, None]:
        """Read all users, and lines that are not records."""
        return self._read(("user", BAD_LINE))

    async def threads(self, after: str | None = None) -> AsyncGenerator[Chunk, None]:
        """Read threads and what belongs to them in the order of the file."""
        await self.count()  # Checks the order of the lines.
        async with aclosing(self._read(_THREAD_KINDS, int(after or 0))) as chunks:
            async for chunk in chunks:
                yield chunk

    def rest(self) -> AsyncGenerator[Chunk, None]:
        """Read tombstones and quarantined rows."""
        return self._read(("tombstone", QUARANTINED))

    async def _read(self, kinds: Collection[str], start: int = 0) -> AsyncGenerator[Chunk, None]:
        batch, chunk, size, end = _Batch(), Chunk(), 0, start
        for position, line in self._lines(start):
            end = position + len(line)
            item = self._parse(line)
            if item is None or item.kind not in kinds:
                continue
            if batch.ends_before(item):
                chunk.threads, chunk.resume_token = list(batch.thread_ids), str(position)
                yield chunk
                batch, chunk, size = _Batch(), Chunk(), 0
            batch.add(item)
            chunk.add(self._items(item, line))
            size += len(line)
            if chunk.rows >= CHUNK_ROWS or size >= CHUNK_BYTES:
                yield chunk
                chunk, size = Chunk(), 0
        if batch.thread_ids:
            chunk.threads, chunk.resume_token = list(batch.thread_ids), str(end)
        yield chunk

    def _parse(self, line: bytes) -> Record | QuarantinedRow | None:
        """What a line holds; None for the header and the end."""
        try:
            return Record.parse(line)
        except ImportSourceError as error:
            if (row := QuarantinedRow.parse(line)) is not None:
                return row
            if _is_header(line) or End.parse(line) is not None:
                return None
            text = line.decode("utf-8", "replace")
            return QuarantinedRow(BAD_LINE, self._path.name, str(error), {"line": text})

    def _items(self, item: Record | QuarantinedRow, line: bytes) -> Items:
        """What a line becomes: steps and elements keep values without a column in ``extra``."""
        if isinstance(item, QuarantinedRow) or "extra" in COLUMNS[item.kind]:
            return (item,)
        members = orjson.loads(line)
        if not (unknown := unknown_columns(item.kind, members)):
            return (item,)
        reason = f"there is no column for {', '.join(sorted(unknown))}"
        return item, QuarantinedRow(item.kind, self._path.name, reason, members, partial=True)

    def _scan(self) -> Counter[str]:
        """Read the whole file once: count its lines and check their order."""
        counts: Counter[str] = Counter()
        batch, end = _Batch(), None
        for number, (_, line) in enumerate(self._lines(0), start=1):
            item = self._parse(line)
            if item is None:
                end = End.parse(line) or end
                continue
            counts[item.kind] += 1
            batch = _Batch() if batch.ends_before(item) else batch
            batch.add(item)
            if isinstance(item, Record) and not batch.holds(item):
                raise ImportSourceError(
                    f"{self._path}, line {number:,}: the {item.kind} belongs to the thread "
                    f"{item.thread_id!r}, whose own line is not before it; put the line of "
                    "each thread directly before its steps, elements and feedbacks, or delete "
                    "those of a thread that has none"
                )
        if self._header is None:
            if counts.keys() <= {BAD_LINE}:
                raise ImportSourceError(
                    f"No line of {self._path} is a record of chainlit-sqla; give --from a file "
                    "made by chainlit-sqla export, a SQLite file or the URL of a database"
                )
        elif end is None:
            raise ImportSourceError(
                f"{self._path} is truncated: its last line is missing; {_REPAIR}"
            )
        elif (written := sum(end.counts.values())) != counts.total():
            raise ImportSourceError(
                f"{self._path} has {counts.total():,} lines of the {written:,} that were written; "
                f"{_REPAIR}"
            )
        return counts

    def _lines(self, start: int) -> Iterator[tuple[int, bytes]]:
        """Lines that are not empty, with their positions."""
        try:
            with open_lines(self._path) as file:
                file.seek(start)
                position = start
                for line in file:
                    begin, position = position, position + len(line)
                    if line.strip():
                        yield begin, line if begin else line.removeprefix(BOM_UTF8)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:  # The second is an OSError.
            raise ImportSourceError(
                f"{self._path} is compressed and truncated or damaged ({error}); copy it or "
                "export it again"
            ) from error
        except OSError as error:
            raise ImportSourceError(
                f"{self._path} cannot be read ({error.strerror or error}); check the file and its "
                "permissions"
            ) from error


class _Batch:
    """The threads of a batch while its lines are read."""

    def __init__(self) -> None:
        self.thread_ids: dict[str, None] = {}
        self._has_other_lines = False

    def ends_before(self, item: Record | QuarantinedRow) -> bool:
        is_thread = item.kind == "thread"
        return is_thread and self._has_other_lines and len(self.thread_ids) >= BATCH

    def holds(self, record: Record) -> bool:
        return record.kind not in IN_THREADS or record.thread_id in self.thread_ids

    def add(self, item: Record | QuarantinedRow) -> None:
        if isinstance(item, Record) and item.kind == "thread":
            self.thread_ids[item.values["id"]] = None
        elif item.kind in IN_THREADS:
            self._has_other_lines = True


def _is_header(line: bytes) -> bool:
    return line[:200].replace(b" ", b"").startswith(b'{"kind":"chainlit-sqla"')
