"""The frame of a file of records: its first line, its last line, and how it is opened.

A file is lines of JSON (https://jsonlines.org): a `Header`, a `Record` a line, an `End`. A file
without its end was cut. The exporter writes it and the importer reads it, so what both must agree
on stands here::

    {"kind":"chainlit-sqla","format":1,"release":"0.1.0","exported":"2026-01-31T08:00:00Z",...}
    {"kind":"user","id":"1","identifier":"me",...}
    {"kind":"thread","id":"t","userId":"1",...}
    {"kind":"step","threadId":"t",...}
    {"kind":"quarantined","id":"5c1e…","origin":"steps","reason":"its thread is not there",...}
    {"kind":"end","counts":{"user":1,"thread":1,"step":1,"quarantined":1}}

Users come first, then batches of threads with what lies in them (threads, steps, elements,
feedbacks), then what was deleted, unless a selection of threads was exported, and what was put
aside. ``chainlit_sqla.transfer.sources.misfit_lines`` says what stands in a line of the last sort.
"""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, cast

import orjson

from ..errors import ImportSourceError

HEADER_KIND = "chainlit-sqla"
"""The kind of a first line."""
END_KIND = "end"
"""The kind of a last line."""
FORMAT = 1
"""Of the lines; a higher one is not read by this release.

It is raised when an older release would read something wrongly or lose it. A new kind of line is no
such thing: a reader keeps a line whose kind it does not know in the quarantine, as it is.
"""
GZIP_SUFFIX = ".gz"
"""A file with such a name is compressed by gzip (RFC 1952)."""

_GZIP_MAGIC = b"\x1f\x8b"


@dataclass(frozen=True, slots=True)
class Header:
    """What a file says of itself.

    Args:
        release: The release of chainlit-sqla that wrote it.
        exported: When, as ISO 8601 in UTC.
        source: The database, without a password.
        filters: What was selected, by the name of the option; empty: everything.
    """

    release: str
    exported: str
    source: str
    filters: Mapping[str, Any] = field(default_factory=dict)

    def line(self) -> bytes:
        """The first line, without the line's end."""
        return orjson.dumps(
            {
                "kind": HEADER_KIND,
                "format": FORMAT,
                "release": self.release,
                "exported": self.exported,
                "source": self.source,
                "filters": dict(self.filters),
            }
        )

    @classmethod
    def parse(cls, line: bytes | str) -> Header:
        """Read a first line.

        Raises:
            ImportSourceError: It is none, or of a format that this release does not know.

        Example:
            >>> Header.parse('{"kind": "chainlit-sqla", "format": 1}').filters
            {}
        """
        given = _object(line)
        if given is None or given.get("kind") != HEADER_KIND:
            raise ImportSourceError(
                "Its first line is not that of an export by chainlit-sqla; make the file with: "
                "chainlit-sqla export --format jsonl"
            )
        number = given.get("format")
        if not isinstance(number, int) or not 1 <= number <= FORMAT:
            raise ImportSourceError(
                f"It has the format {number!r}, this release reads up to {FORMAT}; "
                "upgrade chainlit-sqla (pip install -U chainlit-sqla)"
            )
        filters = given.get("filters")
        release, exported, source = (
            str(given.get(name) or "") for name in ("release", "exported", "source")
        )
        return cls(release, exported, source, filters if isinstance(filters, dict) else {})


@dataclass(frozen=True, slots=True)
class End:
    """What was written: a file without it, or with other counts, was cut or changed.

    Args:
        counts: Lines by kind of record.
    """

    counts: Mapping[str, int]

    def line(self) -> bytes:
        """The last line, without the line's end."""
        return orjson.dumps({"kind": END_KIND, "counts": dict(self.counts)})

    @classmethod
    def parse(cls, line: bytes | str) -> End | None:
        """Read a last line; None: it is another line.

        Example:
            >>> End.parse('{"kind": "end", "counts": {"user": 1}}')
            End(counts={'user': 1})
        """
        given = _object(line)
        if given is None or given.get("kind") != END_KIND:
            return None
        counts = given.get("counts")
        return cls(
            {kind: number for kind, number in counts.items() if isinstance(number, int)}
            if isinstance(counts, dict)
            else {}
        )


def open_lines(path: Path) -> IO[bytes]:
    """Open a file of lines for reading, unpacked whatever its name is.

    Raises:
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        packed = file.read(len(_GZIP_MAGIC)) == _GZIP_MAGIC
    return cast("IO[bytes]", gzip.open(path, "rb")) if packed else path.open("rb")


def _object(line: bytes | str) -> dict[str, Any] | None:
    try:
        given = orjson.loads(line)
    except ValueError:
        return None
    return given if isinstance(given, dict) else None
