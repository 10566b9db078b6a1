"""Selects the conversations that are exported or deleted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, and_, exists, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from .._internal.timestamps import format_instant, parse_instant
from ..dialects import Dialect
from ..errors import ConfigurationError
from ..models import feedbacks, steps, threads, users


class Feedback(StrEnum):
    """The feedback that a conversation must have."""

    UP = "up"
    DOWN = "down"
    ANY = "any"


@dataclass(frozen=True, slots=True)
class Selection:
    """Conversations that meet every given condition; a sequence matches any of its values.

    Users are identifiers or ids. The last activity was at `since` or later, and before `until`.
    """

    users: Sequence[str] = ()
    threads: Sequence[str] = ()
    since: datetime | None = None
    until: datetime | None = None
    feedback: Feedback | None = None
    tags: Sequence[str] = ()

    @classmethod
    def parse(
        cls,
        *,
        since: str | None = None,
        until: str | None = None,
        before: str | None = None,
        **conditions: Any,
    ) -> Selection:
        """Make a selection from dates and times in ISO 8601, in UTC unless they have an offset.

        The day of ``until`` is included, that of ``before`` is not. Conditions may be None.
        """
        end = None if before is None else _parse_time("--before", before, whole_day=False)
        return cls(
            since=None if since is None else _parse_time("--since", since, whole_day=False),
            until=end if until is None else _parse_time("--until", until, whole_day=True),
            **{name: value for name, value in conditions.items() if value is not None},
        )

    @property
    def whole_users(self) -> bool:
        """Whether users are selected with everything of theirs, not some of their conversations."""
        return bool(self.users) and self == Selection(users=self.users)

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
        """The condition on rows of ``threads``; None: all are selected."""
        parts: list[ColumnElement[bool]] = []
        if self.users:
            # A thread may name a user who does not own it yet, or did not exist.
            named = threads.c.userIdentifier.in_(self.users) | threads.c.userIdentifier.in_(
                select(users.c.identifier).where(self.owners())
            )
            owned = threads.c.userId.in_(select(users.c.id).where(self.owners()))
            parts.append(or_(owned, and_(threads.c.userId.is_(None), named)))
        if self.threads:
            parts.append(threads.c.id.in_(self.threads))
        if self.since is not None:
            parts.append(threads.c.updatedAt >= self.since)
        if self.until is not None:
            parts.append(threads.c.updatedAt < self.until)
        if self.feedback is not None:
            values = {Feedback.UP: (1,), Feedback.DOWN: (0,), Feedback.ANY: (0, 1)}
            # A step that exists has it, as in the filter of the thread list.
            has_feedback = exists().where(
                feedbacks.c.threadId == threads.c.id,
                feedbacks.c.value.in_(values[self.feedback]),
                steps.c.threadId == feedbacks.c.threadId,
                steps.c.id == feedbacks.c.forId,
            )
            parts.append(has_feedback)
        if self.tags:
            parts.append(or_(*(dialect.json_has(threads.c.tags, tag) for tag in self.tags)))
        return and_(*parts) if parts else None

    def owners(self) -> ColumnElement[bool]:
        """The condition on rows of ``users``: the named ones."""
        return or_(users.c.identifier.in_(self.users), users.c.id.in_(self.users))

    async def check(self, connection: AsyncConnection, *deleted: ColumnElement[str]) -> None:
        """Check that the named users and threads exist: a typo must not select nothing.

        ``deleted`` are columns with the ids of threads that count as existing, too.
        """
        checks = {
            "thread": (self.threads, (threads.c.id, *deleted)),
            "user": (self.users, (users.c.id, users.c.identifier, threads.c.userIdentifier)),
        }
        for noun, (names, columns) in checks.items():
            existing: set[str] = set()
            for column in columns if names else ():
                query = select(column).where(column.in_(names)).distinct()
                existing.update(await connection.scalars(query))
            for name in names:
                if name not in existing:
                    raise ConfigurationError(f"There is no {noun} {name!r}; correct --{noun}")
        if self.users:  # An identifier may be chosen by a client: it must not mean another user.
            rows = await connection.execute(
                select(users.c.id, users.c.identifier).where(self.owners())
            )
            owners = Counter(name for row in rows for name in set(row) if name in self.users)
            for name in (name for name, count in owners.items() if count > 1):
                raise ConfigurationError(
                    f"{name!r} is the identifier of one user and the id of another; name the "
                    "first by the id, the second by the identifier"
                )


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
