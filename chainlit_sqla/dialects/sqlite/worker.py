"""Transactions and reads on SQLite, each as one call in a worker thread.

The async driver switches threads for every cursor, statement and fetch, and a switch costs more
than most statements. So a whole transaction runs as one function, on a connection of the standard
library's ``sqlite3``.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from ..base import CompiledCall, Rows

T = TypeVar("T")


class SQLiteWorker:
    """Runs functions on connections of a synchronous engine, which may change threads.

    SQLite has one writer at a time, so one thread runs all writes in the order of their calls, and
    as many as there are readers run reads.
    """

    def __init__(self, engine: Engine, write_options: Mapping[str, Any], readers: int) -> None:
        self.engine = engine
        self._writing_engine = engine.execution_options(**write_options)
        self._readers = readers
        self._write_thread: ThreadPoolExecutor | None = None
        self._read_threads: ThreadPoolExecutor | None = None
        self._writes_beside_any_text = False

    async def write(self, work: Callable[[Connection], T]) -> T:
        """Run a function in the writer's thread, in a transaction that commits when it returns."""
        if self._write_thread is None:
            self._write_thread = ThreadPoolExecutor(1, "chainlit-sqla-writer")
        loop = asyncio.get_running_loop()
        return await finish(loop.run_in_executor(self._write_thread, self._transact, work))

    async def fetch(self, calls: Sequence[CompiledCall]) -> list[Rows]:
        """Run reading statements that all see the same state of the database."""
        if self._read_threads is None:
            self._read_threads = ThreadPoolExecutor(self._readers, "chainlit-sqla-reader")
        loop = asyncio.get_running_loop()
        return await finish(loop.run_in_executor(self._read_threads, self._fetch, calls))

    async def close(self) -> None:
        """Finish running calls and close the connections; the next call opens new ones."""
        threads = (self._write_thread, self._read_threads)
        self._write_thread = self._read_threads = None
        for executor in threads:
            if executor is not None:
                await asyncio.to_thread(executor.shutdown)
        self.engine.dispose()

    def _transact(self, work: Callable[[Connection], T]) -> T:
        try:
            return self._run(work)
        except DBAPIError as error:
            if not _is_undecodable(error.orig):
                raise
            self._writes_beside_any_text = True
            return self._run(work)

    def _run(self, work: Callable[[Connection], T]) -> T:
        with self._writing_engine.begin() as connection:
            driver: Any = connection.connection.driver_connection
            if self._writes_beside_any_text:
                driver.text_factory = _replace
            try:
                return work(connection)
            finally:
                driver.text_factory = str

    def _fetch(self, calls: Sequence[CompiledCall]) -> list[Rows]:
        pooled = self.engine.raw_connection()
        connection: Any = pooled.driver_connection
        try:
            if len(calls) > 1:  # One statement is a snapshot by itself.
                connection.execute("BEGIN")
            try:
                return _rows(connection, calls)
            except sqlite3.OperationalError as error:
                if not _is_undecodable(error):
                    raise
                connection.text_factory = _replace
                return _rows(connection, calls)
        finally:
            connection.text_factory = str
            if connection.in_transaction:  # SQLite ends it itself after some errors.
                connection.execute("ROLLBACK")
            pooled.close()


def _rows(connection: sqlite3.Connection, calls: Sequence[CompiledCall]) -> list[Rows]:
    return [connection.execute(sql, values).fetchall() for sql, values in calls]


def _is_undecodable(error: object) -> bool:
    """Return whether another program stored text that is not UTF-8; to replace it takes longer."""
    return str(error).startswith("Could not decode")


def _replace(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")


async def finish(future: asyncio.Future[T]) -> T:
    """Await a future; a cancelled caller waits for its end, then is cancelled.

    Otherwise later calls would wait behind work whose caller is gone.
    """
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        await asyncio.wait([future])
        raise
