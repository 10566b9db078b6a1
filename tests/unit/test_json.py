"""JSON and text that every database takes."""

from __future__ import annotations

import dataclasses
import json
import math
import uuid
from collections import deque
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from chainlit_sqla._internal import json as _json
from chainlit_sqla.transfer.records import Record

any_text = st.text(st.characters(exclude_categories=()))
keys = any_text | st.integers(-9, 9)
scalars = st.none() | st.booleans() | st.integers() | st.floats() | any_text | st.binary(max_size=9)
values = st.recursive(
    scalars, lambda inner: st.lists(inner) | st.dictionaries(keys, inner) | st.tuples(inner)
)


class Colour(Enum):
    RED = "r\x00d"


class Model(BaseModel):
    a: int = 1
    b: str = "\x00"


@dataclasses.dataclass
class Point:
    x: int
    label: str


class Odd:
    def __str__(self) -> str:
        return "an odd \x00 thing"


@given(values)
def test_whatever_goes_in_storable_json_comes_out(value: Any) -> None:
    raw = _json.dumps(value)
    assert "\\u0000" not in raw
    raw.encode()  # No lone surrogate.
    stored = _json.loads(raw)
    assert _json.loads(_json.dumps(stored)) == stored, "stored once, it does not change again"


plain_text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"))
plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | plain_text,
    lambda inner: st.lists(inner) | st.dictionaries(plain_text, inner),
)


@given(plain)
def test_plain_json_comes_back_as_it_was(value: Any) -> None:
    assert _json.loads(_json.dumps(value)) == value
    assert json.loads(_json.dumps(value)) == value


@given(any_text)
def test_text_is_changed_only_where_it_must_be(text: str) -> None:
    cleaned = _json.clean_text(text)
    cleaned.encode()
    assert "\x00" not in cleaned
    if "\x00" not in text and not any("\ud800" <= c <= "\udfff" for c in text):
        assert cleaned == text


@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        ("a\x00b", "a␀b"),
        ("\ud83d", "�"),
        ("\ud83d\ude00", "😀"),
        (math.nan, None),
        (-math.inf, None),
        (2**64, "18446744073709551616"),
        ({1: {"a\x00": 2**70}}, {"1": {"a␀": "1180591620717411303424"}}),
        (datetime(2026, 1, 31, 8, tzinfo=UTC), "2026-01-31T08:00:00+00:00"),
        (uuid.UUID(int=7), "00000000-0000-0000-0000-000000000007"),
        (Path("a/b"), "a/b"),
        ({3}, [3]),
        (deque([1, 2]), [1, 2]),
        ((1, (2,)), [1, [2]]),
        (b"hi", "data:;base64,aGk="),
        (Colour.RED, "r␀d"),
        ({"m": Model()}, {"m": {"a": 1, "b": "␀"}}),
        (Point(1, "a\x00"), {"x": 1, "label": "a␀"}),
        (Decimal("1.10"), "1.10"),
        (Odd(), "an odd ␀ thing"),
        ([Odd()], ["an odd ␀ thing"]),
    ],
)
def test_what_is_no_json_is_stored_as_stated(sent: Any, stored: Any) -> None:
    assert _json.loads(_json.dumps(sent)) == stored


def test_the_deepest_document_that_is_stored_can_be_exported_and_compared() -> None:
    document: dict[str, Any] = {}
    for _ in range(300):
        try:
            _json.dumps({"a": document})
        except ValueError:
            break
        document = {"a": document}
    given = {"kind": "user", "id": "u", "identifier": "u"}
    row = Record.parse(json.dumps(given))
    row = Record("user", {**row.values, "metadata": document})
    assert Record.parse(row.line()).digest() == row.digest()


@pytest.mark.parametrize("value", [None, 7, b"x", ["x"]])
def test_what_is_not_a_text_is_named(value: Any) -> None:
    with pytest.raises(TypeError, match="is not a text; pass a string"):
        _json.clean_text(value)
