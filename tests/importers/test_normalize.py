"""What raw rows of other layers become: pure, so by example and by property."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chainlit_sqla._internal import json as _json
from chainlit_sqla._internal.timestamps import parse_instant
from chainlit_sqla.transfer.records import COLUMNS, KEYS, Record, default
from chainlit_sqla.transfer.sources.normalize import (
    feedback_value,
    identifier,
    normalize,
    show_input,
)
from chainlit_sqla.transfer.sources.normalize import tags as read_tags

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


NOONS = [
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
]


@pytest.mark.parametrize("value", NOONS)
def test_timestamps_in_all_known_forms_are_read(value: Any) -> None:
    assert parse_instant(value) == NOON


@pytest.mark.parametrize(
    ("function", "value", "expected"),
    [
        *(
            (parse_instant, value, None)
            for value in ("", "yesterday", "2024-13-01", None, {}, True, Decimal("NaN"))
        ),
        (show_input, "true", True),
        (show_input, "False", False),
        (show_input, True, True),
        (show_input, 0, False),
        (show_input, "json", "json"),
        (show_input, '"python"', "python"),
        (show_input, "None", None),
        (show_input, "", None),
        (show_input, "a\x00b", "a\u2400b"),
        *((feedback_value, value, 1) for value in (1, 1.0, "1.0")),
        (feedback_value, Decimal(0), 0),
        (identifier, uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (identifier, 123, "123"),
        (identifier, "a\x00b", "a\u2400b"),
        (identifier, "", None),
    ],
)
def test_values_in_other_forms_are_converted(
    function: Callable[[Any], Any], value: Any, expected: Any
) -> None:
    assert function(value) == expected


@given(st.lists(texts.map(_json.clean_text), max_size=4))
def test_tags_survive_as_a_list_as_json_and_as_postgres_writes_arrays(tags: list[str]) -> None:
    quoted = (tag.replace("\\", "\\\\").replace('"', '\\"') for tag in tags)
    array = "{" + ",".join(f'"{tag}"' for tag in quoted) + "}"
    assert read_tags(tags) == read_tags(json.dumps(tags)) == tags
    if tags:
        assert read_tags(array) == tags


@pytest.mark.parametrize("value", [-1, 0.5, "x", None])
def test_other_feedback_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="neither 0 nor 1"):
        feedback_value(value)


@given(st.sampled_from(sorted(COLUMNS)), st.dictionaries(columns, values, max_size=4), st.data())
def test_any_row_becomes_a_record_that_can_be_stored_or_is_refused(
    kind: str, unknown: dict[str, Any], data: st.DataObject
) -> None:
    names = data.draw(st.lists(st.sampled_from(sorted(COLUMNS[kind])), unique=True))
    raw = unknown | {name: data.draw(values) for name in names}
    fallbacks = {"createdAt": NOON} if "createdAt" in COLUMNS[kind] else {}
    # What a source sees to by itself: rows without them are quarantined.
    overrides: dict[str, Any] = dict.fromkeys((*KEYS[kind], "id"), "key")
    overrides |= {"user": {"identifier": "me"}, "feedback": {"value": 1}}.get(kind, {})
    record, unplaced = normalize(kind, raw, overrides=overrides, fallbacks=fallbacks)
    assert record.values.keys() == COLUMNS[kind].keys()
    assert Record.parse(record.line()).digest() == record.digest()
    unknown_names = set(raw) - set(COLUMNS[kind])
    extra = record.values.get("extra") or {}
    for name in unknown_names:
        has_value = raw[name] is not None
        assert not has_value or name in unplaced or name in extra


@given(st.sampled_from(sorted(COLUMNS)))
def test_an_empty_row_gets_defaults(kind: str) -> None:
    record, unplaced = normalize(kind, {}, overrides={}, fallbacks={})
    assert dict(record.values) == {name: default(kind, name) for name in COLUMNS[kind]}
    assert not unplaced
