"""What each method of a layer asks of the server: statements, round trips and commits."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from ..contenders import ASYNCPG, LIMIT, OURS, SQLALCHEMY
from ..record import Metric

if TYPE_CHECKING:
    from ..context import Context
    from ..subject import Subject

METRICS = (Metric("statements", ""), Metric("round trips", ""), Metric("commits", ""))
ROUNDS = 3
_SETTLING = 0.05
"""Seconds in which a layer does what is left to do after a write, such as deleting blobs."""


async def run(context: Context) -> None:
    """Count."""
    if "postgresql" not in context.kinds:
        return
    rounds = 1 if context.quick else ROUNDS
    names = (OURS, ASYNCPG, SQLALCHEMY, LIMIT)  # Indexes do not change what is asked.
    async with context.field("postgresql", names, counted=True) as field:
        for method in METHODS:
            await field.interleave(
                "trips", method, METRICS, perform, method, prepare=prepare, rounds=rounds
            )


async def prepare(subject: Subject, method: str) -> None:
    """Make a thread with a turn, an element and a feedback, as far as the layer can."""
    from ..chat import again, login, session, turn

    layer, kept = subject.layer, subject.kept
    kept["user"] = user = await login(layer)
    kept["thread"] = thread_id = str(uuid.uuid4())
    with session(user, thread_id):
        template = turn()
        await layer.update_thread(thread_id, name="A thread", user_id=user.id)
        kept["turn"] = again(template, thread_id)
        for write in kept["turn"]:
            await write.carry_out(layer)
        kept["new turn"] = again(template, thread_id)
        if hasattr(layer, "create_element"):
            kept["element"], kept["new element"] = _element(kept), _element(kept)
            await layer.create_element(kept["element"])
            kept["feedback"] = await layer.upsert_feedback(_feedback(kept))
    await asyncio.sleep(_SETTLING)


async def perform(subject: Subject, method: str) -> dict[str, float] | None:
    """Call one method; None where the contender does not have it, or fails in it."""
    from ..chat import session

    name = method.partition(",")[0]
    if not hasattr(subject.layer, name):
        return None
    with session(subject.kept["user"], subject.kept["thread"]):
        try:
            await METHODS[method](subject.layer, subject.kept)
        except TypeError:  # The SQLAlchemy layer cannot read an element without props.
            if subject.name != SQLALCHEMY:
                raise
            return None
    return {}


def _element(kept: dict[str, Any]) -> Any:
    from chainlit.element import File

    for_id = kept["turn"][0].step["id"]
    return File(
        thread_id=kept["thread"], for_id=for_id, name="a.txt", content=b"text", mime="text/plain"
    )


def _feedback(kept: dict[str, Any]) -> Any:
    from chainlit.types import Feedback

    return Feedback(forId=kept["turn"][-1].step["id"], value=1, threadId=kept["thread"])


def _user(identifier: str) -> Any:
    from chainlit.user import User

    return User(identifier=identifier)


def _page(layer: Any, kept: dict[str, Any], **filters: Any) -> Any:
    from chainlit.types import Pagination, ThreadFilter

    wanted = ThreadFilter(userId=kept["user"].id, **filters)
    return layer.list_threads(Pagination(first=35), wanted)


METHODS: dict[str, Callable[[Any, dict[str, Any]], Awaitable[Any]]] = {
    "create_user, new": lambda layer, kept: layer.create_user(_user(str(uuid.uuid4()))),
    "create_user, known": lambda layer, kept: layer.create_user(_user(kept["user"].identifier)),
    "get_user": lambda layer, kept: layer.get_user(kept["user"].identifier),
    "update_thread, new": lambda layer, kept: layer.update_thread(
        str(uuid.uuid4()), name="New", user_id=kept["user"].id
    ),
    "update_thread, name": lambda layer, kept: layer.update_thread(kept["thread"], name="Other"),
    "update_thread, metadata": lambda layer, kept: layer.update_thread(
        kept["thread"], metadata={"chat_settings": {"model": "large"}}
    ),
    "create_step": lambda layer, kept: kept["new turn"][0].carry_out(layer),
    "create_step, of a parent": lambda layer, kept: kept["new turn"][1].carry_out(layer),
    "update_step": lambda layer, kept: kept["turn"][-1].carry_out(layer),
    "get_step": lambda layer, kept: layer.get_step(kept["turn"][0].step["id"]),
    "get_favorite_steps": lambda layer, kept: layer.get_favorite_steps(kept["user"].id),
    "create_element": lambda layer, kept: layer.create_element(kept["new element"]),
    "get_element": lambda layer, kept: layer.get_element(kept["thread"], kept["element"].id),
    "delete_element": lambda layer, kept: layer.delete_element(kept["element"].id, kept["thread"]),
    "upsert_feedback": lambda layer, kept: layer.upsert_feedback(_feedback(kept)),
    "delete_feedback": lambda layer, kept: layer.delete_feedback(kept["feedback"]),
    "get_thread_author": lambda layer, kept: layer.get_thread_author(kept["thread"]),
    "get_thread": lambda layer, kept: layer.get_thread(kept["thread"]),
    "list_threads": _page,
    "list_threads, search": lambda layer, kept: _page(layer, kept, search="model"),
    "delete_step": lambda layer, kept: layer.delete_step(kept["turn"][0].step["id"]),
    "delete_thread": lambda layer, kept: layer.delete_thread(kept["thread"]),
}
