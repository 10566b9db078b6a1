"""The first and the last line of a file of records."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from chainlit_sqla.errors import ImportSourceError
from chainlit_sqla.transfer.record_file import End, Header, open_lines


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
