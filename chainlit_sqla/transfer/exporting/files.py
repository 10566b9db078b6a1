"""Copies the files of exported elements into a folder; its manifest leaves none of them out."""

from __future__ import annotations

import asyncio
import os
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from ..._internal.aio import Watch, quiet
from ..._internal.retry import retry
from ...errors import BlobNotFound, StorageError, StorageUnavailable
from ...storage.base import StorageClient
from ...storage.local.folder import open_private

MANIFEST = "manifest.jsonl"
COLUMNS = ("threadId", "id", "name", "mime", "objectKey", "byteSize")
_ATTEMPTS = 5


class FileExport:
    """Files to copy: they are noted while the snapshot is read, and copied after it.

    ``copied`` and ``missing`` count them; ``problem`` is the first reason why one is missing.
    """

    def __init__(self, folder: Path) -> None:
        self.copied = self.missing = 0
        self.problem = ""
        self._folder = folder
        self._elements = tempfile.TemporaryFile()  # noqa: SIM115 - closed with its last reference

    def add(self, element: Mapping[str, Any]) -> None:
        """Note an element that has a file."""
        self._elements.write(orjson.dumps(element) + b"\n")

    async def copy(self, storage: StorageClient, watch: Watch = quiet) -> None:
        """Copy the files, and write a line about each element; a store that is down ends it."""
        self._elements.seek(0)
        (self._folder / "files").mkdir(mode=0o700)
        with _create(self._folder / MANIFEST) as manifest:
            for number, line in enumerate(self._elements, 1):
                element = orjson.loads(line)
                file = f"files/{number:06}-{safe_name(element['name'])}"
                entry = {"file": file, "threadId": element["threadId"], "elementId": element["id"]}
                entry |= {"name": element["name"], "mime": element["mime"]}
                entry |= await self._copy(storage, element, self._folder / file)
                manifest.write(orjson.dumps(entry) + b"\n")
                watch("files", number, None)

    async def _copy(
        self, storage: StorageClient, element: Mapping[str, Any], path: Path
    ) -> dict[str, Any]:
        """Copy a file; return what the manifest says about the result."""
        key, expected = element["objectKey"], element["byteSize"]

        async def attempt() -> int:
            with _create(path) as file:
                async for chunk in storage.open(key):
                    await asyncio.to_thread(file.write, chunk)
                return file.tell()

        try:
            size = await retry(
                attempt, lambda error: isinstance(error, StorageUnavailable), attempts=_ATTEMPTS
            )
        except StorageUnavailable:
            raise
        except StorageError as error:
            os.unlink(path)  # noqa: PTH108
            is_absent = isinstance(error, BlobNotFound)
            reason = "not in the store" if is_absent else "not readable in the store"
            return {"file": None} | self._report(reason, str(error))
        self.copied += 1
        if expected in (None, size):
            return {"bytes": size}
        reason = f"the store has {size:,} of {expected:,} bytes"
        return {"bytes": size} | self._report(reason, f"{key!r}: {reason}")

    def _report(self, reason: str, detail: str) -> dict[str, str]:
        self.missing += 1
        self.problem = self.problem or detail
        return {"problem": reason}


def _create(path: Path) -> BinaryIO:
    return open(path, "wb", opener=open_private)


def safe_name(name: str) -> str:
    """The end of a file's name with letters, digits, dots and dashes, for any file system."""
    return re.sub(r"[^\w.-]+", "_", name)[-50:]
