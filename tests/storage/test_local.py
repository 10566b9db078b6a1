"""What is particular to the folder: safety of names, crashes, permissions, its secret."""

from __future__ import annotations

import asyncio
import io
import os
import resource
import stat
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest

from chainlit_sqla.errors import BlobNotFound, BlobRejected, StorageError
from chainlit_sqla.storage.base import BlobSource
from chainlit_sqla.storage.local import folder as folder_module
from chainlit_sqla.storage.local.client import LinkError, LocalStorage
from chainlit_sqla.storage.local.folder import SECRET_FILE
from tests.until import PATIENCE

from .test_contract import blob

MIB = 1024 * 1024

NASTY = (
    "..",
    "../../outside",
    "/etc/passwd",
    "C:\\Windows\\win.ini",
    "..\\..\\outside",
    "nul\x00byte",
    "~root",
    "con",
    ".secret",
    ".gitignore",
    "a\nb",
)


def files(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if path.is_file()]


async def put(storage: LocalStorage, key: str, data: bytes = b"x") -> None:
    await storage.put(key, BlobSource(data=data), mime="text/plain", name="name.txt")


async def test_no_key_leaves_the_folder(tmp_path: Path) -> None:
    root = tmp_path / "deep" / "files"
    storage = LocalStorage(root)
    for number, key in enumerate(NASTY):
        await put(storage, key, str(number).encode())
    assert files(tmp_path) == files(root)
    for number, key in enumerate(NASTY):
        assert await blob(storage, key) == str(number).encode()
    assert (root / ".gitignore").read_text() == "*\n"
    await storage.delete(NASTY)
    assert [path.name for path in files(root)] == [".gitignore"]


async def test_blobs_type_and_name_survive_a_restart(tmp_path: Path) -> None:
    await put(LocalStorage(tmp_path), "k", b"kept")
    again = LocalStorage(tmp_path)
    assert await blob(again, "k") == b"kept"
    link = (await LocalStorage(tmp_path).read_urls(["k"]))["k"]
    entry, path = await again.resolve(link.rpartition("/")[2])
    assert (entry.key, entry.mime, entry.name, entry.size) == ("k", "text/plain", "name.txt", 4)
    assert path.read_bytes() == b"kept"


async def test_nothing_is_made_before_the_first_write(tmp_path: Path) -> None:
    root = tmp_path / "files"
    storage = LocalStorage(root)
    with pytest.raises(BlobNotFound, match="There is no blob 'k' in the folder"):
        await blob(storage, "k")
    await storage.delete(["k"])
    await storage.close()
    assert not root.exists()


