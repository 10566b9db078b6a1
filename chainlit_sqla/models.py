"""ORM models: User, Thread, Step, Element and Feedback, then internal tables.

Table and column names are those that Chainlit documents, so existing SQL and dashboards keep
working. Keys of rows in a thread begin with ``threadId``. ``parentId`` and ``forId`` are not
foreign keys, because Chainlit sends children first.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Index, Integer, MetaData, Table, false, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from ._internal.timestamps import next_ordinal, now
from .dialects.column_types import JsonDocument, Key, LongText, ObjectKey, UtcDateTime


class Base(DeclarativeBase):
    """The declarative base; constraint names are the same in all dialects."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012
        str: LongText(),
        datetime: UtcDateTime(),
        dict[str, Any]: JsonDocument(),
    }


class User(Base):
    """A user who logs in."""

    __tablename__ = "users"

    id: Mapped[str] = mapped_column(Key(), primary_key=True)
    identifier: Mapped[str] = mapped_column(Key(512), unique=True)
    display_name: Mapped[str | None] = mapped_column("displayName")
    metadata_: Mapped[dict[str, Any]] = mapped_column("metadata", default=dict)
    created_at: Mapped[datetime] = mapped_column("createdAt", default=now)

    threads: Mapped[list[Thread]] = relationship(back_populates="user", passive_deletes=True)


class Thread(Base):
    """A conversation."""

    __tablename__ = "threads"
    __table_args__ = (Index(None, "userId", "updatedAt", "id"),)

    id: Mapped[str] = mapped_column(Key(), primary_key=True)
    created_at: Mapped[datetime] = mapped_column("createdAt", default=now)
    updated_at: Mapped[datetime] = mapped_column("updatedAt", default=now)
    """The last activity: set by new messages, not by reading or renaming."""
    name: Mapped[str | None]
    user_id: Mapped[str | None] = mapped_column(
        "userId", Key(), ForeignKey("users.id", ondelete="CASCADE")
    )
    user_identifier: Mapped[str | None] = mapped_column("userIdentifier")
    tags: Mapped[list[str] | None] = mapped_column(JsonDocument())
    metadata_: Mapped[dict[str, Any]] = mapped_column("metadata", default=dict)

    user: Mapped[User | None] = relationship(back_populates="threads")
    steps: Mapped[list[Step]] = relationship(
        back_populates="thread", passive_deletes=True, order_by="Step.created_at, Step.ordinal"
    )
    elements: Mapped[list[Element]] = relationship(
        back_populates="thread", passive_deletes=True, order_by="Element.ordinal"
    )
    feedbacks: Mapped[list[Feedback]] = relationship(back_populates="thread", passive_deletes=True)


def _thread_key() -> Mapped[str]:
    return mapped_column(
        "threadId", Key(), ForeignKey("threads.id", ondelete="CASCADE"), primary_key=True
    )


class Step(Base):
    """A step of a thread: a message, a tool call or a run."""

    __tablename__ = "steps"
    __table_args__ = (Index(None, "id"),)

    thread_id: Mapped[str] = _thread_key()
    id: Mapped[str] = mapped_column(Key(), primary_key=True)
    name: Mapped[str] = mapped_column(default="")
    type: Mapped[str] = mapped_column(default="undefined")
    parent_id: Mapped[str | None] = mapped_column("parentId")
    command: Mapped[str | None]
    modes: Mapped[Any | None] = mapped_column(JsonDocument())
    streaming: Mapped[bool] = mapped_column(default=False, server_default=false())
    wait_for_answer: Mapped[bool | None] = mapped_column("waitForAnswer")
    is_error: Mapped[bool | None] = mapped_column("isError")
    metadata_: Mapped[dict[str, Any]] = mapped_column("metadata", default=dict)
    tags: Mapped[list[str] | None] = mapped_column(JsonDocument())
    input: Mapped[str | None]
    output: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column("createdAt", default=now)
    start: Mapped[datetime | None]
    end: Mapped[datetime | None]
    generation: Mapped[Any | None] = mapped_column(JsonDocument())
    show_input: Mapped[Any | None] = mapped_column("showInput", JsonDocument())
    """True, False or the language of the displayed input."""
    default_open: Mapped[bool | None] = mapped_column("defaultOpen")
    auto_collapse: Mapped[bool | None] = mapped_column("autoCollapse")
    language: Mapped[str | None]
    extra: Mapped[Any | None] = mapped_column(JsonDocument())
    """Keys without a column, and values that do not match the type of theirs."""
    ordinal: Mapped[int] = mapped_column(BigInteger, default=next_ordinal)
    """The order of arrival, for steps with the same timestamp."""

    thread: Mapped[Thread] = relationship(back_populates="steps")


