"""`Export`: a selection of conversations of one database, in one form, from one snapshot."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, aclosing
from dataclasses import dataclass
from typing import Protocol

from sqlalchemy import ColumnElement
from sqlalchemy.ext.asyncio import AsyncConnection

from ..._internal.progress import Watch, quiet
from ..._internal.timestamps import format_instant, now
from ...database import Database
from ...database.revision import REVISIONS, current_revision, foreign_tables
from ...errors import SchemaUnknown
from ..importing import OurSource
from ..record_file import Header
from ..records import TABLES
from .conversation import Conversations
from .filenames import file_name
from .html import HtmlExport
from .jsonl import JsonlExport
from .markdown import MarkdownExport
from .openai import ChatExport, ChatOptions
from .selection import Selection
from .sink import Report, Write

JSONL, MARKDOWN, HTML, CHAT = "jsonl", "markdown", "html", "chat"
FORMATS = (JSONL, MARKDOWN, HTML, CHAT)


class Target(Protocol):
    """Where an export goes."""

    is_folder: bool
    """Whether each conversation gets a file of its own."""

    def file(self, name: str | None = None) -> AbstractContextManager[Write]:
        """Open it, or a file in it, for a block; it is there when the block ends well."""
        ...


@dataclass(slots=True)
class Done:
    """What an export did.

    Args:
        label: The database for people.
        selected: Conversations that meet the conditions.
        conversations: Those that were written.
        parts: Their steps as far as they are shown, or their messages in lines for chat models.
        unanswered: Conversations that were left out because they have no answer.
        unlearnt: Those that were left out because no answer may be learnt.
        rows: Rows of a file of records, by kind; None: there is no such file.
    """

    label: str
    selected: int
    conversations: int = 0
    parts: int = 0
    unanswered: int = 0
    unlearnt: int = 0
    rows: Mapping[str, int] | None = None

    @property
    def is_empty(self) -> bool:
        """Whether nothing was written."""
        return not self.conversations and self.rows is None


class Export:
    """One run.

    Args:
        database: What is read.
        form: One of `FORMATS`.
        selection: Which conversations.
        chat: What a line of the form for chat models holds.
        release: The release of chainlit-sqla, for the first line of a file of records.
        watch: Is told how far it is.

    Example:
        ``done = await Export(database, "html", Selection()).run(target)``
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
        self._where: ColumnElement[bool] | None = selection.condition(database.dialect)

    async def run(self, target: Target) -> Done:
        """Write everything; where conditions select nothing, the target is not opened.

        Raises:
            ConfigurationError: A user or a conversation that is named does not exist.
            SchemaUnknown: The tables are not ours, or of a newer release.
            DatabaseUnavailable: The database cannot be reached.
            BrokenPipeError: Nobody reads any more.
        """
        database = self._database
        try:
            async with database.snapshot() as connection:
                await _check(database, connection)
                await self._selection.check(connection)
                return await self._run(connection, target)
        except BrokenPipeError:
            raise
        except database.dialect.errors as error:
            raise database.translate(error) from error

    async def _run(self, connection: AsyncConnection, target: Target) -> Done:
        database = self._database
        source = OurSource(
            connection, database.label, "", database.schema, where=self._where, strangers=True
        )
        counts = await source.count()
        there = {kind: counts[kind] for kind in TABLES}
        done = Done(database.label, there["thread"])
        if self._form == JSONL:
            # All of a database can be users, what was deleted, or nothing at all.
            if done.selected or self._where is None:
                report = self._report("rows", sum(there.values()))
                with target.file() as write:
                    rows = await JsonlExport(source, self._header()).write(write, report)
                done.rows, done.conversations, done.parts = rows, rows["thread"], rows["step"]
        elif done.selected:
            report = self._report("steps", there["step"])
            conversations = Conversations(connection, source, self._where)
            if target.is_folder:
                await self._apart(conversations, target, report, done)
            else:
                with target.file() as write:
                    await self._together(conversations, write, report, done)
        return done

    async def _together(
        self, conversations: Conversations, write: Write, report: Report, done: Done
    ) -> None:
        document = self._document(write, report)
        document.begin(done.selected)
        async with aclosing(conversations.read()) as found:
            async for conversation in found:
                await document.add(conversation)
        document.end()
        done.conversations, done.parts = done.selected, document.parts
        if isinstance(document, ChatExport):
            done.unanswered, done.unlearnt = document.unanswered, document.unlearnt
            done.conversations -= done.unanswered + done.unlearnt

    async def _apart(
        self, conversations: Conversations, target: Target, report: Report, done: Done
    ) -> None:
        suffix = MarkdownExport.suffix if self._form == MARKDOWN else HtmlExport.suffix
        async with aclosing(conversations.read()) as found:
            async for conversation in found:
                with target.file(file_name(conversation.thread, suffix)) as write:
                    document = self._document(write, report)
                    document.begin(1)
                    await document.add(conversation)
                    document.end()
                done.conversations += 1
                done.parts += document.parts

    def _document(self, write: Write, report: Report) -> MarkdownExport | HtmlExport | ChatExport:
        if self._form == CHAT:
            return ChatExport(write, report, self._chat)
        return (MarkdownExport if self._form == MARKDOWN else HtmlExport)(write, report)

    def _header(self) -> Header:
        exported = format_instant(now()) or ""
        return Header(self._release, exported, self._database.label, self._selection.shown)

    def _report(self, what: str, total: int) -> Report:
        count = 0

        def report(more: int) -> None:
            nonlocal count
            count += more
            self._watch(what, count, max(total, count))

        report(0)
        return report


async def _check(database: Database, connection: AsyncConnection) -> None:
    """Refuse tables that are not ours, or of a revision that this release does not know."""
    revision = await current_revision(connection, database.schema)
    if revision in REVISIONS:
        return
    if revision is not None:
        raise SchemaUnknown(
            f"{database.label} is at revision {revision}, which this release does not know; "
            "upgrade chainlit-sqla (pip install -U chainlit-sqla)"
        )
    if await foreign_tables(connection, database.schema):
        raise SchemaUnknown(
            f"{database.label} has conversations that another layer stored; take them over by "
            "chainlit-sqla adopt or chainlit-sqla import, then export"
        )
    raise SchemaUnknown(
        f"{database.label} has no tables of chainlit-sqla; "
        "name the database that the application uses by --url or DATABASE_URL"
    )
