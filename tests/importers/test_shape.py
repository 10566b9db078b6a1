"""What raw rows of other layers become: pure, so by example and by property."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chainlit_sqla._internal import json as _json
from chainlit_sqla.transfer.records import COLUMNS, KEYS, Record, default
from chainlit_sqla.transfer.sources import normalize as shape

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)
texts = st.text(max_size=30)
columns = texts.map(_json.clean_text)  # No database has others as names.
values: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | texts
    | st.binary(max_size=10)
    | st.uuids()
    | st.decimals(allow_nan=False, allow_infinity=False, places=2)
    | st.datetimes(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)


@pytest.mark.parametrize(
    "value",
    [
        "2024-05-01T12:00:00Z",
        "2024-05-01T12:00:00+00:00Z",
        "2024-05-01T14:00:00.000+02:00",
        "2024-05-01T14:00:00+0200Z",
        "2024-05-01 12:00:00 UTC",
        " 2024-05-01 12:00:00+00 ",
        "1714564800",
        "1714564800000",
        1714564800,
        Decimal("1714564800.0"),
        datetime(2024, 5, 1, 12),
        datetime(2024, 5, 1, 14, tzinfo=timezone(timedelta(hours=2))),
    ],
)
def test_instants_in_all_forms_seen_are_read(value: Any) -> None:
    assert shape.instant(value) == NOON


@pytest.mark.parametrize("value", ["", "yesterday", "2024-13-01", None, {}, True, "12:00"])
def test_what_is_no_instant_is_none(value: Any) -> None:
    assert shape.instant(value) is None


@given(st.lists(texts.map(_json.clean_text), max_size=4))
def test_tags_survive_as_a_list_as_json_and_as_postgres_writes_arrays(tags: list[str]) -> None:
    quoted = (tag.replace("\\", "\\\\").replace('"', '\\"') for tag in tags)
    array = "{" + ",".join(f'"{tag}"' for tag in quoted) + "}"
    assert shape.tags(tags) == shape.tags(json.dumps(tags)) == tags
    if tags:
        assert shape.tags(array) == tags


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("true", True),
        ("False", False),
        (True, True),
        (0, False),
        ("json", "json"),
        ('"python"', "python"),
        ("None", None),
        ("", None),
        (None, None),
    ],
)
def test_show_input_is_a_flag_or_a_language(value: Any, expected: Any) -> None:
    assert shape.show_input(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [(1, 1), (0, 0), (1.0, 1), ("1.0", 1), (Decimal(0), 0), (-1, None), (0.5, None), ("x", None)],
)
def test_feedback_is_a_thumb_up_or_down(value: Any, expected: int | None) -> None:
    assert shape.feedback_value(value) == expected


@given(st.sampled_from(sorted(COLUMNS)), st.dictionaries(columns, values, max_size=4), st.data())
def test_any_row_becomes_a_record_that_can_be_stored_or_is_refused(
    kind: str, strange: dict[str, Any], data: st.DataObject
) -> None:
    names = data.draw(st.lists(st.sampled_from(sorted(COLUMNS[kind])), unique=True))
    raw = strange | {name: data.draw(values) for name in names}
    else_ = {"createdAt": NOON} if "createdAt" in COLUMNS[kind] else {}
    # What a source sees to by itself: rows without them are put aside.
    known: dict[str, Any] = dict.fromkeys((*KEYS[kind], "id"), "key")
    known |= {"user": {"identifier": "me"}, "feedback": {"value": 1}}.get(kind, {})
    record, rest = shape.record(kind, raw, known=known, else_=else_)
    assert record.values.keys() == COLUMNS[kind].keys()
    assert Record.parse(record.line()).digest() == record.digest()
    lost = set(raw) - set(COLUMNS[kind])
    there = record.values.get("extra") or {}
    for name in lost:
        said = raw[name] is not None
        assert not said or name in rest or name in there


@given(st.sampled_from(sorted(COLUMNS)))
def test_a_row_that_says_nothing_gets_what_says_nothing(kind: str) -> None:
    record, rest = shape.record(kind, {}, known={}, else_={})
    assert dict(record.values) == {name: default(kind, name) for name in COLUMNS[kind]}
    assert not rest


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (123, "123"),
        ("a\x00b", "a\u2400b"),
        ("", None),
        (None, None),
    ],
)
def test_an_id_is_text(value: Any, expected: str | None) -> None:
    assert shape.identifier(value) == expected
