"""`SQLADataLayer`: translates Chainlit's calls into operations and queries.

Nobody awaits the tasks in which Chainlit calls the writing methods. So each method enqueues
its operation before it first waits, which keeps the order, and every failure is logged.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from chainlit.data.base import BaseDataLayer
from chainlit.types import PageInfo, PaginatedResponse
from chainlit.user import PersistedUser

from ._internal.aio import RunOnce
from ._internal.json import clean_text
from ._internal.outage import OutageLog
from .database import Database, migrator
from .dialects import Dialect, Rows
from .errors import (
    ChainlitSqlaError,
    ConfigurationError,
    SchemaError,
    UnknownOwner,
)
from .integration import from_chainlit, lifecycle, to_chainlit
from .integration.attachments import open_source, resolve_storage, sign_urls
from .integration.deferral import defer_until_first_message
from .integration.late_writes import LateWrites
from .integration.lifecycle import LayerStats, Pending, Settling, close_parts, commit, stats_of
from .integration.limits import check_comment, known_id, search_text, thread_name
from .integration.owners import UnownedThreads, only_thread
from .integration.server import (
    answer_seconds,
    check_when_server_starts,
    feedback_actor,
    hidden_address,
    install_routes,
    is_share_request,
    public_prefix,
    report_to_guard,
)
from .integration.session import (
    author_of,
    browser_user,
    deletion_scope,
    is_browser_session,
    session_owner,
    shared_metadata,
    without_copied_sharing,
)
from .queries import elements, steps, threads
from .queries.search import Search
from .queries.threads import Cursor
from .queries.user_cache import KnownUser, UserCache, by_identifier
from .settings import Settings
from .storage.base import StorageClient
from .storage.deletion_worker import DeletionQueue
from .storage.uploads import Uploads
from .writes.operations import (
    DeleteElement,
    DeleteFeedback,
    DeleteStep,
    DeleteThread,
    Op,
    printable_id,
)
from .writes.queue import WriteQueue

if TYPE_CHECKING:
    from chainlit.data.storage_clients.base import BaseStorageClient
    from chainlit.element import Element, ElementDict
    from chainlit.step import StepDict
    from chainlit.types import Feedback, Pagination, ThreadDict, ThreadFilter
    from chainlit.user import User
    from sqlalchemy import URL

log = logging.getLogger(__name__)

_MAX_PAGE_LENGTH = 1_000
_LOOKUP_SECONDS = 5.0
"""How long a request waits for a user or an author; on a healthy server it takes milliseconds."""
_LOGIN_SECONDS = 5.0


class SQLADataLayer(BaseDataLayer):
    """Chainlit data layer for PostgreSQL, MariaDB, MySQL and SQLite.

    Args:
        database: A database URL or a `Database`; None uses the one of the settings, which
            default to a SQLite file.
        storage: The store for attachments: a URL (``s3://bucket/prefix``, ``file:///path``),
            a `StorageClient` or one of Chainlit's own storage clients; None uses the one of
            the settings, which default to a local folder.
        settings: The settings; None reads them from the environment.

    Raises:
        ConfigurationError: An argument or a setting cannot work.

    Example:
        >>> @cl.data_layer
        ... def data_layer():
        ...     return SQLADataLayer()
    """

    def __init__(
        self,
        database: str | URL | Database | None = None,
        *,
        storage: str | StorageClient | BaseStorageClient | None = None,
        settings: Settings | None = None,
    ) -> None:
        self.settings = settings or Settings.load()
        if isinstance(database, Database):
            self.database = database
        else:
            self.database = Database(database, settings=self.settings)
        self.storage: StorageClient = resolve_storage(storage, self.settings, public_prefix)
        given = storage is not None
        lifecycle.report_empty_variables(self.settings, self.database, storage_given=given)
        self._deletion_queue = DeletionQueue(self.database, self.storage)
        self._search = Search(self.database)
        self._schema_outage = OutageLog(log, "ready", lambda: "the tables")
        self._ready = RunOnce(self._prepare)
        self.write_queue = WriteQueue(self.database, self._ready.wait, self._deletion_queue.wake)
        self._uploads = Uploads(
            self.write_queue,
            self.storage,
            self._deletion_queue,
            self._read,
            from_chainlit.element_operation,
            self.settings.upload_retry_seconds,
        )
        self._settled = Settling(self.database, self.write_queue, self._uploads, self._ready)
        self._late_writes = LateWrites(self.on_deleted_thread)
        self._unowned = UnownedThreads(self._give_thread)
        self._users = UserCache(self._read_user, self.settings.user_cache_seconds)
        install_routes(self.storage)

    async def prepare(self) -> None:
        """Check the tables, and create them where that is allowed, as the first use does."""
        await self._ready.wait()

    async def _prepare(self) -> None:
        try:
            await migrator.ensure(self.database)
        except SchemaError as error:
            self._schema_outage.failed(str(error))
            raise
        self._schema_outage.succeeded()
        install_routes(self.storage)  # Chainlit's server may be loaded after the layer.
        self._deletion_queue.wake()

    async def _read(
        self,
        query: Callable[[Any], Awaitable[Any]],
        wait_for: str | Pending = Pending.NONE,
    ) -> Any:
        """Run a read once the pending writes it depends on are committed; see `Settling`."""
        with hidden_address:
            async with self._settled(wait_for, self.settings.read_seconds):
                return await self.database.read(query)

    async def _fetch(
        self, *statements: Any, wait_for: str | Pending, seconds: float = math.inf
    ) -> list[Rows]:
        """Run compiled statements in the same way."""
        with hidden_address:
            async with self._settled(wait_for, min(seconds, self.settings.read_seconds)):
                return await self.database.fetch(*statements)

    async def _commit(
        self, op: Op, seconds: float | None = None, on_end: Callable[[], object] = bool
    ) -> Any:
        """Commit an operation, for which requests have a time limit; see `commit`."""
        seconds = answer_seconds.get() if seconds is None else seconds
        with hidden_address:
            if seconds is None:
                return await self.write_queue.enqueue(op)
            return await commit(self.write_queue, op, seconds, on_end)

    # Users

    async def get_user(self, identifier: str) -> PersistedUser | None:
        """Return the user with this identifier, None if there is none."""
        with hidden_address:
            user = await self._users.get(known_id(identifier))
        if user is None:
            return None
        await self._unowned.claim(user)
        return PersistedUser(
            id=user.id,
            identifier=user.identifier,
            display_name=user.display_name,
            metadata=user.own_metadata(),
            createdAt=user.created_at,
        )

    async def _give_thread(self, thread_id: str, user: KnownUser) -> None:
        operation = from_chainlit.thread_operation(
            thread_id, user_id=user.id, actor=user.identifier
        )
        await commit(self.write_queue, operation, 0)

    async def _read_user(self, identifier: str) -> KnownUser | None:
        dialect = self.database.dialect
        statement = by_identifier(dialect), {"identifier": identifier}
        [rows] = await self._fetch(statement, wait_for=Pending.NONE, seconds=_LOOKUP_SECONDS)
        return to_chainlit.known_user(rows[0], dialect) if rows else None

    async def create_user(self, user: User) -> PersistedUser | None:
        """Create a user, or replace the metadata of the user with this identifier."""
        display_name = getattr(user, "display_name", None)
        operation = from_chainlit.user_operation(user.identifier, user.metadata, display_name)
        # Chainlit lets a user in who is not written yet.
        await self._commit(operation, _LOGIN_SECONDS, self._users.writing(operation.identifier))
        return await self.get_user(operation.identifier)

    # Feedback

    async def upsert_feedback(self, feedback: Feedback) -> str:
        """Set the feedback of a step and return its id, with which it can be deleted."""
        with report_to_guard():
            actor = feedback_actor(self.storage)
            check_comment(feedback.comment, self.settings.max_short_text)
            thread_id = feedback.threadId or await self._thread_of_step(
                "Feedback", feedback.forId, actor
            )
            operation = from_chainlit.feedback_operation(
                thread_id, feedback.forId, feedback.id, feedback.value, feedback.comment, actor
            )
            await self._late_writes.check(await self._commit(operation))
        return operation.id

    async def delete_feedback(self, feedback_id: str) -> bool:
        """Delete feedback; return False if there was none."""
        with report_to_guard():
            operation = DeleteFeedback(clean_text(feedback_id), feedback_actor(self.storage))
            return bool(await self._commit(operation))

    async def _thread_of_step(self, what: str, step_id: Any, actor: str | None) -> str:
        """Return the only thread with this step that the actor may change."""
        query = partial(steps.threads_of, step_id=known_id(step_id))
        thread_rows = await self._read(query, wait_for=Pending.ALL)
        return only_thread(thread_rows, what, step_id, actor)

    # Elements

    @defer_until_first_message
    async def create_element(self, element: Element) -> None:
        """Store an element and its bytes; an element that is only a link stays a link."""
        source = open_source(element, keep_open=not self._uploads.at_capacity)
        element_dict = cast("dict[str, Any]", element.to_dict())
        written = await self._uploads.save(element_dict, source, browser_user())
        await self._late_writes.check(written)

    async def get_element(self, thread_id: str, element_id: str) -> ElementDict | None:
        """Return an element with a fresh URL, None if there is none."""
        thread_id, element_id = known_id(thread_id), known_id(element_id)
        parameters = {"thread_id": thread_id, "element_id": element_id}
        statement = elements.by_id(self.database.dialect), parameters
        [rows] = await self._fetch(statement, wait_for=thread_id)
        return cast("ElementDict", (await self._element_dicts(rows))[0]) if rows else None

    @defer_until_first_message
    async def delete_element(self, element_id: str, thread_id: str | None = None) -> None:
        """Delete an element and its bytes."""
        scope = deletion_scope()
        if scope.everywhere or not thread_id or thread_id == scope.thread_id:
            self._uploads.cancel(element_id, thread_id or scope.thread_id, scope.user)
        clean_thread_id = clean_text(thread_id) if thread_id else None
        operation = DeleteElement(clean_text(element_id), clean_thread_id, scope)
        await self._commit(operation)

    async def _element_dicts(self, rows: Rows) -> list[dict[str, Any]]:
        keys = [row[elements.KEY] for row in rows if row[elements.KEY]]
        signed_urls = await sign_urls(self.storage, keys)
        urls = [signed_urls.get(row[elements.KEY], row[elements.URL]) for row in rows]
        return to_chainlit.element_dicts(rows, self.database.dialect, urls)

    # Steps

    @defer_until_first_message
    async def create_step(self, step_dict: StepDict) -> None:
        """Store a step; a new message moves its thread to the top of the list."""
        await self._save_step(step_dict, new=True)

    @defer_until_first_message
    async def update_step(self, step_dict: StepDict) -> None:
        """Update a step; keys that are missing or None keep their values.

        Without ``threadId``, the step must be stored, and be in one thread only.
        """
        await self._save_step(step_dict, new=False)

    async def _save_step(self, step_dict: StepDict, *, new: bool) -> None:
        try:
            if not new and step_dict.get("id") and not step_dict.get("threadId"):
                thread_id = await self._thread_of_step("Step", step_dict["id"], browser_user())
                step_dict = {**step_dict, "threadId": thread_id}
            actor = author_of(step_dict.get("threadId"))
            operation = from_chainlit.step_operation(step_dict, new=new, actor=actor)
        except ChainlitSqlaError as error:
            log.error("Step not written: %s", error)
            raise
        result = await self._commit(operation)
        if result is not None:
            await self._late_writes.check(result)

    @defer_until_first_message
    async def delete_step(self, step_id: str) -> None:
        """Delete a step, its descendants, their elements and feedback."""
        if not await self._commit(DeleteStep(clean_text(step_id), deletion_scope())):
            log.info(
                "Step %s not deleted: not found in the threads of this session",
                printable_id(step_id),
            )

    async def get_step(self, step_id: str) -> StepDict | None:
        """Return a step with its feedback, None if there is none."""
        statement = steps.by_id(self.database.dialect), {"step_id": known_id(step_id)}
        [rows] = await self._fetch(statement, wait_for=Pending.ALL)
        step_dicts = await to_chainlit.step_dicts(rows, self.database.dialect)
        return cast("StepDict", step_dicts[0]) if step_dicts else None

    async def get_favorite_steps(self, user_id: str) -> list[StepDict]:
        """Return the favorite steps in a user's threads, newest first."""
        statement = steps.favorites(self.database.dialect), {"user_id": known_id(user_id)}
        [rows] = await self._fetch(statement, wait_for=Pending.ALL)
        return cast("list[StepDict]", await to_chainlit.step_dicts(rows, self.database.dialect))

    # Threads

    async def get_thread_author(self, thread_id: str) -> str:
        """Return the identifier of a thread's user, "" if it has none."""
        thread_id = known_id(thread_id)
        statement = threads.AUTHOR, {"thread_id": thread_id}
        [rows] = await self._fetch(statement, wait_for=thread_id, seconds=_LOOKUP_SECONDS)
        return (rows[0][0] if rows else None) or ""

    async def get_thread(self, thread_id: str) -> ThreadDict | None:
        """Return a thread with its steps and elements, None if there is none."""
        thread_id, dialect = known_id(thread_id), self.database.dialect
        statements = threads.detail_statements(dialect, thread_id)
        results = await self._fetch(*statements, wait_for=thread_id)
        if (detail := threads.parse_detail(results)) is None:
            return None
        thread_row, step_rows, element_rows = detail
        step_dicts = await to_chainlit.step_dicts(step_rows, dialect, thread_id)
        element_dicts = await self._element_dicts(element_rows)
        thread = to_chainlit.thread_dict(thread_row, dialect, step_dicts, element_dicts)
        return cast("ThreadDict", thread)

    async def update_thread(
        self,
        thread_id: str,
        name: str | None = None,
        user_id: str | None = None,
        metadata: dict[str, Any] | None = None,
        tags: list[str] | None = None,
    ) -> None:
        """Update a thread; None changes nothing, None in metadata removes a member."""
        name = thread_name(name, self.settings.max_short_text, cut=is_browser_session())
        if metadata:
            arrange = shared_metadata if is_share_request() else without_copied_sharing
            metadata = arrange(metadata)
        actor, owner = author_of(thread_id), session_owner(thread_id, user_id)
        if user_id is None and owner:
            self._unowned.add(owner, thread_id)
        operation = from_chainlit.thread_operation(thread_id, name, user_id, metadata, tags, actor)
        try:
            result = await self._commit(operation)
            await self._late_writes.check(result, operation)
        except UnknownOwner:
            if owner is None:
                raise
            # Deleted while the window was open; the next request creates a user, whose it is.
            self._users.writing(owner)()
            self._unowned.add(owner, thread_id)
            await self.update_thread(thread_id, name, None, metadata, tags)

    async def delete_thread(self, thread_id: str) -> None:
        """Delete a thread with its contents; late writes to it are dropped."""
        await self._commit(DeleteThread(clean_text(thread_id), actor=author_of(thread_id)))

    async def list_threads(
        self, pagination: Pagination, filters: ThreadFilter
    ) -> PaginatedResponse[ThreadDict]:
        """Return a page of a user's threads by last activity, without their steps."""
        if not filters.userId:
            raise ConfigurationError(
                "list_threads needs filters.userId; set it to the id of the user"
            )
        first = min(max(pagination.first, 1), _MAX_PAGE_LENGTH)
        query = threads.ThreadQuery(
            known_id(filters.userId),
            first,
            Cursor.parse(pagination.cursor) if pagination.cursor else None,
            search_text(filters.search, self.settings.max_short_text),
            filters.feedback,
        )
        dialect = self.database.dialect
        if query.search:
            with hidden_address:
                async with self._settled(Pending.ALL):
                    rows = await self._search.page(query)
        else:
            [rows] = await self._fetch(threads.page(dialect, query), wait_for=Pending.ALL)
        page_rows = rows[:first]
        page = [to_chainlit.thread_dict(row, dialect) for row in page_rows]
        return PaginatedResponse(
            pageInfo=PageInfo(
                hasNextPage=len(rows) > first,
                startCursor=_cursor_of(page_rows[:1], dialect) if page else None,
                endCursor=_cursor_of(page_rows, dialect) if page else None,
            ),
            data=cast("list[ThreadDict]", page),
        )

    # Layer

    async def on_deleted_thread(self, thread_id: str) -> None:
        """Called when a session first writes to a deleted thread, which drops what it writes.

        The thread was deleted in another window, say. Override it to tell the user; it is called
        in the context of the write. The caller of the write, which in Chainlit is nobody, gets
        `ThreadDeleted`.

        Example:
            >>> class Layer(SQLADataLayer):
            ...     async def on_deleted_thread(self, thread_id: str) -> None:
            ...         await cl.context.emitter.send_toast("This chat was deleted", "warning")
        """

    async def build_debug_url(self) -> str:
        """Return an empty URL, for which Chainlit shows no link."""
        return ""

    async def close(self) -> None:
        """Finish pending writes within ``close_seconds``, then release all resources.

        What could not be written is logged; a second call does nothing.
        """
        parts = (
            ("uploads", 0.6, self._uploads.close),
            ("writes", 0.8, self.write_queue.close),
            ("deletions of files", 0.85, self._deletion_queue.close),
            ("the store", 0.9, lambda _: self.storage.close()),
            ("connections", 0.95, self.database.close),
        )
        await close_parts(parts, self.settings.close_seconds)

    def stats(self) -> LayerStats:
        """Return what waits, why, and what was written: for a gauge or a health check."""
        return stats_of(self.database, self.write_queue, self._uploads)


def _cursor_of(rows: Rows, dialect: Dialect) -> str:
    """Return the cursor after some rows of the list."""
    return str(Cursor(*to_chainlit.last_activity(rows, dialect)))


check_when_server_starts()
