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
from collections.abc import AsyncGenerator, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import orjson

from ...errors import ImportSourceError
from ..record_file import End, Header, open_lines
from ..records import COLUMNS, IN_THREADS, Record, unknown_columns
from .base import BATCH, Chunk, Items, chunked
from .quarantine import QUARANTINED, QuarantinedRow

BAD_LINE = "line"
"""The kind of a line that is not a record."""
_THREAD_KINDS = ("thread", *IN_THREADS)


class JsonlSource:
    """Reads a file of records.

    Args:
        path: The file; gzip is recognised.

    Raises:
        ImportSourceError: The file cannot be read, or has a newer format.

    Example:
        >>> async for chunk in JsonlSource(Path("chats.jsonl.gz")).users(): ...
    """

    def __init__(self, path: Path) -> None:
        self.title = str(path)
        self._path = path
        with _reading(path), open_lines(path) as file:
            first = file.readline(1_000_000).removeprefix(BOM_UTF8)
            self._state = _state_of(path)
        try:
            self._header = Header.parse(first) if _is_header(first) else None
        except ImportSourceError as error:
            raise ImportSourceError(f"{path}: {error}") from error
        self.identity = hashlib.sha256(f"{path.resolve()}\n".encode() + first).hexdigest()
        self._counts: Counter[str] | None = None

    async def count(self) -> Mapping[str, int]:
        """The number of lines of each kind.

        Raises:
            ImportSourceError: The file is truncated, lines are missing or in the wrong order.
        """
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
        return chunked(self._of_kinds("user", BAD_LINE))

    async def threads(self, after: str | None = None) -> AsyncGenerator[Chunk, None]:
        """Read threads and what belongs to them in the order of the file.

        Args:
            after: The resume token of an earlier batch.
        """
        await self.count()  # Checks the order of the lines.
        batch, chunk = _Batch(), Chunk()
        end = start = int(after or 0)
        for position, line in self._lines(start):
            end = position + len(line)
            record = self._parse(line)
            if not isinstance(record, Record) or record.kind not in _THREAD_KINDS:
                continue
            if batch.ends_before(record):
                chunk.threads, chunk.resume_token = batch.thread_ids, str(position)
                yield chunk
                batch, chunk = _Batch(), Chunk()
            batch.add(record)
            chunk.add(self._items(record, line), len(line))
            if chunk.is_full:
                yield chunk
                chunk = Chunk()
        if batch.thread_ids:
            chunk.threads, chunk.resume_token = batch.thread_ids, str(end)
            yield chunk

    def rest(self) -> AsyncGenerator[Chunk, None]:
        """Read tombstones and quarantined rows."""
        return chunked(self._of_kinds("tombstone", QUARANTINED))

    async def _of_kinds(self, *kinds: str) -> AsyncGenerator[Items, None]:
        for _, line in self._lines(0):
            item = self._parse(line)
            if item is not None and item.kind in kinds:
                yield self._items(item, line)

    def _parse(self, line: bytes) -> Record | QuarantinedRow | None:
        """What a line holds; None for the header and the end."""
        try:
            return Record.parse(line)
        except ImportSourceError as error:
            if (row := QuarantinedRow.parse(line)) is not None:
                return row
            if b'"kind"' in line[:40] and (_is_header(line) or End.parse(line) is not None):
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
            if isinstance(item, Record) and item.kind in _THREAD_KINDS:
                batch = _Batch() if batch.ends_before(item) else batch
                if not batch.add(item):
                    raise ImportSourceError(
                        f"{self._path}, line {number:,}: the {item.kind} belongs to the thread "
                        f"{item.thread_id!r}, whose own line is not before it; put the line of "
                        "each thread directly before its steps, elements and feedbacks, or delete "
                        "those of a thread that has none"
                    )
        if self._header is not None:
            self._check_counts(counts, end)
        elif not counts.total() - counts[BAD_LINE]:
            raise ImportSourceError(
                f"No line of {self._path} is a record of chainlit-sqla; give --from a file made by "
                "chainlit-sqla export, a SQLite file or the URL of a database"
            )
        return counts

    def _check_counts(self, counts: Counter[str], end: End | None) -> None:
        repair = "export it again, or delete its first line to import the lines that it has"
        if end is None:
            raise ImportSourceError(
                f"{self._path} is truncated: its last line is missing; {repair}"
            )
        lost = {k: n - counts[k] for k, n in end.counts.items() if n != counts[k]}
        # A line that is not a record may have been one; it is quarantined, and not lost.
        if sum(lost.values()) != counts[BAD_LINE] or (lost and min(lost.values()) < 0):
            numbers = ", ".join(f"{kind}: {count:+,}" for kind, count in sorted(lost.items()))
            raise ImportSourceError(
                f"{self._path} has lost lines, or has more than were written (lost: {numbers}); "
                f"{repair}"
            )

    def _lines(self, start: int) -> Iterator[tuple[int, bytes]]:
        """Lines that are not empty, with their positions.

        Raises:
            ImportSourceError: The file was replaced or changed since it was opened first.
        """
        with _reading(self._path), open_lines(self._path) as file:
            file.seek(start)
            position = start
            for line in file:
                begin, position = position, position + len(line)
                if line.strip():
                    yield begin, line if begin else line.removeprefix(BOM_UTF8)
            if _state_of(self._path) != self._state:
                raise ImportSourceError(
                    f"{self._path} has changed while it was read; run the same command again "
                    "once it is complete"
                )


class _Batch:
    """The threads of a batch while its lines are read."""

    def __init__(self) -> None:
        self._ids: dict[str, None] = {}
        self._has_other_lines = False

    @property
    def thread_ids(self) -> Sequence[str]:
        return list(self._ids)

    def ends_before(self, record: Record) -> bool:
        is_thread = record.kind == "thread"
        return is_thread and self._has_other_lines and len(self._ids) >= BATCH

    def add(self, record: Record) -> bool:
        """Add a record; False: the line of its thread is not in the batch."""
        if record.kind == "thread":
            self._ids[record.values["id"]] = None
            return True
        self._has_other_lines = True
        return record.thread_id in self._ids


@contextmanager
def _reading(path: Path) -> Generator[None, None, None]:
    """Translate the errors of a file that cannot be read."""
    try:
        yield
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:  # The second is an OSError.
        raise ImportSourceError(
            f"{path} is compressed and truncated or damaged ({error}); copy it or export it again"
        ) from error
    except OSError as error:
        raise ImportSourceError(
            f"{path} cannot be read ({error.strerror or error}); check the file and its permissions"
        ) from error


def _state_of(path: Path) -> tuple[int, int, int]:
    """What changes when a file is changed or replaced."""
    status = path.stat()
    return status.st_ino, status.st_size, status.st_mtime_ns


def _is_header(line: bytes) -> bool:
    return line[:200].replace(b" ", b"").startswith(b'{"kind":"chainlit-sqla"')
