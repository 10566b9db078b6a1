"""What a database would refuse or change: stored in a stated way, or refused with an error."""

from __future__ import annotations

import asyncio
import datetime
import enum
import json
from typing import Any

import pytest
from chainlit.types import Feedback
from chainlit.user import User

from chainlit_sqla.errors import RejectedRow
from tests.contract.backends import Backend
from tests.contract.build import (
    INSTANT,
    as_read,
    file_element,
    listed,
    message,
    person,
    read,
    said,
    same,
    steps_of,
    thread,
    tool,
)
from tests.importers.test_normalize import NOONS

TEXTS = {
    "nul": ("a\x00b", "a\u2400b"),
    "lone surrogate": ("a\ud800b", "a\ufffdb"),
    "low surrogate": ("\udc00", "\ufffd"),
    "split pair": ("\ud83d\ude00", "\U0001f600"),
    "emoji": ("👩‍👩‍👧 🇪🇺", "👩‍👩‍👧 🇪🇺"),
    "controls": ("\x01\x1b[0m\x7f\x85", "\x01\x1b[0m\x7f\x85"),
    "line ends": ("a\r\nb\rc\u2028d\n", "a\r\nb\rc\u2028d\n"),
    "spaces": ("  \t padded \u00a0 ", "  \t padded \u00a0 "),
    "sql": ("'; DROP TABLE steps; --\"`", "'; DROP TABLE steps; --\"`"),
    "placeholders": (":name %s %(a)s $1 ? {x} \\:", ":name %s %(a)s $1 ? {x} \\:"),
    "escapes": ("\\u0000 \\n \\\\ \\", "\\u0000 \\n \\\\ \\"),
    "decomposed": ("e\u0301", "e\u0301"),
    "not a character": ("\uffff\U0010ffff", "\uffff\U0010ffff"),
}


async def test_texts_in_steps(layer: Any) -> None:
    thread_id = await thread(layer)

    def step(id: str, text: str) -> dict[str, Any]:
        changes = {"id": id, "name": text, "input": text, "tags": [text], "language": text}
        inner = {text: [text, {"deep": text}]}
        return tool(thread_id, output=text, metadata=inner, generation=inner) | changes

    for id, (sent, _) in TEXTS.items():
        await layer.create_step(step(id, sent))
    found = await steps_of(layer, thread_id)
    for id, (_, stored) in TEXTS.items():
        assert same(found[id], as_read(step(id, stored))), id


class Markup(str):
    """As in markupsafe: a text that knows what it is."""

    __slots__ = ()


class Color(str, enum.Enum):  # noqa: UP042 - what apps still have
    RED = "red"


class Moment(datetime.datetime):
    """As in pandas, pendulum and freezegun."""


@pytest.mark.ours
@pytest.mark.parametrize(
    "sent",
    [
        Markup("hello"),
        Color.RED,
        Markup('"x","isError":true,"name":"evil"'),
        Markup('"x"},{"threadId":"t","id":"another","type":"tool"'),
        Markup("null"),
    ],
)
async def test_a_text_of_a_class_of_its_own_is_a_text(layer: Any, sent: str) -> None:
    thread_id, plain = await thread(layer, name=sent), str.__str__(sent)
    given = tool(thread_id, output=sent, input=sent, name=sent, parentId=sent, tags=[sent])
    await layer.create_step(given | {"start": Moment(2026, 1, 31, 8, tzinfo=datetime.UTC)})
    found = await read(layer, thread_id)
    [step] = found["steps"]
    assert found["name"] == plain
    expected = {"output": plain, "input": plain, "name": plain, "parentId": plain}
    assert {name: step[name] for name in expected} == expected
    assert step["isError"] == given["isError"]
    assert step["start"] == "2026-01-31T08:00:00Z"


async def test_texts_in_threads_and_feedback(layer: Any) -> None:
    for sent, stored in TEXTS.values():
        thread_id = await thread(layer, name=sent, metadata={sent: [sent]}, tags=[sent])
        step_id = await said(layer, thread_id)
        given = Feedback(forId=step_id, value=1, threadId=thread_id, comment=sent)
        await layer.upsert_feedback(given)
        found = await read(layer, thread_id)
        fields = {"name": stored, "metadata": {stored: [stored]}, "tags": [stored]}
        assert {key: found[key] for key in fields} == fields
        assert found["steps"][0]["feedback"]["comment"] == stored


