"""Who may write where: Chainlit does not check it for feedback, elements and ids of messages."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from typing import Any

from sqlalchemy import ColumnElement, Connection, Table, and_, delete, exists, or_, select, true

from ..errors import NotTheAuthor, RejectedRow, UnknownOwner
from ..models import feedbacks, threads, tombstones
from .merge_operations import Segment
from .operations import (
    Delete,
    DeleteFeedback,
    DeleteThread,
    SaveThread,
    SaveUser,
    Scope,
    describe,
    printable_id,
)


def refused_claims(segment: Segment, thread_rows: Mapping[str, Any]) -> dict[int, RejectedRow]:
    """Return the operations on other users' threads, by position, with their errors.

    Clients may name any thread, and Chainlit does not always check.
    """
    refused = set()
    for thread_id, actor in segment.claims:
        thread_row = thread_rows.get(thread_id)
        if thread_row is not None and thread_row.userIdentifier not in (None, actor):
            refused.add((thread_id, actor))
    return errors_of_claims([segment], refused) if refused else {}


def errors_of_claims(
    segments: Iterable[Segment], refused: Container[tuple[str, str]]
) -> dict[int, RejectedRow]:
    """Return the operations with these threads and actors, by position, with their errors."""
    return {
        position: NotTheAuthor(
            f"{op.actor!r} is not the author of thread {printable_id(op.thread_id)}; "
            "nothing was changed in it, log in as its author"
        )
        for segment in segments
        for position, op in segment.saves
        if not isinstance(op, SaveUser) and (op.thread_id, op.actor) in refused
    }


def refused_owners(segment: Segment, user_ids: Container[str]) -> dict[int, RejectedRow]:
    """Return the operations that give a thread to a user who does not exist, with their errors."""
    return {
        position: UnknownOwner(
            f"There is no user with the id {printable_id(user_id)!r}; "
            "call create_user first and pass the id of the user it returns"
        )
        for position, op in segment.saves
        if isinstance(op, SaveThread)
        and (user_id := op.values.get("userId")) is not None
        and user_id not in user_ids
    }


def delete_own_feedback(connection: Connection, op: DeleteFeedback) -> bool:
    """Delete feedback of the actor's own threads; return whether there was any."""
    where = feedbacks.c.id == op.id
    if op.actor is None:
        return connection.execute(delete(feedbacks).where(where)).rowcount > 0
    may_delete = or_(threads.c.userIdentifier == op.actor, threads.c.userIdentifier.is_(None))
    within = feedbacks.c.threadId.in_(select(threads.c.id).where(may_delete))
    result = connection.execute(delete(feedbacks).where(where, within))
    if result.rowcount == 0 and connection.scalar(select(feedbacks.c.id).where(where)):
        raise error_of_deletion(op)
    return result.rowcount > 0


def error_of_deletion(op: Delete) -> NotTheAuthor:
    """Return the error where what a client deletes is in other users' threads only."""
    actor = op.actor if isinstance(op, DeleteFeedback | DeleteThread) else op.scope.user
    who = "A session without a user" if actor is None else repr(actor)
    what = describe(op).removeprefix("deletion of ")
    thread = what if isinstance(op, DeleteThread) else f"the thread of {what}"
    return NotTheAuthor(
        f"{who} is not the author of {thread}; it was not deleted, log in as its author"
    )


def within_scope(table: Table, scope: Scope) -> ColumnElement[bool]:
    """Limit a deletion by id to what the calling session may delete."""
    if scope.everywhere:
        return true()
    return exists().where(threads.c.id == table.c.threadId, _may_delete_in(scope))


def pending_thread(connection: Connection, scope: Scope) -> str | None:
    """Return the session's thread, to which a late write may add what is deleted now.

    Not if it does not exist, where another user may create it.
    """
    if scope.user is None:
        return scope.thread_id
    query = select(threads.c.id).where(threads.c.id == scope.thread_id, _may_delete_in(scope))
    return connection.scalar(query)


def _may_delete_in(scope: Scope) -> ColumnElement[bool]:
    in_session = threads.c.id == scope.thread_id
    if scope.user is None:
        return in_session
    owner = threads.c.userIdentifier
    return or_(owner == scope.user, and_(in_session, owner.is_(None)))


def refuse_foreign_row(
    connection: Connection, scope: Scope, op: Delete, where: ColumnElement[bool], tombstone_id: str
) -> None:
    """Raise `NotTheAuthor` where a row that was not found in the scope exists elsewhere.

    Not if the session's thread has its tombstone: it was deleted there, perhaps by a batch whose
    commit had no answer and that is repeated now.
    """
    if scope.everywhere or not connection.scalar(select(exists().where(where))):
        return
    columns = tombstones.c
    in_session = (columns.threadId == scope.thread_id) & (columns.id == tombstone_id)
    if not connection.scalar(select(exists().where(in_session))):
        raise error_of_deletion(op)
