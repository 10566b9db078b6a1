"""Fast batches on PostgreSQL: a round trip that is a transaction of its own.

There are two statements, which share the parts that save threads and steps.

**A turn** (`FastBatch.is_turn`) is one statement, executed once. All its parts see one snapshot,
taken before it waits for a lock, while `chainlit_sqla.writes.execute_saves` relies on later
statements seeing more. So it checks that nothing was committed in between:

1. It locks the rows of the threads in the order of their ids, like all writers.
2. The locked version of each row (``xmin``) must be that of the snapshot. Deleting a thread
   removes its row, and deleting from a thread changes its row under an exclusive lock, so a
   deletion that was committed meanwhile is detected.
3. Tombstones and owners are read from the snapshot, which is then current.
4. For threads that do not exist, a deletion during a wait would not be detected. So a statement
   that inserts threads inserts all of its threads, and waits for no lock.

The columns of its steps are those that any of them gives: NULL, in the others, changes nothing.

**Any other batch**, and a turn for which this does not hold, is the other statement, executed
several times: asyncpg's ``fetchmany`` sends all executions together, and the server runs them in
one transaction, each with a snapshot of its own (``READ COMMITTED``, which is checked).

1. The first execution saves users and locks the threads: those of the batch, and those in which
   a deletion by id finds its row.
2. Each segment's saves are one execution, and each deletion is one: it sees what those before it
   did, and what others committed before the locks.
3. The execution after the locks decides for the whole batch whether it is written, and leaves
   the answer to the later ones in a setting of the transaction.
4. A thread may be changed if its row is locked or was inserted by this transaction (``xmax``,
   ``xmin``).

In both, a thread that another process inserted meanwhile violates the primary key, which undoes
everything.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Set
from contextlib import nullcontext
from typing import Any

import orjson
from asyncpg import PostgresError
from asyncpg.exceptions import UniqueViolationError
from sqlalchemy.exc import StatementError

from ..._internal import json as _json
from ..._internal.timestamps import now
from ..fast_batch import (
    Document,
    FastBatch,
    FastBatchOutcome,
    FastBatchResult,
    FastBatchSegment,
)
from .connection import end_after_timeout, milliseconds, transaction
from .fast_batch_sql import ANY, TOUCH, TURN, not_null, statement_of

# Not supported; no such column or function: PostgreSQL-compatible servers may lack system columns.
_UNSUPPORTED_CODES = {"0A000", "42703", "42883"}
_FORBIDDEN = "42501"
_THREAD_KEYS = {"id", "begun", "actor", "activity"}
"""The members of a thread's document that changes nothing in its row but the time."""
_NEEDS_STATEMENTS = FastBatchResult(FastBatchOutcome.NEEDS_STATEMENTS)


async def write(
    driver: Any, batch: FastBatch, schema: str | None, *, pooler: bool, lock_timeout: float
) -> FastBatchResult:
    """Write a batch.

    Behind a transaction pooler, a transaction keeps the driver's messages in one session, whose
    settings are not ours.
    """
    try:
        async with transaction(driver, _begin(lock_timeout)) if pooler else nullcontext():
            if batch.is_turn and await _write_turn(driver, batch, schema):
                return FastBatchResult(FastBatchOutcome.WRITTEN)
            return await _write_any(driver, batch, schema)
    except TimeoutError as error:
        raise await end_after_timeout(driver) from error
    except UniqueViolationError:
        return _NEEDS_STATEMENTS
    except PostgresError as error:
        if error.sqlstate in _UNSUPPORTED_CODES:
            return FastBatchResult(FastBatchOutcome.UNSUPPORTED)
        if error.sqlstate == _FORBIDDEN:  # Perhaps of a table that the batch does not change.
            return _NEEDS_STATEMENTS
        raise


def _begin(lock_timeout: float) -> str:
    begin = "BEGIN ISOLATION LEVEL READ COMMITTED"
    if lock_timeout:
        begin += f"; SET LOCAL lock_timeout = {milliseconds(lock_timeout)}"
    return begin


