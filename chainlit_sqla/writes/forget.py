"""Removing signatures where the database has no triggers that are sure to do it."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import Connection, delete

from ..models import signatures


def forget(connection: Connection, thread_ids: Collection[str]) -> None:
    """Remove the signatures of threads whose texts change in the same transaction.

    Whoever writes texts calls it where `Dialect.always_forgets`.

    Args:
        connection: In a transaction that has locked the threads.
        thread_ids: The threads, as many as one statement can take.
    """
    if thread_ids:
        of_threads = signatures.c.threadId.in_(sorted(thread_ids))
        connection.execute(delete(signatures).where(of_threads))
