"""`Selection`: which conversations are exported."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from sqlalchemy import ColumnElement, and_, exists, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from ..._internal.timestamps import format_instant, parse_instant
from ...dialects import Dialect
from ...errors import ConfigurationError
from ...models import feedbacks, steps, threads, users

FEEDBACK: dict[str, tuple[int, ...]] = {"up": (1,), "down": (0,), "any": (0, 1)}
"""The values of a feedback by the word for them."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Conversations that meet each of the conditions given.

    Args:
        users: Of one of these users, by identifier or id.
        threads: One of these, by id.
        since: With an activity at this instant or later.
        until: Whose last activity was before this instant.
        feedback: With such a feedback for one of its steps: a key of `FEEDBACK`.
        tags: With one of these tags.

    Example:
        >>> Selection.parse(users=["me"], until="2026-01-31").until
        datetime.datetime(2026, 2, 1, 0, 0, tzinfo=datetime.timezone.utc)
    """

    users: Sequence[str] = ()
    threads: Sequence[str] = ()
    since: datetime | None = None
    until: datetime | None = None
    feedback: str | None = None
    tags: Sequence[str] = ()

    @classmethod
    def parse(
        cls, *, since: str | None = None, until: str | None = None, **others: Any
    ) -> Selection:
        """Make one with instants as people write them.

        Args:
            since: A date, which begins at its midnight in UTC, or an instant in ISO 8601.
            until: The same; a date is meant with the whole of that day.
            **others: As they are.

        Raises:
            ConfigurationError: An instant cannot be read.
        """
        return cls(
            since=None if since is None else _instant("--since", since, whole_day=False),
            until=None if until is None else _instant("--until", until, whole_day=True),
            **others,
        )

    @property
    def shown(self) -> dict[str, Any]:
        """What is given, by the name of the option, as JSON."""
        given = {
            "user": list(self.users),
            "thread": list(self.threads),
            "since": format_instant(self.since),
            "until": format_instant(self.until),
            "feedback": self.feedback,
            "tag": list(self.tags),
        }
        return {name: value for name, value in given.items() if value}

    def condition(self, dialect: Dialect) -> ColumnElement[bool] | None:
        """What holds for a selected row of ``threads``; None: all are selected.

        Args:
            dialect: Of the database that is asked.
        """
        parts: list[ColumnElement[bool]] = []
        if self.users:
            parts.append(_owned(self.users))
        if self.threads:
            parts.append(threads.c.id.in_(self.threads))
        if self.since is not None:
            parts.append(threads.c.updatedAt >= self.since)
        if self.until is not None:
            parts.append(threads.c.updatedAt < self.until)
        if self.feedback is not None:
            parts.append(_judged(FEEDBACK[self.feedback]))
        if self.tags:
            parts.append(or_(*(dialect.json_has(threads.c.tags, tag) for tag in self.tags)))
        return and_(*parts) if parts else None

    async def check(self, connection: AsyncConnection) -> None:
        """See to it that users and threads that are named exist: a typo is no empty export.

        Raises:
            ConfigurationError: One does not; names the option.
        """
        if self.threads:
            query = select(threads.c.id).where(threads.c.id.in_(self.threads))
            found = set(await connection.scalars(query))
            _refuse_missing("--thread", "conversation", self.threads, found)
        if self.users:
            rows = await connection.execute(
                select(users.c.id, users.c.identifier).where(_named(self.users))
            )
            of_threads = select(threads.c.userIdentifier).where(_unowned(self.users)).distinct()
            known = {name for row in rows for name in row} | set(
                await connection.scalars(of_threads)
            )
            _refuse_missing("--user", "user", self.users, known)


def _named(names: Sequence[str]) -> ColumnElement[bool]:
    return or_(users.c.identifier.in_(names), users.c.id.in_(names))


def _unowned(names: Sequence[str]) -> ColumnElement[bool]:
    """A thread may name a user who was not there when it was written."""
    return and_(threads.c.userId.is_(None), threads.c.userIdentifier.in_(names))


def _owned(names: Sequence[str]) -> ColumnElement[bool]:
    return or_(threads.c.userId.in_(select(users.c.id).where(_named(names))), _unowned(names))


def _judged(values: Sequence[int]) -> ColumnElement[bool]:
    """As the list of threads is filtered: a feedback of a step that is there."""
    return exists().where(
        feedbacks.c.threadId == threads.c.id,
        feedbacks.c.value.in_(values),
        steps.c.threadId == feedbacks.c.threadId,
        steps.c.id == feedbacks.c.forId,
    )


def _refuse_missing(option: str, noun: str, wanted: Sequence[str], found: set[str]) -> None:
    for name in wanted:
        if name not in found:
            raise ConfigurationError(f"There is no {noun} {name!r}; correct {option}")


def _instant(option: str, text: str, *, whole_day: bool) -> datetime:
    try:
        day = date.fromisoformat(text.strip())
    except ValueError:
        instant = parse_instant(text)
    else:
        instant = datetime.combine(day, time(), UTC)
        if whole_day:
            instant = min(instant, datetime.max.replace(tzinfo=UTC) - timedelta(days=1))
            instant += timedelta(days=1)
    if instant is None:
        raise ConfigurationError(
            f"{option} {text!r} is no date or instant; "
            "write it as 2026-01-31 or 2026-01-31T08:00:00+01:00"
        )
    return instant
