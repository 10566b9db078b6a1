"""Files of records that other programs made, or that were changed on their way."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from chainlit_sqla.errors import ImportSourceError
from chainlit_sqla.models import steps, threads
from chainlit_sqla.transfer.sources.native import OurSource
from tests.importers.conftest import Targets, bring

LINES: list[dict[str, Any]] = [
    {"kind": "user", "id": "u", "identifier": "ada"},
    {"kind": "thread", "id": "t", "userId": "u", "userIdentifier": "ada"},
    {"kind": "step", "id": "s", "threadId": "t", "output": "hi"},
]


def text(*lines: dict[str, Any]) -> bytes:
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n\n",
        b"CREATE TABLE users (id int);\nINSERT\n",
        gzip.compress(b"x", mtime=0),
        b"SQL\x00\xff",
    ],
)
async def test_a_file_without_any_record_is_refused(
    targets: Targets, tmp_path: Path, content: bytes
) -> None:
    target, path = await targets.make("sqlite"), tmp_path / "file"
    path.write_bytes(gzip.compress(content))
    with pytest.raises(ImportSourceError, match="give --from a file made by chainlit-sqla export"):
        await bring("", str(path), target)


def packed(text: bytes) -> bytes:
    return gzip.compress(text, mtime=0)


@pytest.mark.parametrize(
    "content",
    [
        packed(b"x" * 99)[:9],
        packed(b"x" * 99)[:-9],
        packed(b"x" * 99)[:10] + b"\xff" * 20,
        packed(b"x" * 99)[:-6] + b"\0" * 6,
        packed(b"x" * 99) + b"more",
    ],
)
async def test_a_packed_file_that_was_cut_or_damaged_is_refused(
    targets: Targets, tmp_path: Path, content: bytes
) -> None:
    target, path = await targets.make("sqlite"), tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(ImportSourceError, match="copy it or export it again"):
        await bring("", str(path), target)


@pytest.mark.parametrize("dialect", ["sqlite", "postgresql", "mariadb", "mysql"])
async def test_the_first_and_the_last_instant_there_are_can_be_read_again(
    targets: Targets, tmp_path: Path, dialect: str
) -> None:
    user, thread, step = LINES
    first, last = "0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z"
    target, path = await targets.make(dialect), tmp_path / "file"
    path.write_bytes(text(user, thread, {**step, "start": first, "end": last}))
    result = await bring("", str(path), target)
    assert result.comparison is not None
    assert result.comparison.equal
    async with target.snapshot() as connection:
        ours = OurSource(connection, "", "")
        (found,) = [record async for record in ours.records("step")]
    assert f'"start":"{first}","end":"{last}"'.encode() in found.line()


async def test_a_byte_order_mark_hides_no_line(targets: Targets, tmp_path: Path) -> None:
    target, path = await targets.make("sqlite"), tmp_path / "file"
    path.write_bytes(b"\xef\xbb\xbf" + text(*LINES).replace(b"\n", b"\r\n"))
    result = await bring("", str(path), target)
    assert not result.aside
    assert result.read == {"user": 1, "thread": 1, "step": 1}


async def test_a_line_that_cannot_be_stored_keeps_no_other_out(
    targets: Targets, tmp_path: Path
) -> None:
    deep: Any = []
    for _ in range(300):
        deep = [deep]
    odd: list[dict[str, Any]] = [
        {"kind": "step", "id": "deep", "threadId": "t", "metadata": {"a": deep}},
        {"kind": "step", "id": "", "threadId": "t"},
        {"kind": "step", "id": "nowhere", "threadId": ""},
        {"kind": "element", "id": "e", "threadId": "t", "page": True},
        {"kind": "feedback", "id": "f", "threadId": "t", "forId": "s", "value": 77},
    ]
    target, path = await targets.make("sqlite"), tmp_path / "file"
    path.write_bytes(text(*LINES, *odd, {**LINES[2], "id": "s2"}))
    result = await bring("", str(path), target)
    assert sum(result.aside.values()) == len(odd) == result.read["line"]
    assert result.comparison is not None
    assert result.comparison.equal
    async with target.snapshot() as connection:
        assert set(await connection.scalars(select(steps.c.id))) == {"s", "s2"}


async def test_what_has_no_column_is_kept(targets: Targets, tmp_path: Path) -> None:
    user, thread, step = LINES
    target, path = await targets.make("sqlite"), tmp_path / "file"
    lines = user, {**thread, "mood": "good"}, {**step, "tokens": 7, "extra": {"a": 1}}
    path.write_bytes(text(*lines))
    result = await bring("", str(path), target)
    assert list(result.partly) == [("thread", "there is no place for mood")]
    async with target.snapshot() as connection:
        assert await connection.scalar(select(steps.c.extra)) == {"a": 1, "tokens": 7}
        assert await connection.scalar(select(threads.c.id)) == "t"


async def test_lines_are_missed_also_where_another_one_is_bad(
    targets: Targets, tmp_path: Path
) -> None:
    target, path = await targets.make("sqlite"), tmp_path / "file"
    header = {"kind": "chainlit-sqla", "format": 1}
    counts = {"user": 1, "thread": 1, "step": 2}
    end = {"kind": "end", "counts": counts}
    path.write_bytes(
        text(header, *LINES) + b"bad\n" + text({**end, "counts": {**counts, "step": 9}})
    )
    with pytest.raises(ImportSourceError, match="lost lines"):
        await bring("", str(path), target)
    path.write_bytes(text(header, *LINES) + b"bad\n" + text(end))
    assert (await bring("", str(path), target)).read["step"] == 1
