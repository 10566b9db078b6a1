"""Where the tests let exports go."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import orjson

from chainlit_sqla.transfer.exporting.formatting import Write
from chainlit_sqla.transfer.exporting.run import ExportResult


class Memory:
    """Files by name; of one file, the name is empty."""

    done: ExportResult

    def __init__(self, *, is_folder: bool = False) -> None:
        self.is_folder = is_folder
        self.files: dict[str, bytes] = {}

    @contextmanager
    def file(self, name: str | None = None) -> Iterator[Write]:
        parts: list[bytes] = []
        yield parts.append
        assert (name or "") not in self.files, "two conversations in one file"
        self.files[name or ""] = b"".join(parts)

    @property
    def text(self) -> str:
        return self.files[""].decode()

    @property
    def lines(self) -> list[dict[str, Any]]:
        if not self.files:
            return []
        assert self.text == "" or self.text.endswith("\n")
        return [orjson.loads(line) for line in self.text.splitlines()]
