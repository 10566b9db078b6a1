"""Selects the conversations that are exported."""

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
"""The stored values of feedback by the value of ``--feedback``."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Conversations that meet every given condition; a sequence matches any of its values.

    Args:
        users: Identifiers or ids of users.
        threads: Ids of threads.
        since: The last activity was at this time or later.
        until: The last activity was before this time.
        feedback: A step has such feedback: a key of `FEEDBACK`.
        tags: Tags of the thread.

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
        cls, *, since: str | None = None, until: str | None = None, **conditions: Any
    ) -> Selection:
        """Make a selection from dates and times in ISO 8601.

        Args:
            since: A time, or a date, which means its midnight in UTC.
            until: A time, or a date, which includes the whole day.
            **conditions: The other fields.

        Raises:
            ConfigurationError: A date or time is not valid.
        """
        return cls(
            since=None if since is None else _parse_time("--since", since, whole_day=False),
            until=None if until is None else _parse_time("--until", until, whole_day=True),
            **conditions,
        )

    @property
    def as_options(self) -> dict[str, Any]:
        """The given conditions by the name of their option, as JSON."""
        options = {
            "user": list(self.users),
            "thread": list(self.threads),
            "since": format_instant(self.since),
            "until": format_instant(self.until),
            "feedback": self.feedback,
            "tag": list(self.tags),
        }
        return {name: value for name, value in options.items() if value}

    def condition(self, dialect: Dialect) -> ColumnElement[bool] | None:
        """The condition on rows of ``threads``; None: all are selected.

        Args:
            dialect: The dialect of the database.
        """
        parts: list[ColumnElement[bool]] = []
        if self.users:
            owner_ids = select(users.c.id).where(_is_named(self.users))
            parts.append(or_(threads.c.userId.in_(owner_ids), _names_unknown_user(self.users)))
        if self.threads:
            parts.append(threads.c.id.in_(self.threads))
        if self.since is not None:
            parts.append(threads.c.updatedAt >= self.since)
        if self.until is not None:
            parts.append(threads.c.updatedAt < self.until)
        if self.feedback is not None:
            parts.append(_has_feedback(FEEDBACK[self.feedback]))
        if self.tags:
            parts.append(or_(*(dialect.json_has(threads.c.tags, tag) for tag in self.tags)))
        return and_(*parts) if parts else None

    async def check(self, connection: AsyncConnection) -> None:
        """Check that the named users and threads exist: a typo must not export nothing.

        Raises:
            ConfigurationError: One does not exist; names the option.
        """
        if self.threads:
            query = select(threads.c.id).where(threads.c.id.in_(self.threads))
            thread_ids = set(await connection.scalars(query))
            _refuse_missing("--thread", "thread", self.threads, thread_ids)
        if self.users:
            rows = await connection.execute(
                select(users.c.id, users.c.identifier).where(_is_named(self.users))
            )
            unknown = select(threads.c.userIdentifier).where(_names_unknown_user(self.users))
            names = {name for row in rows for name in row}
            names.update(await connection.scalars(unknown.distinct()))
            _refuse_missing("--user", "user", self.users, names)


def _is_named(names: Sequence[str]) -> ColumnElement[bool]:
    return or_(users.c.identifier.in_(names), users.c.id.in_(names))


def _names_unknown_user(names: Sequence[str]) -> ColumnElement[bool]:
    """Whether a thread names a user who did not exist when it was written."""
    return and_(threads.c.userId.is_(None), threads.c.userIdentifier.in_(names))


def _has_feedback(values: Sequence[int]) -> ColumnElement[bool]:
    """Whether an existing step has such feedback, as in the filter of the thread list."""
    return exists().where(
        feedbacks.c.threadId == threads.c.id,
        feedbacks.c.value.in_(values),
        steps.c.threadId == feedbacks.c.threadId,
        steps.c.id == feedbacks.c.forId,
    )


def _refuse_missing(option: str, noun: str, names: Sequence[str], existing: set[str]) -> None:
    for name in names:
        if name not in existing:
            raise ConfigurationError(f"There is no {noun} {name!r}; correct {option}")


def _parse_time(option: str, text: str, *, whole_day: bool) -> datetime:
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
            f"{option} {text!r} is neither a date nor a time; "
            "write it as 2026-01-31 or 2026-01-31T08:00:00+01:00"
        )
    return instant
