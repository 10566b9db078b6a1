"""`SQLADataLayer`: what Chainlit calls, translated into operations and queries.

Chainlit drops the tasks in which it calls the writing methods, so each of them takes its
place in the order before its first wait, and every failure is logged.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

from chainlit.data.base import BaseDataLayer
from chainlit.types import PageInfo, PaginatedResponse
from chainlit.user import PersistedUser

from ._internal.json import clean_text, dumps
from ._internal.readiness import Readiness
from ._internal.timestamps import parse_instant
from .database import Database
from .database import migrator as migrations
from .dialects import Rows
from .errors import ChainlitSqlaError, ConfigurationError, NotTheAuthor, RejectedRow, StorageError
from .integration import deserialize as convert
from .integration import serialize as present
from .integration.attachments import source_of
from .integration.open_storage import open_for
from .integration.server import attach, attach_early, note_refusal, public_prefix, requester
from .integration.session import author, author_of, queued, scope
from .queries import conversation, elements, search, steps, threads, users
from .queries.cursor import Cursor
from .queries.search_index import SearchIndex
from .settings import Settings
from .storage.base import StorageClient
from .storage.deletion_queue import DeletionQueue
from .storage.uploads import Uploads
from .writes.operations import DeleteElement, DeleteFeedback, DeleteStep, DeleteThread
from .writes.queue import Pipeline
from .writes.user_cache import KnownUser, UserCache

if TYPE_CHECKING:
    from chainlit.element import Element, ElementDict
    from chainlit.step import StepDict
    from chainlit.types import Feedback, Pagination, ThreadDict, ThreadFilter
    from chainlit.user import User

log = logging.getLogger(__name__)

_LARGEST_PAGE = 1_000
_PORTION = 500
"""Steps shown in one turn of the event loop: some milliseconds."""
_UPLOAD_SECONDS = 2.0
"""How long a reader waits for a thread's uploads: a large one must not hold up the page."""


