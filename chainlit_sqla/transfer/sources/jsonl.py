"""A file of records: what ``chainlit-sqla export`` wrote, or made by hand without its frame.

A position is where a batch begins, in bytes of the unpacked file; for where batches end see
`spread`. A thread whose lines lie in several batches, or whose own line
is not the first, comes whole in a batch at the end. So a batch always says whose its threads are,
also after an interruption, and the comparison meets each thread once.
"""

from __future__ import annotations

import gzip
import hashlib
import zlib
from codecs import BOM_UTF8
from collections import Counter
from collections.abc import AsyncGenerator, Collection, Generator, Iterator, Mapping, Sequence, Set
from contextlib import aclosing, contextmanager
from pathlib import Path
from typing import IO

import orjson

from ...errors import ImportSourceError
from ..record_file import End, Header, open_lines
from ..records import COLUMNS, IN_THREADS, Record, strangers
from .base import QUARANTINED, Chunk, Misfit
from .misfit_lines import UNPLACED, kind_of, misfit_of
from .spread import Cut, Spread

BAD = "line"
"""The kind of a line that is no record."""
_SHOWN = 200


class JsonlSource:
    """Reads a file of records.

    Args:
        path: The file; gzip is recognised.

    Raises:
        ImportSourceError: It cannot be read, or is of a newer format.
    """

    def __init__(self, path: Path) -> None:
        self.title = str(path)
        self._path = path
        with _told(path), open_lines(path) as file:
            first = _line(file)
        self._header = _header(first, path)
        name = f"{path.resolve()}\n".encode() + first
        self.identity = hashlib.sha256(name).hexdigest()
        self._counts: Counter[str] | None = None
        self._spread: Set[str] = frozenset()

    async def count(self) -> Mapping[str, int]:
        """The lines of each kind.

        Raises:
            ImportSourceError: The file was cut, or lines were lost.
        """
        return self._look()

    async def notes(self) -> Sequence[str]:
        """Whether it is a part of a database."""
        return (self.part,) if self.part else ()

    @property
    def part(self) -> str:
        """That it is a selection, or may be."""
        if self._header is None:
            return "It has no first line of an export: nobody can tell whether it is whole."
        filters = ", ".join(f"{name} {value}" for name, value in self._header.filters.items())
        return f"It is a selection ({filters})." if filters else ""

    async def users(self) -> AsyncGenerator[Chunk, None]:
        """All users, and lines that are no records."""
        async for chunk in self._chunks({"user", BAD}):
            yield chunk

    async def threads(
        self, after: str | None = None, only: Collection[str] | None = None
    ) -> AsyncGenerator[Chunk, None]:
        """Threads and what lies in them, in the order of the file but for those spread over it.

        Args:
            after: Where the next batch begins.
            only: Just these threads.
        """
        self._look()
        if only is None:
            parts = [self._in_order(int(after or 0)), self._at_the_end()]
        else:
            parts = [self._chunks({"thread", *IN_THREADS}, frozenset(only))]
        for part in parts:
            async with aclosing(part) as chunks:
                async for chunk in chunks:
                    yield chunk

    async def _in_order(self, start: int) -> AsyncGenerator[Chunk, None]:
        cut, chunk, ids, position = Cut(), Chunk(), set[str](), start
        for position, line in self._lines(start):
            found = self._parse(line)
            if not isinstance(found, Record) or found.kind not in ("thread", *IN_THREADS):
                continue
            if cut.before(found):
                chunk.threads, chunk.position = sorted(ids), str(position)
                yield chunk
                chunk, ids = Chunk(), set()
            if (place := found.thread_id or "") in self._spread:
                continue
            ids.add(place)
            chunk.take(found, *self._rest_of(found, line), weight=len(line))
            if chunk.full:
                yield chunk
                chunk = Chunk()
        if ids:
            chunk.threads, chunk.position = sorted(ids), str(position + 1)
            yield chunk

    async def _at_the_end(self) -> AsyncGenerator[Chunk, None]:
        """Threads that are spread over the file, as one batch without a position."""
        if not self._spread:
            return
        for kinds in ({"thread"}, set(IN_THREADS)):
            async for chunk in self._chunks(kinds, self._spread):
                yield chunk
        yield Chunk(threads=sorted(self._spread))

    async def rest(self) -> AsyncGenerator[Chunk, None]:
        """What was deleted, and what has no place."""
        async for chunk in self._chunks({"tombstone", UNPLACED, QUARANTINED}):
            yield chunk

    async def _chunks(
        self, kinds: Collection[str], ids: Set[str] | None = None
    ) -> AsyncGenerator[Chunk, None]:
        """Lines of some kinds in their order; with ids, records of these threads."""
        chunk = Chunk()
        for _, line in self._lines(0):
            found = self._parse(line)
            if found is None or _kind(found) not in kinds:
                continue
            if ids is not None and not (isinstance(found, Record) and found.thread_id in ids):
                continue
            chunk.take(found, *self._rest_of(found, line), weight=len(line))
            if chunk.full:
                yield chunk
                chunk = Chunk()
        if chunk.read:
            yield chunk

    def _parse(self, line: bytes) -> Record | Misfit | None:
        """A record, what has no place, a line that is neither, or None for the file's frame."""
        try:
            return Record.parse(line)
        except ImportSourceError as error:
            if (aside := misfit_of(line)) is not None:
                return aside
            if b'"kind"' in line[:40] and (_is_header(line) or End.parse(line) is not None):
                return None
            text = line.decode("utf-8", "replace")
            return Misfit(BAD, self._path.name, str(error), {"line": text})

    def _rest_of(self, found: Record | Misfit, line: bytes) -> Sequence[Misfit]:
        """What of a line has no column; steps and elements have a place for it."""
        if isinstance(found, Misfit) or "extra" in COLUMNS[found.kind]:
            return ()
        row = orjson.loads(line)
        if not (more := strangers(found.kind, row)):
            return ()
        reason = f"there is no place for {', '.join(sorted(more))}"
        return (Misfit(found.kind, self._path.name, reason, row, kept=True),)

    def _look(self) -> Counter[str]:
        """Read all of it once: how much there is, and which threads are spread."""
        if self._counts is not None:
            return self._counts
        counts: Counter[str] = Counter()
        spread = Spread()
        end = None
        for _, line in self._lines(0):
            found = self._parse(line)
            if found is None:
                end = End.parse(line) or end
                continue
            counts[_kind(found)] += 1
            if isinstance(found, Record) and found.kind in ("thread", *IN_THREADS):
                spread.see(found)
        if self._header is not None:
            self._compare(counts, end)
        elif not counts.total() - counts[BAD]:
            raise ImportSourceError(
                f"No line of {self._path} is a record of chainlit-sqla; give --from a file made by "
                "chainlit-sqla export, a SQLite file or the URL of a database"
            )
        del counts[UNPLACED]  # They are no rows.
        self._counts, self._spread = counts, spread.threads
        return counts

    def _compare(self, counts: Counter[str], end: End | None) -> None:
        remedy = "export it again, or delete its first line to import what there is"
        if end is None:
            raise ImportSourceError(f"{self._path} was cut: its last line is missing; {remedy}")
        lost = {k: n - counts[k] for k, n in end.counts.items() if n != counts[k]}
        # A line that is no record now may have been one; it is put aside, and not lost.
        if sum(lost.values()) != counts[BAD] or (lost and min(lost.values()) < 0):
            numbers = ", ".join(f"{kind}: {count:+,}" for kind, count in sorted(lost.items()))
            raise ImportSourceError(
                f"{self._path} has lost lines, or has more than were written (lost: {numbers}); "
                f"{remedy}"
            )

    def _lines(self, start: int) -> Iterator[tuple[int, bytes]]:
        """Lines that are not empty, and where each begins."""
        with _told(self._path), open_lines(self._path) as file:
            file.seek(start)
            position = start
            for line in file:
                begin, position = position, position + len(line)
                if line.strip():
                    yield begin, line if begin else line.removeprefix(BOM_UTF8)


def _kind(found: Record | Misfit) -> str:
    """What a line is counted as."""
    if isinstance(found, Record) or found.kind == BAD:
        return found.kind
    return kind_of(found)


@contextmanager
def _told(path: Path) -> Generator[None, None, None]:
    """Say what is to be done about a file that cannot be read."""
    try:
        yield
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:  # The second is an OSError.
        raise ImportSourceError(
            f"{path} is packed and was cut or damaged ({error}); copy it or export it again"
        ) from error
    except OSError as error:
        raise ImportSourceError(
            f"{path} cannot be read ({error.strerror or error}); check the file and its permissions"
        ) from error


def _line(file: IO[bytes]) -> bytes:
    return file.readline(1_000_000).removeprefix(BOM_UTF8)


def _header(line: bytes, path: Path) -> Header | None:
    if not _is_header(line):
        return None
    try:
        return Header.parse(line)
    except ImportSourceError as error:
        raise ImportSourceError(f"{path}: {error}") from error


def _is_header(line: bytes) -> bool:
    return line[:_SHOWN].replace(b" ", b"").startswith(b'{"kind":"chainlit-sqla"')
