"""The format of an export file: its first line, its last line, and how it is opened.

A file is lines of JSON (https://jsonlines.org): a `Header`, one `Record` a line, an `End`. A file
without an end was truncated. The exporter writes it and the importer reads it::

    {"kind":"chainlit-sqla","format":1,"release":"0.1.0","exported":"2026-01-31T08:00:00Z",...}
    {"kind":"user","id":"1","identifier":"me",...}
    {"kind":"thread","id":"t","userId":"1",...}
    {"kind":"step","threadId":"t",...}
    {"kind":"quarantined","id":"5c1e…","origin":"steps","reason":"its thread is missing",...}
    {"kind":"end","counts":{"user":1,"thread":1,"step":1,"quarantined":1}}

Users come first, then batches of threads followed by their steps, elements and feedbacks, then,
unless a selection of threads was exported, tombstones and the quarantine. Values without a column
follow their row as quarantined lines; see `chainlit_sqla.transfer.sources.quarantine`.
"""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any, cast

import orjson

from ..errors import ImportSourceError

HEADER_KIND, END_KIND = "chainlit-sqla", "end"
FORMAT = 1
"""The format that this release writes, and the highest that it reads.

It is raised when an older release would misread or lose something. A new kind of line is not such
a change: a reader quarantines lines whose kind it does not know.
"""
GZIP_SUFFIX = ".gz"
"""The suffix of files that are compressed by gzip (RFC 1952)."""

_GZIP_MAGIC = b"\x1f\x8b"


@dataclass(frozen=True, slots=True)
class Header:
    """Where and when a file was exported."""

    release: str
    exported: str
    """The time of the export, as ISO 8601 in UTC."""
    source: str
    """The database, without a password."""
    filters: Mapping[str, Any] = field(default_factory=dict)
    """The selection by option name; empty: everything was exported."""

    def line(self) -> bytes:
        """The first line, without the newline."""
        return orjson.dumps({"kind": HEADER_KIND, "format": FORMAT, **asdict(self)})

    @classmethod
    def parse(cls, line: bytes | str) -> Header:
        """Read a first line; one that is not a header, or of a newer format, is refused."""
        members = _object(line)
        if members is None or members.get("kind") != HEADER_KIND:
            raise ImportSourceError(
                "The first line is not the header of an export; create the file with: "
                "chainlit-sqla export --format jsonl"
            )
        number = members.get("format")
        if not isinstance(number, int) or not 1 <= number <= FORMAT:
            raise ImportSourceError(
                f"The file has format {number!r}, this release reads up to {FORMAT}; "
                "upgrade chainlit-sqla (pip install -U chainlit-sqla)"
            )
        filters = members.get("filters")
        release, exported, source = (
            str(members.get(name) or "") for name in ("release", "exported", "source")
        )
        return cls(release, exported, source, filters if isinstance(filters, dict) else {})


@dataclass(frozen=True, slots=True)
class End:
    """The last line: a file without it, or with other counts of lines, was truncated or changed."""

    counts: Mapping[str, int]

    def line(self) -> bytes:
        """The last line, without the newline."""
        return orjson.dumps({"kind": END_KIND, "counts": dict(self.counts)})

    @classmethod
    def parse(cls, line: bytes | str) -> End | None:
        """Read a last line; None for any other line."""
        members = _object(line)
        if members is None or members.get("kind") != END_KIND:
            return None
        counts = members.get("counts")
        counts = counts if isinstance(counts, dict) else {}
        return cls({kind: n for kind, n in counts.items() if isinstance(n, int)})


def open_lines(path: Path) -> IO[bytes]:
    """Open an export file for reading; gzip is recognised by its content, not by its name."""
    with path.open("rb") as file:
        is_compressed = file.read(len(_GZIP_MAGIC)) == _GZIP_MAGIC
    return cast("IO[bytes]", gzip.open(path, "rb")) if is_compressed else path.open("rb")


def _object(line: bytes | str) -> dict[str, Any] | None:
    try:
        members = orjson.loads(line)
    except ValueError:
        return None
    return members if isinstance(members, dict) else None
