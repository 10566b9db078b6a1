"""A file of records: complete, in order, and the same when it is imported again."""

from __future__ import annotations

import asyncio
import gzip
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chainlit_sqla import SQLADataLayer, __version__
from chainlit_sqla._internal.json import clean_text
from chainlit_sqla.database import Database
from chainlit_sqla.errors import ImportSourceError
from chainlit_sqla.transfer.record_file import End, Header, open_lines
from chainlit_sqla.transfer.records import (
    COLUMNS,
    FLAG,
    INSTANT,
    INTEGER,
    JSON,
    KEYS,
    TABLES,
    Record,
)
from tests.contract import build

from .conftest import EVERYWHERE, Exported
from .story import Story


@EVERYWHERE
async def test_all_rows_are_in_it_parents_first(
    exported: Exported, story: Story, layer: SQLADataLayer, database: Database
) -> None:
    await layer.delete_thread(story.silent)
    memory = await exported("jsonl")
    first, *lines, last = memory.text.splitlines()
    header = Header.parse(first)
    assert (header.release, header.filters) == (__version__, {})
    assert header.source == database.label
    kinds = Counter(record.kind for record in map(Record.parse, lines))
    assert kinds == {"user": 2, "thread": 2, "step": 13, "element": 2, "feedback": 2} | {
        "tombstone": kinds["tombstone"]
    }
    assert kinds["tombstone"] >= 1
    end = End.parse(last)
    assert end is not None
    assert end.counts == kinds
    assert memory.result.conversations == 2
    order = [record.kind for record in map(Record.parse, lines)]
    assert order == sorted(order, key=list(TABLES).index)


async def test_a_password_is_not_in_it(exported: Exported, database: Database) -> None:
    memory = await exported("jsonl")
    assert database.given_url.password is None or "***" in memory.text
    assert (database.given_url.password or "no password") not in memory.text


async def test_of_a_selection_the_owners_come_along_and_nothing_else(
    exported: Exported, story: Story, layer: SQLADataLayer
) -> None:
    await layer.delete_thread(story.silent)
    memory = await exported("jsonl", users=["bob"])
    records = [Record.parse(line) for line in memory.text.splitlines()[1:-1]]
    assert {r.values["identifier"] for r in records if r.kind == "user"} == {"bob"}
    assert {r.thread_id for r in records if r.kind != "user"} == {story.rome}
    assert Header.parse(memory.text.splitlines()[0]).filters == {"user": ["bob"]}
    assert memory.lines[-1]["counts"] == {"user": 1, "thread": 1, "step": 5, "feedback": 1}


async def test_more_threads_than_a_batch_are_each_there_once(
    exported: Exported, layer: SQLADataLayer
) -> None:
    me = await build.person(layer)
    ids = [f"t{number:04}" for number in range(1_050)]
    await asyncio.gather(*(layer.update_thread(id, user_id=me.id) for id in ids))
    memory = await exported("jsonl")
    assert [line["id"] for line in memory.lines if line["kind"] == "thread"] == ids


async def test_an_empty_database_makes_an_empty_file(exported: Exported) -> None:
    lines = (await exported("jsonl")).lines
    assert [line["kind"] for line in lines] == ["chainlit-sqla", "end"]
    assert lines[-1]["counts"] == {}


texts = st.text().map(clean_text)
documents = st.recursive(
    st.booleans() | st.integers(-(2**53), 2**53) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)
instants = st.datetimes(datetime(1970, 1, 2), datetime(2200, 1, 1), timezones=st.just(UTC))
VALUES: dict[str, st.SearchStrategy[Any]] = {
    INSTANT: instants,
    JSON: documents,
    FLAG: st.booleans(),
    INTEGER: st.integers(0, 2**53),
}


@st.composite
def records(draw: st.DrawFn) -> Record:
    kind = draw(st.sampled_from(list(COLUMNS)))
    values = {}
    for name, what in COLUMNS[kind].items():
        value = VALUES.get(what, texts)
        if name in KEYS[kind] or name == "identifier":
            value = texts.filter(bool)
        elif (kind, name) == ("feedback", "value"):
            value = st.integers(0, 1)
        nullable = TABLES[kind].columns[name].nullable and name not in KEYS[kind]
        values[name] = draw(st.none() | value if nullable else value)
    return Record(kind, values)


@given(records())
def test_a_record_comes_back_from_its_line(record: Record) -> None:
    line = record.line()
    assert b"\n" not in line
    found = Record.parse(line)
    assert found == record
    assert found.digest() == record.digest()


def test_a_header_is_read_as_it_was_written() -> None:
    header = Header("0.2.0", "2026-01-31T08:00:00Z", "sqlite:///chats.db", {"tag": ["a"]})
    assert Header.parse(header.line()) == header


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("", "first line is not the header of an export"),
        ("[]", "first line is not the header of an export"),
        ('{"kind": "user"}', "first line is not the header of an export"),
        ('{"kind": "chainlit-sqla", "format": 2}', "format 2, this release reads up to 1"),
        ('{"kind": "chainlit-sqla"}', "format None"),
    ],
)
def test_another_first_line_is_refused_with_the_repair(line: str, words: str) -> None:
    with pytest.raises(ImportSourceError, match=words):
        Header.parse(line)


def test_an_end_is_told_from_other_lines() -> None:
    end = End({"user": 1, "thread": 2})
    assert End.parse(end.line()) == end
    assert End.parse('{"kind": "user"}') is None
    assert End.parse('{"kind": "en') is None


def test_files_are_unpacked_by_what_they_are_not_by_their_name(tmp_path: Path) -> None:
    plain, packed = tmp_path / "plain.gz", tmp_path / "packed.jsonl"
    plain.write_bytes(b"one\ntwo\n")
    packed.write_bytes(gzip.compress(b"one\ntwo\n"))
    for path in (plain, packed):
        with open_lines(path) as lines:
            assert list(lines) == [b"one\n", b"two\n"]