class SQLADataLayer(BaseDataLayer):
    """Chainlit's data layer on any SQL database.

    Args:
        database: A URL or a `Database`; None takes it from the environment, and a SQLite
            file where nothing is set.
        storage: Where attachments go: a URL (``s3://bucket/prefix``, ``file:///path``), a
            `StorageClient` or one of Chainlit's own storage clients; None takes it from
            the environment, and a local folder where nothing is set.
        settings: Settings; None reads the environment.

    Raises:
        ConfigurationError: Something of it cannot be used.

    Example:
        >>> @cl.data_layer
        ... def data_layer():
        ...     return SQLADataLayer()
    """

    def __init__(
        self, database: Any = None, *, storage: Any = None, settings: Settings | None = None
    ) -> None:
        self.settings = settings or Settings.load()
        if isinstance(database, Database):
            self.database = database
        else:
            self.database = Database(database, settings=self.settings)
        self.storage: StorageClient = open_for(storage, self.settings, public_prefix)
        self._deletion_queue = DeletionQueue(self.database, self.storage)
        self._search_index = SearchIndex(self.database)
        self._ready = Readiness(self._prepare)
        self.pipeline = Pipeline(self.database, self._ready.wait, self._deletion_queue.wake)
        self._uploads = Uploads(
            self.pipeline,
            self.storage,
            self._deletion_queue,
            self._read,
            convert.element_op,
            self.settings.storage_retry_seconds,
        )
        self._users = UserCache(self._known_user, self.settings.user_cache_seconds)
        attach(self.storage)

    async def _prepare(self) -> None:
        await migrations.ensure(self.database)
        attach(self.storage)  # The server may be younger than this.
        self._deletion_queue.wake()

    async def _read(self, query: Callable[[Any], Awaitable[Any]], thread: str | None = "") -> Any:
        """Run a query after the writes that it must see: "" none, None all, or a thread's."""
        await self._settle(thread)
        return await self.database.read(query)

    async def _fetch(self, thread: str | None, *asked: Any) -> list[Rows]:
        """The same for statements that are kept."""
        await self._settle(thread)
        return await self.database.fetch(*asked)

    async def _settle(self, thread: str | None) -> None:
        await self._ready.wait()
        if thread != "":
            if thread is not None:
                await self._uploads.wait_for_thread(thread, _UPLOAD_SECONDS)
            await self.pipeline.settle(thread)

    # Users

    async def get_user(self, identifier: str) -> PersistedUser | None:
        """The user that logs in under a name, None if there is none."""
        known = await self._users.get(clean_text(identifier))
        if known is None:
            return None
        return PersistedUser(
            id=known.id,
            identifier=known.identifier,
            display_name=known.display_name,
            metadata=known.own_metadata(),
            createdAt=known.created_at,
        )

    async def _known_user(self, identifier: str) -> KnownUser | None:
        dialect = self.database.dialect
        [rows] = await self._fetch("", users.by_identifier(dialect, identifier))
        if not rows:
            return None
        id, name, display_name, metadata, created_at = rows[0]
        shown = dumps(dialect.show_json(metadata)), cast("str", dialect.show_instant(created_at))
        return KnownUser(id, name, display_name, *shown)

    async def create_user(self, user: User) -> PersistedUser | None:
        """Make a user, or replace the metadata of the one with the same identifier."""
        display_name = getattr(user, "display_name", None)
        op = convert.user_op(user.identifier, user.metadata, display_name)
        written = self._users.writing(op.identifier)
        try:
            placed = asyncio.ensure_future(await self.pipeline.place(op))
        except BaseException:
            written()
            raise
        placed.add_done_callback(lambda _: written())
        await asyncio.shield(placed)  # A caller who goes away does not end the writing.
        return await self.get_user(op.identifier)

    # Feedback

    async def upsert_feedback(self, feedback: Feedback) -> str:
        """Give a step its one feedback; returns the id under which it can be deleted."""
        asking = requester.get()
        with _noted():
            thread_id = feedback.threadId or await self._thread_of(feedback.forId, asking)
            op = convert.feedback_op(
                thread_id, feedback.forId, feedback.id, feedback.value, feedback.comment, asking
            )
            await self.pipeline.submit(op)
        return op.id

    async def delete_feedback(self, feedback_id: str) -> bool:
        """Take feedback back; False if there was none."""
        with _noted():
            op = DeleteFeedback(clean_text(feedback_id), requester.get())
            return bool(await self.pipeline.submit(op))

    async def _thread_of(self, step_id: str, actor: str | None) -> str:
        """The thread of a step by its id alone, among those that the actor may change."""
        found = await self._read(lambda c: steps.threads_of(c, clean_text(step_id)), None)
        own = [row.id for row in found if actor is None or row.userIdentifier in (None, actor)]
        if len(own) == 1:
            return cast("str", own[0])
        if found and not own:
            raise NotTheAuthor(
                f"{actor!r} is not the author of the thread of step {step_id}; log in as its author"
            )
        reason = "several threads have" if own else "no thread has"
        raise RejectedRow(f"Feedback is refused: {reason} the step {step_id}; give threadId")

    # Elements

    @queued
    async def create_element(self, element: Element) -> None:
        """Store an element and its bytes; one that is only a link stays a link."""
        source = source_of(element, keep_open=not self._uploads.at_capacity)
        await self._uploads.save(cast("dict[str, Any]", element.to_dict()), source, author())

    async def get_element(self, thread_id: str, element_id: str) -> ElementDict | None:
        """An element with a fresh URL, None if there is none."""
        thread_id, element_id = clean_text(thread_id), clean_text(element_id)
        asked = elements.by_id(self.database.dialect, thread_id, element_id)
        [rows] = await self._fetch(thread_id, asked)
        return cast("ElementDict", (await self._with_urls(rows))[0]) if rows else None

    @queued
    async def delete_element(self, element_id: str, thread_id: str | None = None) -> None:
        """Delete an element and its bytes."""
        reach = scope()
        if reach.everywhere or thread_id in (None, reach.thread_id):
            self._uploads.cancel(element_id, thread_id or reach.thread_id)
        place = None if thread_id is None else clean_text(thread_id)
        await self.pipeline.submit(DeleteElement(clean_text(element_id), place, reach))

    async def _with_urls(self, rows: Rows) -> list[dict[str, Any]]:
        keys = [row[elements.KEY] for row in rows if row[elements.KEY]]
        try:
            urls = await self.storage.read_urls(keys) if keys else {}
        except StorageError as error:
            log.error("Elements are shown without their files: %s", error)
            urls = {}
        except Exception:  # A client of somebody else's must not hide the conversation.
            log.exception("Elements are shown without their files; mend the storage client")
            urls = {}
        shown = [urls.get(row[elements.KEY], row[elements.URL]) for row in rows]
        return present.element_dicts(rows, self.database.dialect, shown)

    # Steps

    @queued
    async def create_step(self, step_dict: StepDict) -> None:
        """Store a step; a new message moves its thread up."""
        await self._save_step(step_dict, new=True)

    @queued
    async def update_step(self, step_dict: StepDict) -> None:
        """Change a step; keys that are not given stay."""
        await self._save_step(step_dict, new=False)

    async def _save_step(self, step_dict: StepDict, *, new: bool) -> None:
        try:
            op = convert.step_op(step_dict, new=new, actor=author_of(step_dict.get("threadId")))
        except ChainlitSqlaError as error:
            log.error("Not written: %s", error)
            raise
        await self.pipeline.submit(op)

    @queued
    async def delete_step(self, step_id: str) -> None:
        """Delete a step, its descendants, their elements and feedback."""
        if not await self.pipeline.submit(DeleteStep(clean_text(step_id), scope())):
            log.info("There is no step %s to delete within reach of this session", step_id)

    async def get_step(self, step_id: str) -> StepDict | None:
        """A step with its feedback, None if there is none."""
        asked = steps.by_id(self.database.dialect, clean_text(step_id))
        [rows] = await self._fetch(None, asked)
        return cast("StepDict", (await self._shown(rows))[0]) if rows else None

    async def get_favorite_steps(self, user_id: str) -> list[StepDict]:
        """The favourite steps in a user's threads, newest first."""
        asked = steps.favorites(self.database.dialect, clean_text(user_id))
        [rows] = await self._fetch(None, asked)
        return cast("list[StepDict]", await self._shown(rows))

    async def _shown(self, rows: Rows, thread_id: str | None = None) -> list[dict[str, Any]]:
        """Steps in portions, with others' turns between them."""
        shown: list[dict[str, Any]] = []
        for begin in range(0, len(rows), _PORTION):
            if begin:
                await asyncio.sleep(0)
            portion = rows[begin : begin + _PORTION]
            shown += present.step_dicts(portion, self.database.dialect, thread_id)
        return shown

    # Threads

    async def get_thread_author(self, thread_id: str) -> str:
        """The identifier of the user whom a thread belongs to, "" if nobody."""
        thread_id = clean_text(thread_id)
        [rows] = await self._fetch(thread_id, threads.author(thread_id))
        return (rows[0][0] if rows else None) or ""

    async def get_thread(self, thread_id: str) -> ThreadDict | None:
        """A thread with its steps and elements, None if there is none."""
        thread_id, dialect = clean_text(thread_id), self.database.dialect
        found = await self._fetch(thread_id, *conversation.ask(dialect, thread_id))
        if (read := conversation.answer(found)) is None:
            return None
        row, its_steps, its_elements = read
        shown = await self._shown(its_steps, thread_id)
        files = await self._with_urls(its_elements)
        return cast("ThreadDict", present.thread_dict(row, dialect, shown, files))

    async def update_thread(
        self,
        thread_id: str,
        name: str | None = None,
        user_id: str | None = None,
        metadata: dict[str, Any] | None = None,
        tags: list[str] | None = None,
    ) -> None:
        """Change a thread; None changes nothing, None in metadata removes a member."""
        actor = author_of(thread_id)
        op = convert.thread_op(thread_id, name, user_id, metadata, tags, actor)
        await self.pipeline.submit(op)

    async def delete_thread(self, thread_id: str) -> None:
        """Delete a thread and all that is in it; it stays deleted."""
        await self.pipeline.submit(DeleteThread(clean_text(thread_id)))

    async def list_threads(
        self, pagination: Pagination, filters: ThreadFilter
    ) -> PaginatedResponse[ThreadDict]:
        """A page of a user's threads by last activity, without their steps."""
        if not filters.userId:
            raise ConfigurationError(
                "list_threads needs filters.userId; set it to the id of the user"
            )
        first = min(max(pagination.first, 1), _LARGEST_PAGE)
        query = threads.ThreadQuery(
            clean_text(filters.userId),
            first,
            Cursor.parse(pagination.cursor) if pagination.cursor else None,
            clean_text(filters.search or ""),
            filters.feedback,
        )
        dialect = self.database.dialect
        if query.search:
            rows = await self._search(query)
        else:
            [rows] = await self._fetch(None, threads.page(dialect, query))
        shown = [present.thread_dict(row, dialect) for row in rows[:first]]
        places = [str(_place(thread)) for thread in (shown[:1] + shown[-1:])]
        return PaginatedResponse(
            pageInfo=PageInfo(
                hasNextPage=len(rows) > first,
                startCursor=places[0] if places else None,
                endCursor=places[-1] if places else None,
            ),
            data=cast("list[ThreadDict]", shown),
        )

    async def _search(self, query: threads.ThreadQuery) -> Rows:
        rows: Rows = []
        for asked in search.pages(self.database.dialect, query):
            [rows] = await self._fetch(None, asked)
            if len(rows) > query.first:
                break
        self._search_index.wanted(query.user_id)
        return rows

    # The layer itself

    async def build_debug_url(self) -> str:
        """Chainlit shows no link where this is empty."""
        return ""

    async def close(self) -> None:
        """Write what is under way, then release everything; closing twice is harmless."""
        await self._uploads.close(self.settings.close_seconds)
        await self.pipeline.close()
        await self._deletion_queue.close()
        await self._search_index.close()
        try:
            await self.storage.close()
        finally:
            await self.database.close()


def _place(thread: dict[str, Any]) -> Cursor:
    """The place of a thread in the list, which shows the last activity."""
    at = parse_instant(thread["createdAt"])
    assert at
    return Cursor(at, thread["id"])


@contextmanager
def _noted() -> Iterator[None]:
    """Let the guard of the request know of a refusal: Chainlit would answer 500."""
    try:
        yield
    except NotTheAuthor as error:
        note_refusal(error)
        raise


attach_early()
