"""What Chainlit sends: step dicts in the shapes of ``Message`` and ``Step``, and their reading."""

from __future__ import annotations

import re
import uuid
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from chainlit.data.base import BaseDataLayer
from chainlit.element import Element, ElementDict, File
from chainlit.step import StepDict
from chainlit.types import Feedback, Pagination, ThreadFilter
from chainlit.user import PersistedUser, User

START = datetime(2026, 3, 1, 12, 0, 0, 250_000)
INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?Z")
# Older releases of Chainlit do not know all of these; the layer returns them nevertheless.
STEP_KEYS = frozenset(StepDict.__annotations__) | {"icon", "modes", "autoCollapse"}
ELEMENT_KEYS = frozenset(ElementDict.__annotations__)


def new_id() -> str:
    return str(uuid.uuid4())


def at(seconds: float = 0) -> str:
    """Give the instant some seconds after the start of the story, as ``utc_now`` writes it."""
    return (START + timedelta(seconds=seconds)).isoformat() + "Z"


def now() -> str:
    """Give the present instant, as ``utc_now`` writes it."""
    return datetime.now(UTC).replace(tzinfo=None).isoformat() + "Z"


def message(thread_id: str, output: str = "Hello", **changes: Any) -> dict[str, Any]:
    """Make a dict with the keys of ``Message.to_dict``."""
    created = changes.pop("createdAt", at())
    return {
        "id": new_id(),
        "threadId": thread_id,
        "parentId": None,
        "createdAt": created,
        "command": None,
        "modes": None,
        "start": created,
        "end": created,
        "output": output,
        "name": "Assistant",
        "type": "assistant_message",
        "language": None,
        "streaming": False,
        "isError": False,
        "waitForAnswer": False,
        "metadata": {},
        "tags": None,
    } | changes


def tool(thread_id: str, **changes: Any) -> dict[str, Any]:
    return {
        "name": "look_up",
        "type": "tool",
        "id": new_id(),
        "threadId": thread_id,
        "parentId": None,
        "streaming": False,
        "metadata": {},
        "tags": None,
        "input": '{"city": "Paris"}',
        "isError": False,
        "output": "sunny",
        "createdAt": at(1),
        "start": at(1),
        "end": at(2.5),
        "language": "json",
        "defaultOpen": False,
        "autoCollapse": False,
        "showInput": "json",
        "generation": None,
    } | changes


def as_read(*sent: dict[str, Any]) -> dict[str, Any]:
    """Give the step that the last of these writes must leave behind; None changes nothing."""
    step: dict[str, Any] = dict.fromkeys(STEP_KEYS)
    step |= {"input": "", "output": "", "metadata": {}}
    for one in sent:
        step |= {key: value for key, value in one.items() if value is not None}
    return step


def file_element(thread_id: str, for_id: str = "", **changes: Any) -> File:
    fields: dict[str, Any] = {"name": "notes.txt", "content": b"some bytes", "mime": "text/plain"}
    if "path" in changes or "url" in changes:
        del fields["content"]
    return File(thread_id=thread_id, for_id=for_id, **(fields | changes))


WRITES: dict[str, Callable[[Any, str, str], Awaitable[Any]]] = {
    "create_step": lambda layer, thread, step: layer.create_step(message(thread, id=step)),
    "update_step": lambda layer, thread, step: layer.update_step(message(thread, id=step)),
    "element": lambda layer, thread, step: layer.create_element(file_element(thread, step)),
    "feedback": lambda layer, thread, step: layer.upsert_feedback(
        Feedback(forId=step, value=1, threadId=thread)
    ),
    "metadata": lambda layer, thread, _: layer.update_thread(thread, metadata={"a": 1, "b": None}),
    "name": lambda layer, thread, _: layer.update_thread(thread, name="new"),
    "tags": lambda layer, thread, _: layer.update_thread(thread, tags=["a"]),
}
"""What can be written into a thread, by a layer and the ids of the thread and of a step."""


def element_as_read(element: Element) -> dict[str, Any]:
    """Give an element's dict without what storing it decides."""
    return without_place(element.to_dict())


def without_place(element: Any) -> dict[str, Any]:
    """Leave out the keys that say where the bytes are."""
    return {k: v for k, v in element.items() if k not in {"url", "objectKey", "path"}}


async def person(layer: BaseDataLayer, identifier: str | None = None) -> PersistedUser:
    user = await layer.create_user(User(identifier=identifier or f"{new_id()}@example.org"))
    assert user
    return user


async def thread(layer: BaseDataLayer, owner: PersistedUser | None = None, **fields: Any) -> str:
    thread_id = new_id()
    if owner:
        fields["user_id"] = owner.id
    await layer.update_thread(thread_id, **fields)
    return thread_id


async def said(layer: BaseDataLayer, thread_id: str, output: str = "Hello", **changes: Any) -> str:
    """Send a message at this moment and give its id."""
    step = message(thread_id, output, **({"createdAt": now()} | changes))
    await layer.create_step(dict(step))  # type: ignore[arg-type]
    return str(step["id"])


async def read(layer: BaseDataLayer, thread_id: str) -> dict[str, Any]:
    found = await layer.get_thread(thread_id)
    assert found, f"thread {thread_id} is missing"
    return dict(found)


async def steps_of(layer: BaseDataLayer, thread_id: str) -> dict[str, dict[str, Any]]:
    """Read a thread's steps by id, in order; a thread that is not there has none."""
    found = await layer.get_thread(thread_id)
    steps = found["steps"] if found else []
    by_id = {str(step["id"]): dict(step) for step in steps}
    assert len(by_id) == len(steps), "a step is there twice"
    return by_id


async def elements_of(layer: BaseDataLayer, thread_id: str) -> dict[str, dict[str, Any]]:
    """Read a thread's elements by id; a thread that is not there has none."""
    found = await layer.get_thread(thread_id)
    elements = (found["elements"] or []) if found else []
    by_id = {str(element["id"]): dict(element) for element in elements}
    assert len(by_id) == len(elements), "an element is there twice"
    return by_id


async def listed(
    layer: BaseDataLayer, owner: PersistedUser, *, page: int = 100, **filters: Any
) -> list[str]:
    """List the ids of a user's threads, page by page until the last."""
    ids: list[str] = []
    cursor = None
    while True:
        found = await layer.list_threads(
            Pagination(first=page, cursor=cursor), ThreadFilter(userId=owner.id, **filters)
        )
        ids += [thread["id"] for thread in found.data]
        if not found.pageInfo.hasNextPage:
            return ids
        assert found.data, "an empty page that promises another"
        cursor = found.pageInfo.endCursor


def same(one: Any, other: Any) -> bool:
    """Compare values and their types, so that ``True`` is not ``1``; 1 and 1.0 are the same."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    numbers = {int, float}
    if {type(one), type(other)} <= numbers:
        return bool(one == other)
    return type(one) is type(other) and bool(one == other)
