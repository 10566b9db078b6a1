"""Exports a selection of conversations from one snapshot of a database."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractContextManager, aclosing
from dataclasses import dataclass
from typing import Protocol

from sqlalchemy.ext.asyncio import AsyncConnection

from ..._internal.aio import Watch, quiet
from ..._internal.timestamps import format_instant, now
from ...database import Database
from ...database.revision import REVISIONS, current_revision, foreign_tables, revision_mismatch
from ...errors import SchemaUnknown
from ..record_file import End, Header
from ..records import TABLES
from ..sources import QUARANTINED, NativeSource
from .conversation import Conversation, ConversationReader
from .formatting import Document, Write, file_name
from .html import HtmlExport
from .markdown import MarkdownExport
from .openai import ChatOptions, OpenAIExport
from .selection import Selection

JSONL, MARKDOWN, HTML, CHAT = "jsonl", "markdown", "html", "chat"
FORMATS = (JSONL, MARKDOWN, HTML, CHAT)

_Report = Callable[[int], None]


class ExportTarget(Protocol):
    """Where an export is written."""

    is_folder: bool
    """Whether each conversation gets a file of its own."""

    def file(self, name: str | None = None) -> AbstractContextManager[Write]:
        """Open the target, or a file in it; the file appears when the block succeeds."""
        ...


@dataclass(slots=True)
class ExportResult:
    """What an export wrote.

    Args:
        label: The database, without its password.
        selected: The number of conversations that meet the conditions.
        conversations: The number of conversations that were written.
        parts: The number of their steps that are shown; with ``chat``, of messages.
        unanswered: Conversations that were left out because they have no answer.
        untrainable: Conversations that were left out because no answer may be trained on.
        rows: The rows of a JSONL file by kind; None: none was written.
        left_in_quarantine: Quarantined rows that a JSONL file of a selection does not have.
    """

    label: str
    selected: int
    conversations: int = 0
    parts: int = 0
    unanswered: int = 0
    untrainable: int = 0
    rows: Mapping[str, int] | None = None
    left_in_quarantine: int = 0

    @property
    def is_empty(self) -> bool:
        """Whether nothing was written."""
        return not self.conversations and self.rows is None


class Export:
    """An export of one database in one format.

    Args:
        database: The database to read.
        form: One of `FORMATS`.
        selection: Which conversations to export.
        chat: The content of a line of the format ``chat``.
        release: The release of chainlit-sqla, for the first line of a JSONL file.
        watch: Receives the progress.

    Example:
        ``result = await Export(database, "html", Selection()).run(target)``
    """

    def __init__(
        self,
        database: Database,
        form: str,
        selection: Selection,
        *,
        chat: ChatOptions | None = None,
        release: str = "",
        watch: Watch = quiet,
    ) -> None:
        self._database = database
        self._form = form
        self._selection = selection
        self._chat = chat or ChatOptions()
        self._release = release
        self._watch = watch
        self._where = selection.condition(database.dialect)

    async def run(self, target: ExportTarget) -> ExportResult:
        """Write everything; the target stays closed where the conditions select nothing.

        Raises:
            ConfigurationError: A user or a thread of the selection does not exist.
            SchemaUnknown: The tables belong to another layer or to a newer release.
            DatabaseUnavailable: The database cannot be reached.
            BrokenPipeError: The reader of a pipe has closed it.
        """
        database = self._database
        try:
            async with database.snapshot() as connection:
                await _check_revision(database, connection)
                await self._selection.check(connection)
                return await self._run(connection, target)
        except BrokenPipeError:
            raise
        except database.dialect.errors as error:
            raise database.translate(error) from error

    async def _run(self, connection: AsyncConnection, target: ExportTarget) -> ExportResult:
        database = self._database
        source = NativeSource(
            connection, database.label, "", database.schema, where=self._where, unknown_columns=True
        )
        counts = await source.count()
        result = ExportResult(database.label, counts["thread"])
        if self._form == JSONL:
            # A database without threads may still have users and deleted threads to back up.
            if result.selected or self._where is None:
                report = self._report("rows", sum(counts[kind] for kind in TABLES))
                header = Header(
                    self._release,
                    format_instant(now()) or "",
                    database.label,
                    self._selection.as_options,
                )
                with target.file() as write:
                    rows = await _write_jsonl(source, header, write, report)
                if self._where is not None:
                    result.left_in_quarantine = counts.get(QUARANTINED, 0)
                result.rows, result.conversations, result.parts = rows, rows["thread"], rows["step"]
        elif result.selected:
            report = self._report("steps", counts["step"])
            reader = ConversationReader(connection, source, self._where, report)
            await self._write_documents(reader, target, result)
        return result

    async def _write_documents(
        self, reader: ConversationReader, target: ExportTarget, result: ExportResult
    ) -> None:
        """Write one document, or in a folder one for each conversation."""
        async with aclosing(reader.read()) as conversations:
            if not target.is_folder:
                with target.file() as write:
                    await self._write_document(write, conversations, result.selected, result)
                return
            suffix = MarkdownExport.suffix if self._form == MARKDOWN else HtmlExport.suffix
            async for conversation in conversations:
                with target.file(file_name(conversation.thread, suffix)) as write:
                    await self._write_document(write, _only(conversation), 1, result)

    async def _write_document(
        self,
        write: Write,
        conversations: AsyncIterator[Conversation],
        count: int,
        result: ExportResult,
    ) -> None:
        document = self._document(write)
        document.begin(count)
        async for conversation in conversations:
            await document.add(conversation)
        document.end()
        result.conversations += count
        result.parts += document.parts
        if isinstance(document, OpenAIExport):
            result.unanswered, result.untrainable = document.unanswered, document.untrainable
            result.conversations -= document.unanswered + document.untrainable

    def _document(self, write: Write) -> Document:
        if self._form == CHAT:
            return OpenAIExport(write, self._chat)
        return MarkdownExport(write) if self._form == MARKDOWN else HtmlExport(write)

    def _report(self, what: str, total: int) -> _Report:
        count = 0

        def report(more: int) -> None:
            nonlocal count
            count += more
            self._watch(what, count, max(total, count))

        report(0)
        return report


async def _write_jsonl(
    source: NativeSource, header: Header, write: Write, report: _Report
) -> Counter[str]:
    """Write every row as a line of a record file, which ``chainlit-sqla import`` reads.

    Returns:
        The number of lines by kind: records, and rows that our tables have no place for.
    """
    counts: Counter[str] = Counter()
    write(header.line() + b"\n")
    for chunks in (source.users(), source.threads(), source.rest()):
        async with aclosing(chunks) as opened:
            async for chunk in opened:
                lines = [record.line() for record in chunk.records]
                lines += (row.line() for row in chunk.quarantined)
                if lines:
                    write(b"\n".join(lines) + b"\n")
                    counts.update(record.kind for record in chunk.records)
                    counts.update(QUARANTINED for _ in chunk.quarantined)
                    report(len(lines))
    write(End(counts).line() + b"\n")
    return counts


async def _only(conversation: Conversation) -> AsyncIterator[Conversation]:
    yield conversation


async def _check_revision(database: Database, connection: AsyncConnection) -> None:
    """Refuse tables of another layer, or of a revision that this release does not know."""
    revision = await current_revision(connection, database.schema)
    if revision in REVISIONS:
        return
    mismatch = revision_mismatch(database.label, revision)
    if revision is not None and mismatch:
        raise mismatch
    if await foreign_tables(connection, database.schema):
        raise SchemaUnknown(
            f"{database.label} holds the tables of another data layer; migrate it with "
            "chainlit-sqla adopt or chainlit-sqla import, then export"
        )
    raise SchemaUnknown(
        f"{database.label} has no tables of chainlit-sqla; "
        "set --url or DATABASE_URL to the database that the application uses"
    )
