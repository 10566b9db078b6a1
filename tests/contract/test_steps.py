"""Every key of a step comes back as it was sent, a part erases nothing, and the order is kept."""

from __future__ import annotations

import asyncio
import copy
from typing import Any

import pytest
from chainlit.message import Message

from chainlit_sqla.errors import RejectedRow
from tests.contract.backends import Backend
from tests.contract.build import (
    STEP_KEYS,
    as_read,
    at,
    message,
    new_id,
    same,
    steps_of,
    thread,
    tool,
)
from tests.contract.fixtures import Socket

ASK = {
    "id": "gpt-5",
    "temperature": 0.5,
    "messages": [{"role": "user", "content": "hé"}],
    "n": None,
}


async def test_a_message_comes_back_as_sent(layer: Any) -> None:
    thread_id = await thread(layer)
    sent = message(
        thread_id, "Bonjour\n\n*monde*", tags=["a", "b"], metadata={"k": [1, {"x": None}]}
    )
    await layer.create_step(copy.deepcopy(sent))
    assert same((await steps_of(layer, thread_id))[sent["id"]], as_read(sent))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("showInput", False),
        ("showInput", True),
        ("showInput", "json"),
        ("showInput", None),
        ("streaming", True),
        ("isError", True),
        ("isError", None),
        ("waitForAnswer", True),
        ("waitForAnswer", None),
        ("defaultOpen", True),
        ("autoCollapse", True),
        ("tags", []),
        ("tags", ["one", "zwei, drei", '"four"', "{five}"]),
        ("metadata", {"favorite": True, "a": {"b": [1, 2.5, "3", None, False]}}),
        ("generation", ASK),
        ("generation", {}),
        ("modes", {"reasoning": "deep", "model": "gpt"}),
        ("modes", {}),
        ("command", "Search"),
        ("language", "python"),
        ("icon", "globe"),
        ("type", "llm"),
        ("type", "a_type_of_next_year"),
        ("name", ""),
        ("input", ""),
        ("output", ""),
    ],
)
async def test_a_value_keeps_its_type(layer: Any, key: str, value: Any) -> None:
    thread_id = await thread(layer)
    sent = tool(thread_id, **{key: value})
    await layer.create_step(copy.deepcopy(sent))
    stored = (await steps_of(layer, thread_id))[sent["id"]]
    assert same(stored[key], value), stored[key]


async def test_a_step_has_every_key(layer: Any) -> None:
    thread_id = await thread(layer)
    least = {"id": new_id(), "threadId": thread_id, "type": "run", "name": "on_message"}
    await layer.create_step(dict(least))
    stored = (await steps_of(layer, thread_id))[least["id"]]
    assert stored.keys() == STEP_KEYS
    assert {key: stored[key] for key in least} == least
    assert (stored["input"], stored["output"], stored["metadata"]) == ("", "", {})
    optional = STEP_KEYS - least.keys() - {"input", "output", "metadata", "createdAt", "streaming"}
    assert {stored[key] for key in optional} == {None}
    assert not stored["streaming"]


@pytest.mark.parametrize("kind", [message, tool])
async def test_unknown_keys_come_back(layer: Any, kind: Any) -> None:
    thread_id = await thread(layer)
    odd = {"sparkles": {"a": [True, "ü"]}, "rank": 3, "flag": False}
    sent = kind(thread_id, generation=ASK, showInput=False, **odd)
    await layer.create_step(copy.deepcopy(sent))
    change = {"id": sent["id"], "threadId": thread_id, "output": "more", "rank": 4}
    await layer.update_step(dict(change))
    assert same((await steps_of(layer, thread_id))[sent["id"]], as_read(sent, change))
    assert same(dict(await layer.get_step(sent["id"])), as_read(sent, change))
    assert await layer.get_step(new_id()) is None


@pytest.mark.parametrize(
    ("key", "before", "empty"),
    [
        ("output", "something", ""),
        ("input", "something", ""),
        ("name", "something", ""),
        ("language", "json", ""),
        ("parentId", "p", ""),
        ("tags", ["a"], []),
        ("generation", ASK, {}),
        ("modes", {"a": "b"}, {}),
        ("metadata", {"a": "b"}, {}),
        ("command", "Go", ""),
        ("isError", True, False),
        ("showInput", "json", False),
    ],
)
async def test_what_is_given_on_purpose_is_stored(
    layer: Any, key: str, before: Any, empty: Any
) -> None:
    thread_id = await thread(layer)
    sent = tool(thread_id, **{key: before})
    await layer.create_step(copy.deepcopy(sent))
    await layer.update_step({"id": sent["id"], "threadId": thread_id, "type": "tool", key: empty})
    assert (await steps_of(layer, thread_id))[sent["id"]][key] == empty