@pytest.mark.parametrize("name", ["nul", "lone surrogate"])
async def test_text_in_ids_and_questions(layer: Any, name: str) -> None:
    # Ids and search words come from clients: they are cleaned alike in writes and reads.
    sent, stored = TEXTS[name]
    user = await layer.create_user(User(identifier=sent))
    assert user.identifier == stored
    assert await layer.get_user(sent) == user
    await layer.update_thread(sent, user_id=user.id, name=f"name {sent}")
    await layer.create_step(message(sent, id=sent, metadata={"favorite": True}))
    await layer.create_element(file_element(sent, sent, id=sent))
    given = Feedback(forId=sent, value=1, threadId=sent, id=sent)
    assert await layer.upsert_feedback(given) == stored
    found = await read(layer, sent)
    assert (found["id"], found["steps"][0]["id"], found["elements"][0]["id"]) == (stored,) * 3
    assert (await layer.get_element(sent, sent))["forId"] == stored
    assert (await layer.get_step(sent))["feedback"]["id"] == stored
    assert await layer.get_thread_author(sent) == stored
    assert await listed(layer, user, search=sent) == [stored]
    assert await layer.get_favorite_steps(sent) == []
    assert await layer.delete_feedback(sent) is True
    await layer.delete_element(sent, sent)
    await layer.delete_step(sent)
    found = await read(layer, sent)
    assert (found["steps"], found["elements"]) == ([], [])
    await layer.delete_thread(sent)
    assert await layer.get_thread(sent) is None


MOMENT = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)
OBJECTS = {  # tests/unit/test_json.py has the whole table.
    "nan": ([float("nan"), float("-inf"), 1.5], [None, None, 1.5]),
    "int64": (2**63 - 1, 2**63 - 1),
    "huge integer": (10**30, str(10**30)),
    "float": (0.1 + 0.2, 0.1 + 0.2),
    "datetime": (MOMENT, MOMENT.isoformat()),
    "bytes": (b"\x00\xff", "data:;base64,AP8="),
    "integer keys": ({1: "a"}, {"1": "a"}),
}


@pytest.mark.parametrize(("sent", "stored"), OBJECTS.values(), ids=OBJECTS.keys())
async def test_what_is_not_json(layer: Any, sent: Any, stored: Any) -> None:
    thread_id = await thread(layer, metadata={"in": {"deep": sent}})
    step = tool(thread_id, metadata={"in": sent}, generation={"settings": [sent]})
    await layer.create_step(dict(step))
    found = await read(layer, thread_id)
    assert same(found["metadata"], {"in": {"deep": stored}})
    expected = as_read(step, {"metadata": {"in": stored}, "generation": {"settings": [stored]}})
    assert same(found["steps"][0], expected)


def nested(levels: int) -> Any:
    value: Any = "\\u0000 'core'"
    for level in range(levels):
        value = {"d": value} if level % 2 else [value]
    return value


def circular() -> Any:
    value: dict[str, Any] = {}
    value["self"] = [value]
    return value


async def test_deep_json_is_kept(layer: Any) -> None:
    # MariaDB's own limit is 32, MySQL's is 100.
    thread_id = await thread(layer)
    for depth in (30, 31, 32, 33, 99, 100, 101, 200):
        step = message(thread_id, metadata={"deep": nested(depth)})
        await layer.create_step(dict(step))
        assert same((await steps_of(layer, thread_id))[step["id"]], as_read(step)), depth


@pytest.mark.parametrize(
    "value", [nested(300), nested(5000), circular()], ids=["300", "5000", "ring"]
)
async def test_a_value_without_end_is_refused_alone(layer: Any, value: Any) -> None:
    thread_id = await thread(layer, name="before", metadata={"a": 1})
    steps = [message(thread_id, str(i)) for i in range(5)]
    steps[2]["metadata"] = {"bad": value}
    results = await asyncio.gather(
        *(layer.create_step(step) for step in steps), return_exceptions=True
    )
    assert [type(result) for result in results] == [
        *[type(None)] * 2, RejectedRow, *[type(None)] * 2
    ]  # fmt: skip
    with pytest.raises(RejectedRow):
        await layer.update_thread(thread_id, name="after", metadata={"bad": value})
    found = await read(layer, thread_id)
    assert (found["name"], found["metadata"]) == ("before", {"a": 1})
    assert [step["output"] for step in found["steps"]] == ["0", "1", "3", "4"]


async def test_long_texts(layer: Any, backend: Backend) -> None:
    thread_id = await thread(layer, name="n" * 10_000)
    text = "0123456789é\n" * 450_000
    step = tool(thread_id, output=text, input=text[:1_000_000], metadata={"log": text[:1_000_000]})
    await layer.create_step(dict(step))
    layer = await backend.reopen(layer)
    found = await read(layer, thread_id)
    assert found["name"] == "n" * 10_000
    assert found["steps"] == [as_read(step)]