class Held(io.BytesIO):
    """Bytes that come when the test lets them."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.begun, self.go_on = threading.Event(), threading.Event()

    def read(self, size: int | None = -1) -> bytes:
        self.begun.set()
        assert self.go_on.wait(PATIENCE)
        return super().read(size)


async def cancel_and_delete(
    storage: LocalStorage, source: BlobSource, begun: threading.Event, go_on: threading.Event
) -> None:
    """Cancel a put that is held, let it go on, and delete the blob at once."""
    task = asyncio.create_task(storage.put("k", source, mime="text/plain", name="salary.pdf"))
    assert await asyncio.to_thread(begun.wait, PATIENCE)
    task.cancel()
    assert await asyncio.wait([task], timeout=0.1) == (set(), {task})  # The thread still writes.
    task.cancel()  # Who cancels twice waits, too.
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    await storage.delete(["k"])


async def test_a_cancelled_write_stores_nothing_after_its_blob_was_deleted(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path)
    held = Held(b"x" * 3_000_000)
    await cancel_and_delete(storage, BlobSource(file=held), held.begun, held.go_on)
    assert held.tell() < 3_000_000
    assert [path.name for path in files(tmp_path)] == [".gitignore"]


async def test_a_write_cancelled_while_the_disk_is_slow_stores_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = LocalStorage(tmp_path)
    await put(storage, "other")
    before = sorted(files(tmp_path))
    begun, go_on, fsync = threading.Event(), threading.Event(), os.fsync

    def slow(descriptor: int) -> None:
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            begun.set()
            assert go_on.wait(PATIENCE)
        fsync(descriptor)

    monkeypatch.setattr(folder_module.os, "fsync", slow)
    await cancel_and_delete(storage, BlobSource(data=b"x"), begun, go_on)
    assert sorted(files(tmp_path)) == before


async def test_a_write_cancelled_before_it_has_a_thread_ends_immediately(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path)
    held = [Held(b"x") for _ in range(40)]  # More than the loop has threads.
    tasks = [
        asyncio.create_task(storage.put(f"k{n}", BlobSource(file=file), mime="text/plain"))
        for n, file in enumerate(held)
    ]
    assert await asyncio.to_thread(held[0].begun.wait, PATIENCE)
    tasks[-1].cancel()
    with pytest.raises(asyncio.CancelledError):
        await tasks[-1]
    for file in held:
        file.go_on.set()
    await asyncio.gather(*tasks[:-1])
    assert [path for path in held if not path.begun.is_set()] == held[-1:]


async def test_deleting_takes_what_a_killed_process_left(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path)
    await put(storage, "k", b"x")
    (data,) = [path for path in files(tmp_path) if path.read_bytes() == b"x"]
    data.with_name(f"{data.name.partition('.')[0]}.0123456789abcdef").write_bytes(b"half")
    await put(storage, "other")
    await storage.delete(["k"])
    assert len([path for path in files(tmp_path) if path.parent != tmp_path]) == 2


async def test_one_blob_that_cannot_be_deleted_keeps_no_other(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path)
    keys = [f"k{number}" for number in range(3)]
    for key in keys:
        await put(storage, key)
    (description,) = [path for path in tmp_path.rglob("*.json") if '"k0"' in path.read_text()]
    (data,) = description.parent.glob(f"{description.stem}.[0-9a-f]*")
    description.unlink()
    description.mkdir()  # A file of that name cannot be unlinked.
    with pytest.raises(StorageError, match=r"Cannot delete 'k0' in the folder .*; "):
        await storage.delete(keys)
    left = [path for path in tmp_path.glob("??/*") if path.is_file()]
    assert left == [data]  # While something points at them, the bytes stay, too.


async def test_a_folder_without_permission() -> None:
    with tempfile.TemporaryDirectory() as name:  # Reachable by others, unlike pytest's own.
        folder = Path(name)
        folder.chmod(0o555)
        if os.geteuid() == 0:
            os.seteuid(65534)
        try:
            for storage in (LocalStorage(folder), LocalStorage(folder / "new")):
                for attempt in (put(storage, "k"), storage.read_urls(["k"]), storage.check()):
                    with pytest.raises(StorageError) as caught:
                        await attempt
                    assert str(storage.root) in str(caught.value)
                    assert "Permission denied" in str(caught.value)
                    assert str(caught.value).endswith("CHAINLIT_SQLA_DATA_DIR or the storage URL")
        finally:
            os.seteuid(os.getuid())


async def test_a_file_stands_where_the_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for root in (tmp_path / "file", tmp_path / "file" / "deeper"):
        with pytest.raises(StorageError, match="move the file that stands in its place"):
            await put(LocalStorage(root), "k")


async def test_the_secret_is_private_and_named_when_it_is_damaged(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path / "files")
    await storage.read_urls(["k"])
    secret = tmp_path / "files" / SECRET_FILE
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    assert stat.S_IMODE(secret.parent.stat().st_mode) == 0o700
    assert len(bytes.fromhex(secret.read_text())) == 32
    link = (await storage.read_urls(["k"]))["k"].rpartition("/")[2]
    with pytest.raises(LinkError):  # A link ends when the secret changes.
        await LocalStorage(tmp_path / "files", secret="new").resolve(link)
    secret.write_text("")
    with pytest.raises(StorageError, match=r"\.secret is damaged; delete it"):
        await LocalStorage(tmp_path / "files").read_urls(["k"])


SIGN = """
import asyncio, sys
from pathlib import Path
from chainlit_sqla.storage.local.client import LocalStorage
storage = LocalStorage(Path(sys.argv[1]), clock=lambda: 0)
sys.stdin.readline()
print(asyncio.run(storage.read_urls(["k"]))["k"])
"""


def test_processes_that_start_together_share_one_secret(tmp_path: Path) -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", SIGN, str(tmp_path / "files")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    signed = {process.communicate()[0] for process in processes}
    assert len(signed) == 1
    assert "/chainlit-sqla/files/" in signed.pop()
    left = {path.name for path in (tmp_path / "files").iterdir()}
    assert left == {SECRET_FILE, ".gitignore"}


async def test_a_file_too_large_for_the_disk_keeps_the_old_blob_and_no_rest(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path)
    await storage.put("k", BlobSource(data=b"old"), mime="text/plain")
    before = sorted(tmp_path.rglob("*"))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (MIB, limits[1]))
    try:
        with pytest.raises(BlobRejected, match=r"Cannot write 'k' in .*; store a smaller file"):
            await storage.put("k", BlobSource(data=b"x" * 2 * MIB), mime="text/plain")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert await blob(storage, "k") == b"old"
    assert sorted(tmp_path.rglob("*")) == before
    assert await storage.put("k", BlobSource(data=b"x" * 2 * MIB), mime="text/plain") == 2 * MIB


async def test_readers_see_one_version_while_it_is_replaced(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path)
    await put(storage, "k", b"0" * 100_000)

    async def replace() -> None:
        for number in range(20):
            await put(storage, "k", str(number % 10).encode() * 100_000)

    writing = asyncio.create_task(replace())
    while not writing.done():
        assert len(set(await blob(storage, "k"))) == 1
    await writing