async def _write_turn(driver: Any, batch: FastBatch, schema: str | None) -> bool:
    [segment] = batch.segments
    touches = all(thread.keys() <= _THREAD_KEYS for thread in segment.threads)
    template = TOUCH if touches else TURN
    columns, steps = _columns(segment, not_null(batch.tables.steps)), segment.steps
    statement = statement_of(template, batch.tables, batch.defaults, schema, columns)
    if columns is not None:
        steps = [_flat(row) for row in steps]
    return bool(await driver.fetchval(statement, _document(segment.threads), _document(steps)))


async def _write_any(driver: Any, batch: FastBatch, schema: str | None) -> FastBatchResult:
    statement = statement_of(ANY, batch.tables, batch.defaults, schema)
    deletions = [document for segment in batch.segments for document in segment.deletions]
    [_, *rows] = await driver.fetchmany(statement, list(_executions(batch, deletions)))
    if not all(row["ok"] for row in rows):
        refused = [tuple(claim) for row in rows for claim in orjson.loads(row["refused"] or "[]")]
        if not refused:
            return _NEEDS_STATEMENTS
        return FastBatchResult(FastBatchOutcome.REFUSED, refused=refused)
    return FastBatchResult(
        FastBatchOutcome.WRITTEN,
        deleted=[row["deleted"] for row in rows if row["is_deletion"]],
        late=[id for row in rows for id in orjson.loads(row["late"] or "[]")],
        has_blobs=any(row["has_blobs"] for row in rows),
    )


def _flat(row: Document) -> Document:
    """Return a step whose values are members of its row."""
    flat = {**row, **row["values"]}
    del flat["values"]
    return flat


def _columns(segment: FastBatchSegment, not_null: Set[str]) -> tuple[str, ...] | None:
    """Return the columns that steps give; None where they erase one, or change a document.

    Those that are not NULL, which would not leave them alone, must be given by all, or by none.
    """
    if not segment.steps:
        return None
    values = segment.steps[0]["values"]
    uniform, names = values.keys() & not_null, set(values)
    for row in segment.steps:
        values = row["values"]
        is_simple = "extra" not in row and values.keys() & not_null == uniform
        if not is_simple or None in values.values():
            return None
        names.update(values)
    return tuple(sorted(names))


def _executions(batch: FastBatch, deletions: Sequence[Any]) -> Iterable[Sequence[str | None]]:
    """Return the arguments of each execution."""
    moment = now().isoformat()
    by_id = [document for document in deletions if document["kind"] in ("step", "element")]
    locks = orjson.dumps(batch.thread_ids).decode()
    yield None, None, locks, None, None, None, _document(batch.users), _document(by_id), moment
    claims = [{"id": id, "actor": actor} for id, actor in batch.claims]
    restored, owners = zip(*batch.new_owners, strict=True) if batch.new_owners else ((), ())
    checks: str | None = _document({"claims": claims, "owners": owners, "restored": restored})
    for segment in batch.segments:
        kinds = segment.threads, segment.steps, segment.elements, segment.feedbacks
        if segment.threads:
            threads, steps, elements, feedbacks = (_document(rows) for rows in kinds)
            yield threads, steps, None, checks, elements, feedbacks, None, None, moment
            checks = None
        for deletion in segment.deletions:
            yield None, None, None, checks, None, None, None, _document([deletion]), moment
            checks = None
    if checks:  # Only users.
        yield None, None, None, checks, None, None, None, None, moment


def _document(rows: Any) -> str | None:
    """Return rows as JSON, which the driver encodes fastest; None where there are none."""
    if not rows:
        return None
    try:
        return orjson.dumps(rows, _fragment, orjson.OPT_PASSTHROUGH_SUBCLASS).decode()
    except (TypeError, ValueError) as error:
        raise StatementError(str(error), None, None, error) from error


def _fragment(value: Any) -> orjson.Fragment:
    """Insert serialized JSON unchanged; refuse other types."""
    if type(value) is not _json.JsonText:
        raise TypeError(f"{type(value).__name__} is not a value of a fast batch")
    return orjson.Fragment(str(value))