@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        ("2026-03-01T12:00:00.123456Z", "2026-03-01T12:00:00.123456Z"),
        ("2026-03-01T12:00:00Z", "2026-03-01T12:00:00Z"),
        ("2026-03-01T12:00:00.000000Z", "2026-03-01T12:00:00Z"),
        ("2026-03-01T12:00:00.250Z", "2026-03-01T12:00:00.250000Z"),
        ("2026-03-01T12:00:00", "2026-03-01T12:00:00Z"),
        ("2026-03-01T12:00:00.5", "2026-03-01T12:00:00.500000Z"),
        ("2026-03-01 12:00:00", "2026-03-01T12:00:00Z"),
        ("2026-03-01T12:00:00+02:00", "2026-03-01T10:00:00Z"),
        ("2026-03-01T23:30:00-05:30", "2026-03-02T05:00:00Z"),
        ("2026-03-01T12:00:00.000001+00:00", "2026-03-01T12:00:00.000001Z"),
        ("2026-03-29T02:30:00", "2026-03-29T02:30:00Z"),
        ("1969-12-31T23:59:59.999999Z", "1969-12-31T23:59:59.999999Z"),
        ("2400-02-29T00:00:00Z", "2400-02-29T00:00:00Z"),
        (1767225600, "2026-01-01T00:00:00Z"),
        (1767225600250, "2026-01-01T00:00:00.250000Z"),
        (MOMENT, "2026-01-02T03:04:05Z"),
    ],
)
async def test_instants(layer: Any, sent: Any, stored: str) -> None:
    thread_id = await thread(layer)
    step = tool(thread_id, createdAt=sent, start=sent, end=sent)
    await layer.create_step(dict(step))
    found = (await steps_of(layer, thread_id))[step["id"]]
    assert [found[key] for key in ("createdAt", "start", "end")] == [stored] * 3


@pytest.mark.ours
async def test_the_forms_that_an_import_reads(layer: Any) -> None:
    thread_id = await thread(layer)
    sent = [tool(thread_id, createdAt=value, start=value, end=value) for value in NOONS]
    await asyncio.gather(*(layer.create_step(step) for step in sent))
    found = (await steps_of(layer, thread_id)).values()
    times = [{step[key] for key in ("createdAt", "start", "end")} for step in found]
    assert times == [{"2024-05-01T12:00:00Z"}] * len(NOONS)


@pytest.mark.ours
@pytest.mark.parametrize(
    "odd",
    [
        "yesterday at noon",
        "2026-02-30T00:00:00Z",
        "0001-01-01T00:00:00+14:00",
        "",
        True,
        {"seconds": 1},
        10**40,
    ],
)
async def test_odd_instants_lose_no_step(layer: Any, backend: Backend, odd: Any) -> None:
    thread_id = await thread(layer)
    step = tool(thread_id, createdAt=odd, start=odd, end=odd)
    await layer.create_step(dict(step))
    stored = (await steps_of(layer, thread_id))[step["id"]]
    assert INSTANT.fullmatch(stored.pop("createdAt")), "it is the time of writing"
    expected = as_read(step) | {"start": None, "end": None}
    del expected["createdAt"]
    assert stored == expected
    (row,) = await backend.rows(f"SELECT * FROM steps WHERE id = '{step['id']}'")
    kept = str(odd) if isinstance(odd, int) and odd > 2**63 else odd
    assert json.loads(row["extra"]) == dict.fromkeys(("createdAt", "start", "end"), kept)


@pytest.mark.parametrize(
    ("key", "sent", "stored"),
    [
        ("output", {"a": [1]}, '{"a":[1]}'),
        ("output", 5, "5"),
        ("output", None, "sunny"),
        ("input", None, '{"city": "Paris"}'),
        ("input", ["x"], '["x"]'),
        ("name", None, "before"),
        ("type", None, "tool"),
        ("metadata", None, {"before": 1}),
        ("streaming", None, True),
        ("streaming", "false", False),
        ("isError", "true", True),
        ("isError", 0, False),
        ("tags", "single", "single"),
        ("tags", ("a", "b"), ["a", "b"]),
    ],
)
async def test_values_of_another_type(layer: Any, key: str, sent: Any, stored: Any) -> None:
    thread_id = await thread(layer)
    step = tool(thread_id, name="before", metadata={"before": 1}, streaming=True)
    await layer.create_step(dict(step))
    await layer.update_step({**step, key: sent})
    found = (await steps_of(layer, thread_id))[step["id"]]
    assert same(found[key], stored), found[key]


async def test_a_step_without_a_time_is_kept(layer: Any) -> None:
    thread_id = await thread(layer)
    first = await said(layer, thread_id, "timeless", createdAt=None, start=None, end=None)
    assert list(await steps_of(layer, thread_id)) == [first]


async def test_the_layer_writes_its_own_instants_in_utc(layer: Any) -> None:
    slack = datetime.timedelta(seconds=1)
    before = datetime.datetime.now(datetime.UTC) - slack
    user = await person(layer)
    thread_id = await thread(layer, user)
    after = datetime.datetime.now(datetime.UTC) + slack
    for written in (user.createdAt, (await read(layer, thread_id))["createdAt"]):
        assert INSTANT.fullmatch(written), written
        assert before <= datetime.datetime.fromisoformat(written) <= after
