"""`JsonlExport`: everything, a row a line, which ``chainlit-sqla import`` reads again."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import aclosing

from ..importing import Chunk, OurSource, kind_of, line_of
from ..record_file import End, Header
from .sink import Report, Write


class JsonlExport:
    """Writes records as lines; see `record_file` for the form.

    Args:
        source: What is read.
        header: The first line.

    Example:
        ``counts = await JsonlExport(source, header).write(file.write, report)``
    """

    def __init__(self, source: OurSource, header: Header) -> None:
        self._source = source
        self._header = header
        self._counts: Counter[str] = Counter()

    async def write(self, write: Write, report: Report) -> Counter[str]:
        """Write the whole file.

        Args:
            write: Takes bytes.
            report: Is told how many rows more are written.

        Returns:
            Lines by kind: of records, and of what has no place in our tables.
        """
        write(self._header.line() + b"\n")
        for part in (self._source.users(), self._source.threads(), self._source.rest()):
            await self._write(part, write, report)
        write(End(self._counts).line() + b"\n")
        return self._counts

    async def _write(
        self, chunks: AsyncGenerator[Chunk, None], write: Write, report: Report
    ) -> None:
        async with aclosing(chunks) as opened:
            async for chunk in opened:
                lines = [record.line() for record in chunk.records]
                lines += map(line_of, chunk.misfits)
                if lines:
                    write(b"\n".join(lines) + b"\n")
                    self._counts.update(record.kind for record in chunk.records)
                    self._counts.update(map(kind_of, chunk.misfits))
                    report(len(lines))
