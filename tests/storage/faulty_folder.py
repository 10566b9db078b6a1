"""A chat whose folder of files fails for a while.

``python -m tests.storage.faulty_folder KIND DIR`` is a process of its own, for a full or read-only
disk in a mount namespace of its own (``unshare --map-root-user --mount``). It prints what became of
the attachments.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import resource
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from chainlit.element import File

from chainlit_sqla import LocalStorage, SQLADataLayer
from chainlit_sqla.settings import Settings
from tests.until import until

NUMBER = 90
SIZE = 20_000


class Full:
    """A disk of 4 MB on which another file takes all room."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.mount("-t", "tmpfs", "-o", "size=4m", "tmpfs")

    def mount(self, *options: str) -> None:
        subprocess.run(["mount", *options, str(self.folder)], check=True)

    def begin(self) -> None:
        with (self.folder / "other").open("wb", buffering=0) as file, suppress(OSError):
            while True:
                file.write(bytes(4096))

    def end(self) -> None:
        (self.folder / "other").unlink()


class ReadOnly(Full):
    """A disk that the kernel remounts read-only after an error."""

    def begin(self) -> None:
        self.mount("-o", "remount,ro")

    def end(self) -> None:
        self.mount("-o", "remount,rw")


class Descriptors:
    """A process that may open no more files."""

    def __init__(self, _folder: Path) -> None:
        self.files: list[int] = []

    def begin(self) -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (128, 128))
        with suppress(OSError):
            while True:
                self.files.append(os.open(os.devnull, os.O_RDONLY))

    def end(self) -> None:
        for descriptor in self.files:
            os.close(descriptor)


FAULTS: dict[str, Any] = {"full": Full, "read-only": ReadOnly, "descriptors": Descriptors}


class Refusals(logging.Handler):
    """Counts the lines that name the fault."""

    count = 0

    def emit(self, record: logging.LogRecord) -> None:
        self.count += "ot stored" in record.getMessage()


async def send(kind: str, work: Path) -> dict[str, Any]:
    """Send attachments while the folder fails, and end the fault once one was refused."""
    store = work / "disk"
    store.mkdir()
    fault = FAULTS[kind](store)
    logging.getLogger().addHandler(refusals := Refusals())
    layer = SQLADataLayer(
        f"sqlite:///{work}/chats.db",
        storage=LocalStorage(store / "files"),
        settings=Settings.load(storage_retry_seconds=60),
    )
    await layer.create_step({"id": "s", "threadId": "t", "type": "tool", "output": "kept"})
    (work / "file").write_bytes(content := os.urandom(SIZE))
    fault.begin()
    tasks = []
    for number in range(NUMBER):
        source = {"content": content} if number % 2 else {"path": str(work / "file")}
        element = File(id=f"e{number}", name="e", thread_id="t", for_id="s", **source)
        tasks.append(asyncio.create_task(layer.create_element(element)))
    await until(lambda: refusals.count > 0)
    fault.end()
    errors = [e for e in await asyncio.gather(*tasks, return_exceptions=True) if e is not None]
    thread: Any = await layer.get_thread("t")
    keys = [element["objectKey"] for element in thread["elements"]]
    complete = 0
    for key in keys:
        complete += b"".join([chunk async for chunk in layer.storage.open(key)]) == content
    await layer.close()
    return {
        "stored": complete,
        "order kept": [element["id"] for element in thread["elements"]]
        == [f"e{number}" for number in range(NUMBER)],
        "errors": sorted({str(error) for error in errors})[:3],
        "lines": refusals.count,
    }


if __name__ == "__main__":
    print(json.dumps(asyncio.run(send(sys.argv[1], Path(sys.argv[2])))))
