"""Exports a selection of conversations from one snapshot of a database."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy.ext.asyncio import AsyncConnection

from ... import __version__
from ..._internal.aio import Watch, quiet
from ..._internal.timestamps import format_instant, now
from ...database import Database
from ...database.revision import (
    REVISIONS,
    current_revision,
    describe_foreign_tables,
    revision_mismatch,
)
from ...errors import SchemaUnknown
from ...models import elements
from ..record_file import End, Header
from ..records import TABLES
from ..selection import Selection
from ..sources import QUARANTINED, NativeSource
from .conversation import ConversationReader, Document, Write
from .files import COLUMNS, FileExport
from .html import HtmlExport
from .markdown import MarkdownExport
from .openai import OpenAIExport


class Format(StrEnum):
    """The formats of an export."""

    JSONL = "jsonl"
    MARKDOWN = "markdown"
    HTML = "html"
    CHAT = "chat"


@dataclass(slots=True)
class ExportResult:
    """How many conversations were selected and written, and whether nothing at all was."""

    label: str
    selected: int
    conversations: int = 0
    is_empty: bool = False


async def export_conversations(
    database: Database,
    form: Format,
    selection: Selection,
    write: Write,
    *,
    tools: bool = False,
    files: FileExport | None = None,
    watch: Watch = quiet,
) -> ExportResult:
    """Write the selected conversations, and note their files; nothing where none is selected.

    As rows (``jsonl``), a user who is selected as a whole is written without conversations, too.
    """
    try:
        async with database.snapshot() as connection:
            await _check_revision(database, connection)
            await selection.check(connection)
            where = selection.condition(database.dialect)
            source = NativeSource(
                connection,
                database.label,
                "",
                database.schema,
                where=where,
                users_too=selection.owners() if selection.whole_users else None,
                unknown_columns=True,
            )
            counts = await source.count()
            result = ExportResult(database.label, counts["thread"])
            if form is Format.JSONL:
                # A database without threads may still have users and deleted threads to back up.
                result.is_empty = not (counts["user"] or result.selected) and where is not None
                if not result.is_empty:
                    report = _counting(watch, "rows", sum(counts[kind] for kind in TABLES))
                    await _write_jsonl(source, selection, write, report)
                    result.conversations = result.selected
            else:
                reader = ConversationReader(
                    connection, source, where, _counting(watch, "steps", counts["step"])
                )
                document = _document(form, write, tools)
                result.conversations = await _write_document(document, reader, result.selected)
                result.is_empty = not result.conversations
            if files is not None:
                with_file = elements.c.objectKey.is_not(None)
                async for record in source.selected("element", with_file, only=COLUMNS):
                    files.add({name: record.values[name] for name in COLUMNS})
            return result
    except BrokenPipeError:  # The reader of the output has closed it.
        raise
    except database.dialect.errors as error:
        raise database.translate(error) from error


def _document(form: Format, write: Write, tools: bool) -> Document:
    if form is Format.CHAT:
        return OpenAIExport(write, tools=tools)
    return MarkdownExport(write) if form is Format.MARKDOWN else HtmlExport(write)


async def _write_document(document: Document, reader: ConversationReader, count: int) -> int:
    written = 0
    if count:
        document.begin(count)
        async with aclosing(reader.read()) as conversations:
            async for conversation in conversations:
                written += await document.add(conversation)
        document.end()
    return written


async def _write_jsonl(
    source: NativeSource, selection: Selection, write: Write, report: Callable[[int], None]
) -> None:
    """Write every row as a line of a record file, which ``chainlit-sqla import`` reads."""
    counts: Counter[str] = Counter()
    exported = format_instant(now()) or ""
    header = Header(__version__, exported, source.title, selection.as_options)
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


def _counting(watch: Watch, what: str, total: int) -> Callable[[int], None]:
    """Report progress by the number of items since the last report."""
    count = 0

    def report(more: int) -> None:
        nonlocal count
        count += more
        watch(what, count, max(total, count))

    return report


async def _check_revision(database: Database, connection: AsyncConnection) -> None:
    """Refuse tables of another layer, or of a revision that this release does not know."""
    revision = await current_revision(connection, database.schema)
    if revision in REVISIONS:
        return
    if revision is not None and (mismatch := revision_mismatch(database.label, revision)):
        raise mismatch
    problem = await describe_foreign_tables(connection, database.schema) or (
        "has no tables of chainlit-sqla; "
        "set --url or CHAINLIT_DATABASE_URL to the database that the application uses"
    )
    raise SchemaUnknown(f"{database.label} {problem}")