class Element(Base):
    """An attachment or interface element of a thread; its bytes are in a store."""

    __tablename__ = "elements"
    __table_args__ = (Index(None, "id"),)

    thread_id: Mapped[str] = _thread_key()
    id: Mapped[str] = mapped_column(Key(), primary_key=True)
    type: Mapped[str] = mapped_column(default="file")
    chainlit_key: Mapped[str | None] = mapped_column("chainlitKey")
    url: Mapped[str | None]
    """The URL of an external element; never a signed URL."""
    object_key: Mapped[str | None] = mapped_column("objectKey")
    name: Mapped[str] = mapped_column(default="")
    display: Mapped[str | None]
    size: Mapped[str | None]
    """The display size (small, medium, large), not the number of bytes."""
    byte_size: Mapped[int | None] = mapped_column("byteSize", BigInteger)
    language: Mapped[str | None]
    page: Mapped[int | None] = mapped_column(Integer)
    props: Mapped[Any | None] = mapped_column(JsonDocument())
    auto_play: Mapped[bool | None] = mapped_column("autoPlay")
    player_config: Mapped[Any | None] = mapped_column("playerConfig", JsonDocument())
    for_id: Mapped[str | None] = mapped_column("forId")
    mime: Mapped[str | None]
    extra: Mapped[Any | None] = mapped_column(JsonDocument())
    created_at: Mapped[datetime] = mapped_column("createdAt", default=now)
    ordinal: Mapped[int] = mapped_column(BigInteger, default=next_ordinal)

    thread: Mapped[Thread] = relationship(back_populates="elements")


class Feedback(Base):
    """The feedback for a step: thumbs up (1) or down (0), with a comment."""

    __tablename__ = "feedbacks"
    __table_args__ = (Index(None, "id"),)

    thread_id: Mapped[str] = _thread_key()
    for_id: Mapped[str] = mapped_column("forId", Key(), primary_key=True)
    id: Mapped[str] = mapped_column(Key())
    value: Mapped[int] = mapped_column(Integer)
    comment: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column("createdAt", default=now)

    thread: Mapped[Thread] = relationship(back_populates="feedbacks")


class Tombstone(Base):
    """Marks a deleted thread, step or element, so that late writes do not bring it back.

    ``id`` is the id of a step, or "element " and the id of an element, or empty for a
    thread. There is no foreign key: a tombstone outlives its thread.
    """

    __tablename__ = "chainlit_sqla_tombstones"

    thread_id: Mapped[str] = mapped_column("threadId", Key(), primary_key=True)
    id: Mapped[str] = mapped_column(Key(263), primary_key=True)
    deleted_at: Mapped[datetime] = mapped_column("deletedAt", default=now)


class BlobDeletion(Base):
    """A blob to delete: inserted with the deletion of its row, removed after the blob.

    The blob is not deleted before ``createdAt``, which may lie in the future.
    """

    __tablename__ = "chainlit_sqla_blob_deletions"

    object_key: Mapped[str] = mapped_column("objectKey", ObjectKey(), primary_key=True)
    created_at: Mapped[datetime] = mapped_column("createdAt", default=now)
    attempts: Mapped[int] = mapped_column(Integer, default=0, server_default=text("0"))


class Quarantined(Base):
    """An original row of another layer's database that does not fit the tables."""

    __tablename__ = "chainlit_sqla_quarantine"

    id: Mapped[str] = mapped_column(Key(), primary_key=True)
    """A digest of the content, so that repeated imports quarantine a row once."""
    source: Mapped[str]
    """A human-readable description of the source database."""
    origin: Mapped[str]
    """The table of the row."""
    reason: Mapped[str]
    row: Mapped[Any] = mapped_column(JsonDocument())
    created_at: Mapped[datetime] = mapped_column("createdAt", default=now)


class Import(Base):
    """The progress of an import or an adoption."""

    __tablename__ = "chainlit_sqla_imports"

    id: Mapped[str] = mapped_column(Key(), primary_key=True)
    """A digest of the source."""
    source: Mapped[str]
    """A human-readable description of the source."""
    position: Mapped[str | None]
    """The resume token; NULL at the start."""
    details: Mapped[dict[str, Any]] = mapped_column(default=dict)
    started_at: Mapped[datetime] = mapped_column("startedAt", default=now)
    finished_at: Mapped[datetime | None] = mapped_column("finishedAt")


def _table(model: type[Base]) -> Table:
    table = model.__table__
    assert isinstance(table, Table)
    return table


# Tables for statements on rows: hot paths use no entities.
users = _table(User)
threads = _table(Thread)
steps = _table(Step)
elements = _table(Element)
feedbacks = _table(Feedback)
tombstones = _table(Tombstone)
blob_deletions = _table(BlobDeletion)
quarantine = _table(Quarantined)
imports = _table(Import)
