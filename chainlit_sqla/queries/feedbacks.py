"""Reading whose feedback it is."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Table, select
from sqlalchemy.ext.asyncio import AsyncConnection

from ..models import Feedback, Step, Thread

feedbacks: Table = Feedback.__table__  # type: ignore[assignment]
steps: Table = Step.__table__  # type: ignore[assignment]
threads: Table = Thread.__table__  # type: ignore[assignment]


async def authors(connection: AsyncConnection, feedback_id: str) -> Sequence[str | None]:
    """The users in whose threads a feedback of this id is.

    Args:
        connection: A connection that may read.
        feedback_id: The feedback.
    """
    query = (
        select(threads.c.userIdentifier)
        .join(feedbacks, feedbacks.c.threadId == threads.c.id)
        .where(feedbacks.c.id == feedback_id)
    )
    return (await connection.scalars(query)).all()


async def authors_of_step(connection: AsyncConnection, step_id: str) -> Sequence[str | None]:
    """The users in whose threads a step of this id is.

    Args:
        connection: A connection that may read.
        step_id: The step.
    """
    query = (
        select(threads.c.userIdentifier)
        .join(steps, steps.c.threadId == threads.c.id)
        .where(steps.c.id == step_id)
    )
    return (await connection.scalars(query)).all()
