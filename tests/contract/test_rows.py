"""Odd rows are shown alike on every way: on the driver, through SQLAlchemy, without its forms.

What they must be shown as is written down once more here, value by value, from rows that
SQLAlchemy's own column types have read.
"""

from __future__ import annotations

import random
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import insert, select, text
from sqlalchemy.exc import DBAPIError

from chainlit_sqla._internal.json import JsonText
from chainlit_sqla.dialects import Dialect
from chainlit_sqla.integration.from_chainlit import ELEMENT_KINDS, STEP_KINDS
from chainlit_sqla.integration.to_chainlit import parents_first
from chainlit_sqla.models import elements, feedbacks, steps, threads, users
from tests.contract.build import listed, message, thread

pytestmark = pytest.mark.ours

TEXT = [None, "", "a", 'q"uo\\te', "ü 😀 \u2028 \x01\x7f", "null", "{}", "line\r\n\t", "x" * 9_000]
FLAGS = [None, True, False]
INSTANTS = [
    datetime(1, 1, 2, tzinfo=UTC),
    datetime(987, 6, 5, 4, 3, 2, 100_000, tzinfo=UTC),
    datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
    datetime(2026, 1, 31, 8, tzinfo=UTC),
    datetime(2026, 1, 31, 8, 0, 0, 1, tzinfo=UTC),
    datetime(2026, 1, 31, 8, 0, 0, 120_000, tzinfo=UTC),
    datetime(2026, 1, 31, 8, 0, 0, 123_456, tzinfo=UTC),
    datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
]
DEEP: Any = 0
for _ in range(100):
    DEEP = {"d": [DEEP]}
NUMBERS = [0, -1, 1.5, -0.0, 0.1, 1e-7, 1e15 + 0.5, 2**53 + 1, 2**63 - 1, 2**64 - 1, -(2**63)]
DOCUMENTS = [
    {},
    {"a": {"b": [1, None, True, "ü 😀", {"": []}]}, "A": 1, "a b": "null"},
    {"numbers": NUMBERS},
    {"deep": DEEP},
    JsonText("null"),
]
VALUES = [None, *DOCUMENTS, [], [[]], "", "text", '"', True, False, *NUMBERS]
EXTRA = [
    None,
    {},
    {"custom": {"k": [1, 2]}, "icon": "star", "name": "column wins"},
    {"createdAt": "no date", "start": "nor this", "end": [], "language": "xx", "page": "seven"},
]


def odd_value(column: Any, dice: random.Random) -> Any:
    kind = str(column.type.__class__.__name__)
    pool: list[Any] = {
        "UtcDateTime": INSTANTS,
        "JsonDocument": VALUES,
        "Boolean": FLAGS,
        "Integer": [0, 7, -(2**31)],
        "BigInteger": [0, 2**40],
    }.get(kind, TEXT)
    if column.name == "extra":
        pool = EXTRA
    elif column.name == "metadata":
        pool = DOCUMENTS
    elif column.name == "parentId":
        pool = [None, "", "nobody", *(f"ü {number}" for number in range(0, 200, 9))]
    if not column.nullable:
        pool = [value for value in pool if value is not None]
    elif None not in pool:
        pool = [None, *pool]
    return dice.choice(pool)


def iso(value: datetime | None) -> str | None:
    return None if value is None else value.replace(tzinfo=None).isoformat() + "Z"


def step_of(row: Any, feedback: Any) -> dict[str, Any]:
    step = {"id": row["id"], "threadId": row["threadId"], "icon": None}
    step |= {name: row[name] for name in STEP_KINDS}
    step |= {name: iso(row[name]) for name in ("createdAt", "start", "end")}
    step |= {name: row[name] or "" for name in ("input", "output")}
    names = ("forId", "id", "value", "comment")
    step["feedback"] = {name: feedback[name] for name in names} if feedback else None
    return with_extra(step, row, {"createdAt", "start", "end"})


def element_of(row: Any) -> dict[str, Any]:
    element = {name: row[name] for name in ("id", "threadId", *ELEMENT_KINDS)}
    return with_extra(element, row, set())


def with_extra(shown: dict[str, Any], row: Any, unread: set[str]) -> dict[str, Any]:
    for name, value in (row["extra"] or {}).items():
        if shown.get(name) is None and name not in unread:
            shown[name] = value
    return shown


def plain(dialect: Dialect) -> Dialect:
    """The same database without any way of its own to read."""
    own = (
        "select_timestamp",
        "select_json",
        "packed",
        "format_timestamp",
        "load_json",
        "fetch_on_driver",
    )
    kind = type("Plain", (type(dialect),), {name: getattr(Dialect, name) for name in own})
    made = kind()
    assert isinstance(made, Dialect)
    return made


