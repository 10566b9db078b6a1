"""Blobs as files: their paths, how they are replaced, the folder's own secret.

Under the root, ``ab/<hash>.<version>`` holds the bytes (``.part`` until they are all there)
and ``ab/<hash>.json`` says which version counts and what it is. The name is a SHA-256 of
the object key, so no key can point outside, and none is too long or differs only in case.
Replacing the small file is the one step that makes a blob visible, so bytes, type and name
always belong together.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import secrets
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO, TypeVar

from ...errors import BlobNotFound, StorageError
from ..base import CHUNK, BlobSource
from ..keys import key_bytes
from ..worker_threads import Stopped

DRAFT_SUFFIX = ".part"
SECRET_FILE = ".secret"  # noqa: S105 - a file name
_SECRET = re.compile(r"[0-9a-f]{64}")
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_DENIED = (errno.EACCES, errno.EPERM, errno.EROFS)
_NO_FOLDER = (errno.ENOTDIR, errno.EEXIST)

_ELSEWHERE = "name another folder in CHAINLIT_SQLA_DATA_DIR or the storage URL"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Entry:
    """The description of a blob, as its JSON file holds it.

    Args:
        key: The object key.
        mime: The content type.
        name: The file name to offer.
        size: Bytes.
        version: Names the file with the bytes.
    """

    key: str
    mime: str
    name: str
    size: int
    version: str


def blob_digest(key: str) -> str:
    """Hash an object key: the hash names its files, and stands in links instead of the key.

    Returns:
        64 hexadecimal digits.

    Raises:
        StorageError: No store accepts the key.
    """
    return hashlib.sha256(key_bytes(key)).hexdigest()


class Folder:
    """Reads and writes blobs below one folder; blocking, for use in threads."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def write(
        self,
        digest: str,
        key: str,
        source: BlobSource,
        mime: str,
        name: str,
        stop: threading.Event,
    ) -> int:
        """Store a blob so that a crash leaves the old one or the new one.

        Args:
            digest: The hash of the key, in hex.
            key: The object key.
            source: The bytes.
            mime: The content type.
            name: The file name to offer.
            stop: When it is set, nothing more is written, and the old blob stays.

        Returns:
            The number of bytes stored.

        Raises:
            Stopped: `stop` was set before the blob was stored.
            OSError: The source or the folder cannot be used.
        """
        self.make()
        subfolder = self._subfolder(digest)
        if not subfolder.exists():
            subfolder.mkdir(exist_ok=True)
            _sync(self.root)
        before = self._entry(digest)
        version = secrets.token_hex(8)
        path = self._path(digest, version)
        draft = path.with_name(path.name + DRAFT_SUFFIX)
        try:
            size = _copy(source, draft, stop)
            draft.replace(path)
            _sync(subfolder)  # A description must not survive a power cut that its bytes don't.
            entry = Entry(key, mime, name, size, version)
            _replace(subfolder / f"{digest}.json", json.dumps(asdict(entry)).encode())
        except BaseException:
            draft.unlink(missing_ok=True)
            path.unlink(missing_ok=True)
            raise
        if before is not None:
            self._path(digest, before.version).unlink(missing_ok=True)
        _sync(subfolder)
        return size

    def find(self, digest: str) -> tuple[Entry, Path]:
        """Look a blob up.

        Raises:
            BlobNotFound: There is none.
            OSError: The folder cannot be read.
        """
        entry, _ = self._follow(digest, Path.stat)
        return entry, self._path(digest, entry.version)

    def open(self, digest: str) -> BinaryIO:
        """Open the bytes of a blob; they stay readable when it is replaced or deleted."""
        return self._follow(digest, lambda path: path.open("rb"))[1]

    def remove(self, digests: Iterable[str]) -> dict[str, OSError]:
        """Delete blobs with all that interrupted writes left of them.

        Returns:
            The blobs that could not be deleted, each with the reason.
        """
        subfolders = defaultdict(set)
        for digest in digests:
            subfolders[self._subfolder(digest)].add(digest)
        failed: dict[str, OSError] = {}
        for subfolder, group in subfolders.items():
            try:
                failed |= _clear(subfolder, group)
            except FileNotFoundError:
                continue
            except OSError as error:
                failed |= dict.fromkeys(group, error)
        return failed

    def make(self) -> None:
        """Create the folder, closed to other users, unless it exists."""
        self.root.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.root.mkdir(mode=0o700, exist_ok=True)
        ignore = self.root / ".gitignore"
        if not ignore.exists():
            _replace(ignore, b"*\n")

    def secret(self) -> bytes | None:
        """Return the folder's secret; None: it has none yet.

        Raises:
            StorageError: The file is damaged.
            OSError: The file cannot be read.
        """
        path = self.root / SECRET_FILE
        for pause in (0.01, 0.04, 0.15, 0):  # Another process may be writing it.
            try:
                text = path.read_text(encoding="ascii", errors="replace").strip()
            except FileNotFoundError:
                return None
            if _SECRET.fullmatch(text):
                return bytes.fromhex(text)
            time.sleep(pause)
        raise StorageError(f"{path} is damaged; delete it, which ends all links made so far")

    def make_secret(self) -> bytes:
        """Return the folder's secret; the first process that calls this creates it.

        Raises:
            StorageError: The file is damaged.
            OSError: The file cannot be written or read.
        """
        self.make()
        while (secret := self.secret()) is None:
            with contextlib.suppress(FileExistsError):
                _write_private(self.root / SECRET_FILE, secrets.token_hex(32))
                _sync(self.root)
        return secret

    def _subfolder(self, digest: str) -> Path:
        return self.root / digest[:2]

    def _path(self, digest: str, version: str) -> Path:
        return self._subfolder(digest) / f"{digest}.{version}"

    def _follow(self, digest: str, use: Callable[[Path], T]) -> tuple[Entry, T]:
        """Call a function with the path of the current bytes."""
        before = None
        while (entry := self._entry(digest)) is not None and entry != before:
            try:
                return entry, use(self._path(digest, entry.version))
            except FileNotFoundError:
                before = entry  # If it was replaced meanwhile, look again.
        raise BlobNotFound(
            f"There is no such blob in the folder {self.root}; it was deleted or never stored"
        )

    def _entry(self, digest: str) -> Entry | None:
        path = self._subfolder(digest) / f"{digest}.json"
        try:
            fields = json.loads(path.read_bytes())
            entry = Entry(**fields)
            int(entry.version, 16)  # It becomes part of a path.
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (TypeError, ValueError) as error:
            raise StorageError(f"{path} is damaged ({error}); restore it or delete it") from None
        return entry


