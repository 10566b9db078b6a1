"""The files of ``import --copy-storage``."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass

import typer
from sqlalchemy.ext.asyncio import AsyncConnection

from ..database import Database
from ..errors import BlobNotFound, StorageError
from ..queries import blobs as queries
from ..settings import Settings
from ..storage.base import Inventory
from ..storage.config import storage_url
from ..storage.copy import Result
from ..storage.copy_endpoints import Ends
from ..storage.journal import Journal
from ..storage.keys import key_bytes
from ..storage.local.client import LocalStorage
from ..storage.urls import shown_url
from .options import open_database
from .runtime import run_async
from .storage_copy import complain, default_journal, done, ends_of, transfer_of

_OPTION = "--copy-storage"
_PORTION = 1_000
_AT_ONCE = 16
"""Requests to the store that are under way at most."""


@dataclass(slots=True)
class _Named:
    """How many files the rows name, and how many of them are nowhere."""

    rows: int = 0
    nowhere: int = 0
    first: str = ""


def check_source(source: str, settings: Settings) -> None:
    """Find out at once whether `copy_all` can begin; nothing is copied.

    Args:
        source: The URL of the store to copy from.
        settings: The settings.

    Raises:
        ConfigurationError: Both are the same store, or the URL cannot be used.
        StorageError: One of them cannot be read, or that of the settings not written.
    """
    run_async(_checked(ends_of(source, storage_url(settings), settings)))


def copy_all(source: str, settings: Settings) -> None:
    """Copy the files of a store into the one that the settings mean, and say what that did.

    Args:
        source: The URL of the store to copy from.
        settings: The settings; they name the database, too, whose rows were imported.

    Raises:
        ConfigurationError: Both are the same store, or the URL cannot be used.
        StorageError: A file was not copied, or an element names one that is in neither store.
    """
    target = storage_url(settings)
    ends = ends_of(source, target, settings)
    result, named = run_async(_copy(ends, settings))
    typer.echo(f"Files: {done(result, source, _OPTION)}")
    if result.failed or result.stopped:
        complain(result)
    if named.nowhere:
        foreign = isinstance(ends.source, LocalStorage) and not named.rows - named.nowhere
        raise StorageError(
            f"{named.nowhere:,} of the {named.rows:,} files that elements name are neither in "
            f"{shown_url(source)} nor in {shown_url(target)} (the first: {named.first!r}); "
            + (_OTHER_LAYOUT if foreign else "")
            + f"correct {_OPTION} and run the same command again. Files that are lost for good are "
            "listed by: chainlit-sqla storage check"
        )


_OTHER_LAYOUT = (
    "a folder is read only as chainlit-sqla writes it, so give files of another layout to the "
    "layer by their own client (docs/storage.md), or "
)


async def _checked(ends: Ends) -> None:
    async with aclosing(ends):
        await ends.target.check()
        async for _ in ends.source.list_blobs():  # It is only read.
            break


async def _copy(ends: Ends, settings: Settings) -> tuple[Result, _Named]:
    named = _Named()
    async with transfer_of(ends, default_journal(ends, settings)) as (transfer, journal):
        result = await transfer.run()
        if not result.stopped:
            async with open_database(settings) as database:
                named = await _look_for(database, ends.target, journal)
    return result, named


async def _look_for(database: Database, target: Inventory, journal: Journal) -> _Named:
    """Look for the file of each element: among what was copied, else in the target itself."""
    named, after, slots = _Named(), None, asyncio.Semaphore(_AT_ONCE)

    async def portion(connection: AsyncConnection) -> Sequence[tuple[str, queries.Place]]:
        rows = await queries.referenced(connection, after, _PORTION)
        return [(row.objectKey, (row.threadId, row.id)) for row in rows]

    async def is_there(key: str) -> bool:
        async with slots:
            return await _is_there(target, key)

    while rows := await database.read(portion):
        keys = [key for key, _ in rows]
        copied = journal.copied_of(keys)  # SQLite keeps to its thread.
        rest = [key for key in keys if key not in copied]
        there = await asyncio.gather(*map(is_there, rest))
        gone = [key for key, found in zip(rest, there, strict=True) if not found]
        named.rows += len(keys)
        named.nowhere += len(gone)
        named.first = named.first or next(iter(gone), "")
        after = rows[-1][1]
    return named


async def _is_there(target: Inventory, key: str) -> bool:
    try:
        key_bytes(key)
    except StorageError:
        return False  # No store can have it.
    try:
        await target.stat(key)
    except BlobNotFound:
        return False
    return True
