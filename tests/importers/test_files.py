"""Files of records that other programs made, or that were changed on their way."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from chainlit_sqla.errors import ImportSourceError
from chainlit_sqla.models import steps, threads
from chainlit_sqla.transfer.importing.comparison import Comparer
from chainlit_sqla.transfer.importing.ownership import Ownership
from chainlit_sqla.transfer.sources import Chunk, NativeSource
from tests.importers.conftest import (
    ADA,
    WITH_MARIADB,
    Targets,
    assert_equal,
    import_interrupted,
    read,
    run_import,
    step,
    thread,
    write,
)

LINES = [ADA, thread("t", userId="a", userIdentifier="ada"), step("s", "t")]


PACKED = gzip.compress(b"x" * 99, mtime=0)
NO_RECORD, DAMAGED = "give --from a file made by chainlit-sqla", "copy it or export it again"


@pytest.mark.parametrize(
    ("content", "repair"),
    [
        (b"", NO_RECORD),
        (gzip.compress(b"\n\n", mtime=0), NO_RECORD),
        (gzip.compress(b"CREATE TABLE users (id int);\nINSERT\n", mtime=0), NO_RECORD),
        (b"SQL\x00\xff", NO_RECORD),
        (PACKED[:9], DAMAGED),
        (PACKED[:-9], DAMAGED),
        (PACKED[:10] + b"\xff" * 20, DAMAGED),
        (PACKED[:-6] + b"\0" * 6, DAMAGED),
    ],
)
async def test_a_file_without_records_or_with_damage_is_refused_with_the_repair(
    targets: Targets, tmp_path: Path, content: bytes, repair: str
) -> None:
    target, path = await targets.make("sqlite"), tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(ImportSourceError, match=repair):
        await run_import(str(path), target)


@pytest.mark.parametrize("dialect", [*WITH_MARIADB, "mysql"])
async def test_the_first_and_the_last_timestamp_are_read_back(
    targets: Targets, tmp_path: Path, dialect: str
) -> None:
    first, last = "0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z"
    target = await targets.make(dialect)
    lines = [*LINES[:2], step("s", "t", start=first, end=last)]
    assert_equal(await run_import(write(tmp_path / "file", *lines), target))
    async with target.snapshot() as connection:
        [record] = [record async for record in NativeSource(connection).records("step")]
    assert f'"start":"{first}","end":"{last}"'.encode() in record.line()


async def test_a_byte_order_mark_and_windows_newlines_hide_no_line(
    targets: Targets, tmp_path: Path
) -> None:
    target, path = await targets.make("sqlite"), tmp_path / "file"
    write(path, *LINES)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    result = await run_import(str(path), target)
    assert not result.quarantined
    assert result.read == {"user": 1, "thread": 1, "step": 1}


async def test_a_line_that_cannot_be_stored_is_quarantined_alone(
    targets: Targets, tmp_path: Path
) -> None:
    deep: Any = []
    for _ in range(300):
        deep = [deep]
    invalid: list[dict[str, Any]] = [
        {"kind": "step", "id": "deep", "threadId": "t", "metadata": {"a": deep}},
        {"kind": "step", "id": "", "threadId": "t"},
        {"kind": "step", "id": "nowhere", "threadId": ""},
        {"kind": "element", "id": "e", "threadId": "t", "page": True},
        {"kind": "feedback", "id": "f", "threadId": "t", "forId": "s", "value": 77},
    ]
    target = await targets.make("sqlite")
    result = await run_import(write(tmp_path / "file", *LINES, *invalid, step("s2", "t")), target)
    assert result.quarantined.total() == len(invalid) == result.read["line"]
    assert_equal(result)
    assert set(await read(target, select(steps.c.id))) == {("s",), ("s2",)}


async def test_what_has_no_column_is_kept(targets: Targets, tmp_path: Path) -> None:
    target = await targets.make("sqlite")
    lines = ADA, {**LINES[1], "mood": "good"}, {**LINES[2], "tokens": 7, "extra": {"a": 1}}
    result = await run_import(write(tmp_path / "file", *lines), target)
    assert list(result.partly_quarantined) == [("thread", "there is no column for mood")]
    assert await read(target, select(steps.c.extra)) == [({"a": 1, "tokens": 7},)]
    assert await read(target, select(threads.c.id)) == [("t",)]


@pytest.mark.parametrize("dialect", WITH_MARIADB)
async def test_wherever_it_is_interrupted_all_lines_come(
    targets: Targets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dialect: str
) -> None:
    monkeypatch.setattr("chainlit_sqla.transfer.sources.jsonl.BATCH", 2)
    lines = [ADA]
    for number in range(8):
        lines += [thread(f"t{number}", userId="a"), step(f"s{number}", f"t{number}")]
    path = write(tmp_path / "lines", *lines)
    for after in (2, 4) if dialect != "sqlite" else range(2, 6):
        target = await targets.make(dialect)
        result = await import_interrupted(path, target, after)
        assert_equal(result)
        assert len(await read(target, select(steps.c.id))) == 8
        assert result.comparison.threads == 8


async def test_a_batch_of_many_threads_is_compared(targets: Targets, tmp_path: Path) -> None:
    target = await targets.make("postgresql")
    await run_import(write(tmp_path / "lines", *LINES), target)
    ids = [*map(str, range(40_000)), "t"]  # More than a statement takes parameters.
    async with target.snapshot() as connection:
        comparer = Comparer(target, connection, Ownership())
        await comparer.add(Chunk(threads=ids))
    assert comparer.result.threads == len(ids)
    assert comparer.result.more == {"step": 1}


@pytest.mark.parametrize(
    "lines",
    [
        [step("s", "t"), thread("t")],
        [thread("t"), step("s", "t"), thread("u"), step("late", "t")],
        [thread("t", createdAt=[]), step("s", "t")],
    ],
    ids=["before its thread", "after other threads", "of a thread that cannot be read"],
)
async def test_lines_that_are_not_with_their_thread_are_refused(
    targets: Targets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lines: list[dict[str, Any]]
) -> None:
    monkeypatch.setattr("chainlit_sqla.transfer.sources.jsonl.BATCH", 1)
    with pytest.raises(ImportSourceError, match=r"line \d: the step belongs to the thread 't'"):
        await run_import(write(tmp_path / "lines", *lines), await targets.make("sqlite"))