@contextlib.contextmanager
def folder_errors(action: str, root: Path) -> Iterator[None]:
    """Turn an OSError of the folder into a StorageError that names the repair.

    Args:
        action: What fails, such as ``"write 'a.png'"``.
        root: The folder.
    """
    try:
        yield
    except OSError as error:
        code = error.errno
        if code in _DENIED:
            repair = f"give this process permission, or {_ELSEWHERE}"
        elif code in _FULL:
            repair = "free some space, or move the folder to a larger disk"
        elif code in _NO_FOLDER:
            repair = f"move the file that stands in its place, or {_ELSEWHERE}"
        else:
            repair = "look at that path"
        raise StorageError(
            f"Cannot {action} in the folder {root} ({error.strerror}); {repair}"
        ) from error


def _clear(subfolder: Path, digests: Collection[str]) -> dict[str, OSError]:
    """Delete the files of blobs; return those that failed."""
    names = [path.name for path in subfolder.iterdir() if path.name[:64] in digests]
    failed: dict[str, OSError] = {}
    # The description goes first; while it exists, the bytes that it names must stay.
    for name in sorted(names, key=lambda name: not name.endswith(".json")):
        if name[:64] not in failed:
            try:
                (subfolder / name).unlink(missing_ok=True)
            except OSError as error:
                failed[name[:64]] = error
    if names:
        _sync(subfolder)
    return failed


def _copy(source: BlobSource, path: Path, stop: threading.Event) -> int:
    with source.reader() as reader, path.open("xb") as file:
        while chunk := reader.read(CHUNK):
            if stop.is_set():
                raise Stopped
            file.write(chunk)
        file.flush()
        os.fsync(file.fileno())
        if stop.is_set():  # During the sync.
            raise Stopped
        return file.tell()


def _replace(path: Path, content: bytes) -> None:
    draft = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    try:
        _copy(BlobSource(data=content), draft, threading.Event())
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def _write_private(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    """Make renames and deletions in a folder durable."""
    if os.name == "nt":  # Windows has no such call.
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