async def fill(layer: Any, owner: str, count: int) -> dict[str, Any]:
    """Write odd rows past the layer's conversions; say what is to be shown, as SQLAlchemy reads."""
    dice = random.Random(4)  # The same values in each run.
    now = INSTANTS[6]
    async with layer.database.write() as connection:
        row = {"id": "t", "createdAt": INSTANTS[1], "updatedAt": now, "name": "ü", "tags": ["x"]}
        row |= {"userId": owner, "userIdentifier": "alice", "metadata": DOCUMENTS[2]}
        await connection.execute(insert(threads), row)
        for table in (steps, elements):
            rows: list[dict[str, Any]] = []
            for number in range(count):
                rows.append({column.name: odd_value(column, dice) for column in table.columns})
                rows[-1] |= {"threadId": "t", "id": f"ü {number}", "ordinal": number}
                if table is elements:
                    rows[-1]["objectKey"] = None
            if rows:
                await connection.execute(insert(table), rows)
        given = [
            {"threadId": "t", "forId": f"ü {n}", "id": f"f{n}", "value": n % 2, "comment": TEXT[n]}
            for n in range(min(count, len(TEXT)))
        ]
        if given:
            await connection.execute(insert(feedbacks), given)
    async with layer.database.connect() as connection:
        [row] = (await connection.execute(select(threads))).mappings()
        by_step = {f["forId"]: f for f in (await connection.execute(select(feedbacks))).mappings()}
        ordered = select(steps).order_by(steps.c.createdAt, steps.c.ordinal)
        shown = [
            step_of(s, by_step.get(s["id"])) for s in (await connection.execute(ordered)).mappings()
        ]
        by_ordinal = select(elements).order_by(elements.c.ordinal)
        files = [element_of(e) for e in (await connection.execute(by_ordinal)).mappings()]
    names = ("id", "name", "userId", "userIdentifier", "tags")
    thread = {name: row[name] for name in names} | {"createdAt": iso(row["createdAt"])}
    thread |= {"metadata": row["metadata"] or {}, "steps": parents_first(shown)}
    return thread | {"elements": files}


def exactly(value: Any) -> Any:
    """Equal only where the types are: 1, 1.0 and True are not the same, nor 0.0 and -0.0."""
    if isinstance(value, dict):
        return {name: exactly(member) for name, member in value.items()}
    if isinstance(value, list):
        return [exactly(member) for member in value]
    return type(value).__name__, repr(value)


@pytest.mark.parametrize("count", [0, 1, 700])
async def test_a_thread_of_odd_rows_is_shown_alike_on_every_way(
    layer: Any, alice: Any, count: int
) -> None:
    wanted = exactly(await fill(layer, alice.id, count))
    database = layer.database
    assert exactly(await layer.get_thread("t")) == wanted
    database.dialect, worker = plain(database.dialect), database._worker
    database._worker = None
    assert exactly(await layer.get_thread("t")) == wanted
    database._worker = worker


async def test_single_rows_are_shown_as_in_their_thread(layer: Any, alice: Any) -> None:
    wanted = await fill(layer, alice.id, 60)
    for step in wanted["steps"]:
        assert exactly(await layer.get_step(step["id"])) == exactly(step)
    for element in wanted["elements"]:
        assert exactly(await layer.get_element("t", element["id"])) == exactly(element)


async def test_a_user_of_odd_values_is_shown_alike_on_every_way(layer: Any) -> None:
    database = layer.database
    for number, (document, at) in enumerate(
        (document, at) for document in DOCUMENTS for at in INSTANTS
    ):
        row = {"id": str(number), "identifier": f"n{number}", "createdAt": at}
        async with database.write() as connection:
            await connection.execute(insert(users), row | {"metadata": document, "displayName": ""})
        user = await layer.get_user(f"n{number}")
        async with database.connect() as connection:
            query = select(users.c.metadata).where(users.c.id == str(number))
            stored = await connection.scalar(query)
        assert (user.id, user.display_name, user.createdAt) == (str(number), "", iso(at))
        assert exactly(user.metadata) == exactly(stored or {})


async def test_a_number_that_no_float_holds_hides_nothing(layer: Any, alice: Any) -> None:
    thread_id = await thread(layer, alice)
    await layer.create_step(message(thread_id, id="s"))
    for table in ("threads", "steps", "users"):
        sql = text(f"""UPDATE {table} SET metadata = '{{"a": 1e400, "b": 2}}'""")
        with suppress(DBAPIError):  # MySQL refuses it.
            async with layer.database.write() as connection:
                await connection.execute(sql)
    layer._users._cached.clear()
    assert (await layer.get_user(alice.identifier)).id == alice.id
    found = await layer.get_thread(thread_id)
    assert found["metadata"] == found["steps"][0]["metadata"] in ({"a": None, "b": 2}, {})
    assert await listed(layer, alice) == [thread_id]