FULL = {
    "parentId": "p",
    "command": "Go",
    "modes": {"a": "b"},
    "isError": True,
    "waitForAnswer": True,
    "metadata": {"k": 1},
    "tags": ["a"],
    "generation": ASK,
    "showInput": "sql",
    "defaultOpen": True,
    "autoCollapse": True,
    "language": "fr",
    "icon": "globe",
    "sparkles": [1],
}


@pytest.mark.ours
@pytest.mark.parametrize("order", ["after", "before", "together"])
async def test_none_is_not_known_and_changes_nothing(layer: Any, order: str) -> None:
    thread_id = await thread(layer)
    sent = tool(thread_id, streaming=True, **FULL)
    nothing = dict.fromkeys(sent) | {"id": sent["id"], "threadId": thread_id}
    if order == "before":  # The creation of a step that an update has made.
        await layer.update_step(copy.deepcopy(sent))
        await layer.create_step(dict(nothing))
    elif order == "after":
        await layer.create_step(copy.deepcopy(sent))
        await layer.update_step(dict(nothing))
    else:
        await asyncio.gather(layer.create_step(copy.deepcopy(sent)), layer.update_step(nothing))
    assert same((await steps_of(layer, thread_id))[sent["id"]], as_read(sent))


@pytest.mark.ours
async def test_a_message_edited_after_a_resume_keeps_what_it_was(
    layer: Any, socket: Socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chainlit.data._data_layer", layer)
    monkeypatch.setattr("chainlit.data._data_layer_initialized", True)
    thread_id = await thread(layer)
    values = {"tags": ["a"], "command": "Go", "modes": {"m": "n"}, "language": "fr"}
    sent = message(thread_id, "asked", type="user_message", **values)
    await layer.create_step(dict(sent))
    socket.enter(thread_id)
    resumed = Message.from_dict((await steps_of(layer, thread_id))[sent["id"]])  # type: ignore[arg-type]
    resumed.content = "edited"
    await resumed.update()
    await asyncio.sleep(0)
    assert same((await steps_of(layer, thread_id))[sent["id"]], as_read(sent, {"output": "edited"}))


@pytest.mark.ours
async def test_a_step_is_updated_by_its_id_alone(layer: Any, alice: Any, bob: Any) -> None:
    thread_id = await thread(layer, alice)
    sent = tool(thread_id)
    creation = asyncio.create_task(layer.create_step(dict(sent)))
    await asyncio.sleep(0)
    await layer.update_step({"id": sent["id"], "output": "more"})
    await creation
    assert (await layer.get_step(sent["id"]))["output"] == "more"
    with pytest.raises(RejectedRow, match="Step not written: no thread has the step unknown"):
        await layer.update_step({"id": "unknown", "output": "lost"})
    await layer.create_step({**sent, "threadId": await thread(layer, bob)})
    with pytest.raises(RejectedRow, match="several threads"):
        await layer.update_step({"id": sent["id"], "output": "which?"})
    assert (await layer.get_step(sent["id"]))["output"] == "more"


async def test_an_update_before_its_create_is_completed_by_it(layer: Any) -> None:
    thread_id = await thread(layer)
    sent = tool(thread_id, generation=ASK)
    late = {key: sent.pop(key) for key in ("output", "end", "metadata")}
    await layer.update_step({"id": sent["id"], "threadId": thread_id, "type": "tool", **late})
    assert (await steps_of(layer, thread_id))[sent["id"]]["output"] == late["output"]
    await layer.create_step(copy.deepcopy(sent))
    assert same((await steps_of(layer, thread_id))[sent["id"]], as_read(late, sent))


async def test_the_dict_given_is_not_changed(layer: Any) -> None:
    thread_id = await thread(layer)
    sent = tool(thread_id, showInput=False, generation=ASK, metadata={"a": {"b": 1}})
    given = copy.deepcopy(sent)
    for write in (layer.create_step, layer.update_step):
        await write(given)
        assert same(given, sent)


async def test_a_dict_changed_after_the_call_is_stored_as_it_was(layer: Any) -> None:
    thread_id = await thread(layer)
    sent = message(thread_id, "first", metadata={"round": [1]}, tags=["one"])
    given = copy.deepcopy(sent)
    writing = asyncio.create_task(layer.create_step(given))
    await asyncio.sleep(0)
    given["output"] = "second"
    given["metadata"]["round"].append(2)
    given["tags"].append("two")
    await writing
    assert same((await steps_of(layer, thread_id))[sent["id"]], as_read(sent))


@pytest.mark.parametrize("step_id", ["1", "step/ü 1", "a'b\"c%_\\", "x" * 200, "ID", "../../etc"])
async def test_any_text_is_an_id(layer: Any, step_id: str) -> None:
    thread_id = "thread " + step_id
    await layer.update_thread(thread_id, name="t")
    sent = tool(thread_id, id=step_id)
    child = tool(thread_id, id="child of " + step_id, parentId=step_id, createdAt=at(2))
    await layer.create_step(dict(sent))
    await layer.create_step(dict(child))
    found = await steps_of(layer, thread_id)
    parents = {id: step["parentId"] for id, step in found.items()}
    assert parents == {sent["id"]: None, child["id"]: sent["id"]}
    await layer.delete_step(step_id)
    assert await steps_of(layer, thread_id) == {}


async def test_ids_are_case_sensitive(layer: Any) -> None:
    thread_id = await thread(layer)
    for step_id in ("abc", "ABC"):
        await layer.create_step(message(thread_id, step_id, id=step_id))
    found = await steps_of(layer, thread_id)
    assert {id: step["output"] for id, step in found.items()} == {"abc": "abc", "ABC": "ABC"}


async def outputs(layer: Any, thread_id: str) -> list[str]:
    return [step["output"] for step in (await steps_of(layer, thread_id)).values()]


# As text "…:05.5Z" sorts before "…:05Z".
FRACTIONS = ["12:00:04.999999Z", "12:00:05Z", "12:00:05.000001Z", "12:00:05.25Z", "12:00:05.5Z"]
OFFSETS = ["12:30:00+02:00", "09:00:00-02:00", "12:00:00Z"]


@pytest.mark.parametrize("times", [FRACTIONS, OFFSETS], ids=["fractions", "offsets"])
async def test_steps_are_ordered_by_time(layer: Any, times: list[str]) -> None:
    thread_id = await thread(layer)
    for time in (times[1], *times[2:], times[0]):
        await layer.create_step(message(thread_id, time, createdAt=f"2026-03-01T{time}"))
    assert await outputs(layer, thread_id) == times


async def test_equal_times_keep_the_order_of_arrival(layer: Any, backend: Backend) -> None:
    thread_id = await thread(layer)
    sent = [message(thread_id, str(i)) for i in range(30)]
    for step in sent[:10]:
        await layer.create_step(dict(step))
    await asyncio.gather(*(layer.create_step(dict(step)) for step in sent[10:]))
    expected = [str(i) for i in range(30)]
    assert await outputs(layer, thread_id) == expected
    await layer.update_step({**sent[3], "isError": True})
    for after_a_restart in ("30", "31"):
        layer = await backend.reopen(layer)
        assert await outputs(layer, thread_id) == expected
        await layer.create_step(message(thread_id, after_a_restart))
        expected.append(after_a_restart)
    assert await outputs(layer, thread_id) == expected


async def test_parents_come_before_their_children(layer: Any) -> None:
    thread_id = await thread(layer)
    ids = [new_id() for _ in range(4)]
    for depth in (3, 1, 2, 0):  # Each is older than its parent.
        parent = ids[depth - 1] if depth else None
        step = tool(thread_id, id=ids[depth], parentId=parent, createdAt=at(10 - depth))
        await layer.create_step(step)
    assert list(await steps_of(layer, thread_id)) == ids


async def test_parents_come_first_at_equal_times(layer: Any) -> None:
    thread_id = await thread(layer)
    parent = new_id()
    children = [tool(thread_id, parentId=parent, output=str(i)) for i in range(3)]
    for child in children:
        await layer.create_step(dict(child))
    await layer.create_step(tool(thread_id, id=parent, output="parent"))
    assert await outputs(layer, thread_id) == ["parent", "0", "1", "2"]


async def test_a_child_without_its_parent_is_shown(layer: Any) -> None:
    thread_id = await thread(layer)
    await layer.create_step(message(thread_id, "first", createdAt=at(1)))
    await layer.create_step(tool(thread_id, output="orphan", parentId=new_id(), createdAt=at(2)))
    await layer.create_step(message(thread_id, "last", createdAt=at(3)))
    assert await outputs(layer, thread_id) == ["first", "orphan", "last"]


@pytest.mark.parametrize("length", [1, 2, 3])
async def test_steps_that_are_their_own_ancestors_are_all_shown(layer: Any, length: int) -> None:
    thread_id = await thread(layer)
    ids = [new_id() for _ in range(length)]
    for i, step_id in enumerate(ids):
        await layer.create_step(tool(thread_id, id=step_id, parentId=ids[i - 1], createdAt=at(i)))
    await layer.create_step(message(thread_id, createdAt=at(10)))
    assert len(await steps_of(layer, thread_id)) == length + 1


@pytest.mark.ours  # The others take ten seconds for it.
async def test_a_deep_chain_is_read(layer: Any) -> None:
    thread_id = await thread(layer)
    ids = [f"{i:04}" for i in range(1200)]
    writes = [
        layer.create_step(tool(thread_id, id=step_id, parentId=ids[i - 1] if i else None))
        for i, step_id in enumerate(ids)
    ]
    await asyncio.gather(*reversed(writes))
    assert list(await steps_of(layer, thread_id)) == ids
