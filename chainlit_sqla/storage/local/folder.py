"""Blobs as files: their paths, how they are replaced and listed, the folder's own secret.

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
import logging
import os
import re
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, TypeVar

from ...errors import BlobNotFound, BlobRejected, StorageError, StorageUnavailable
from ..base import CHUNK, EXHAUSTED, RAISE_LIMIT, BlobInfo, BlobSource
from ..blocking import Stopped
from ..keys import key_bytes

logger = logging.getLogger("chainlit_sqla")

DRAFT_SUFFIX = ".part"
SECRET_FILE = ".secret"  # noqa: S105 - a file name

_SECRET = re.compile(r"[0-9a-f]{64}")
_SUBFOLDER = re.compile(r"[0-9a-f]{2}")
_DESCRIPTION = re.compile(r"([0-9a-f]{64})\.json")
_BYTES = re.compile(r"([0-9a-f]{64})\.([0-9a-f]{16})")
_DRAFT = re.compile(
    r"(?:[0-9a-f]{64}\.json|\.gitignore|\.secret)\.[0-9a-f]{16}"
    rf"|[0-9a-f]{{64}}\.[0-9a-f]{{16}}{re.escape(DRAFT_SUFFIX)}"
)

_FULL = (errno.ENOSPC, errno.EDQUOT)
_DENIED = (errno.EACCES, errno.EPERM, errno.EROFS)
_NO_FOLDER = (errno.ENOTDIR, errno.EEXIST)
# A network drive that is gone. An I/O error or a permission may concern one file only.
_GONE = (errno.ESTALE, errno.ETIMEDOUT, errno.ENOTCONN, errno.EHOSTDOWN, errno.EHOSTUNREACH)
_UNAVAILABLE = (*_FULL, errno.EROFS, *EXHAUSTED, *_GONE)
_ELSEWHERE = "name another folder in CHAINLIT_SQLA_DATA_DIR or the storage URL"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Entry:
    """The description of a blob, as its JSON file holds it; ``version`` names its bytes."""

    key: str
    mime: str
    name: str
    size: int
    version: str


def blob_digest(key: str) -> str:
    """Hash an object key: the hash names its files, and stands in links instead of the key."""
    return hashlib.sha256(key_bytes(key)).hexdigest()


class Folder:
    """Reads and writes blobs below one folder; blocking, for use in threads.

    All but `secret` raise an OSError where the folder cannot be used, see `folder_errors`.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def write(
        self, key: str, source: BlobSource, mime: str, name: str, stop: threading.Event
    ) -> int:
        """Store a blob so that a crash leaves the old one or the new one; returns its size.

        If ``stop`` is set before the blob is stored, it raises `Stopped` and the old blob stays.
        """
        digest = blob_digest(key)
        self._make()
        subfolder = self._subfolder(digest)
        if not subfolder.exists():
            subfolder.mkdir(mode=0o700, exist_ok=True)
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
        """Look a blob up: its description and the file with its bytes."""
        entry, _ = self._follow(digest, Path.stat)
        return entry, self._path(digest, entry.version)

    def stat(self, digest: str) -> BlobInfo:
        """Describe a blob, by the size that its file really has."""
        entry, file = self._follow(digest, Path.stat)
        if file.st_size != entry.size:
            logger.warning(
                "Wrong size: the file of %r has %d bytes instead of %d; restore it from a backup",
                entry.key,
                file.st_size,
                entry.size,
            )
        modified = datetime.fromtimestamp(file.st_mtime, UTC)
        return BlobInfo(entry.key, file.st_size, modified, entry.mime, entry.name)

    def open(self, digest: str) -> BinaryIO:
        """Open the bytes of a blob; they stay readable when it is replaced or deleted."""
        return self._follow(digest, lambda path: path.open("rb"))[1]

    def remove(self, digest: str) -> None:
        """Delete a blob with all that interrupted writes left of it."""
        subfolder = self._subfolder(digest)
        paths = [path for path in _paths(subfolder) if path.name.startswith(digest)]
        # The description goes first; while it exists, the bytes that it names must stay.
        for path in sorted(paths, key=lambda path: path.suffix != ".json"):
            path.unlink(missing_ok=True)
        if paths:
            _sync(subfolder)

    def subfolders(self) -> list[Path]:
        """Return the subfolders ``00`` to ``ff``; none before the first write."""
        return [path for path in _paths(self.root) if _SUBFOLDER.fullmatch(path.name)]

    def blobs_in(self, subfolder: Path) -> list[BlobInfo]:
        """List the blobs of one subfolder."""
        blobs = []
        for path in _paths(subfolder):
            if match := _DESCRIPTION.fullmatch(path.name):
                try:
                    blobs.append(self.stat(match[1]))
                except BlobNotFound:
                    continue  # Deleted meanwhile, or its bytes are lost: there is no blob.
                except StorageError as error:
                    logger.warning("Not listed: %s", error)
        return blobs

    def clear_leftovers(self, before: datetime, *, remove: bool) -> int:
        """Count the files that interrupted writes left and that were last written earlier.

        These are drafts, and bytes that the description no longer names. Half of a pair is no
        leftover: the other half may be in a backup.
        """
        count = 0
        for parent in [self.root, *self.subfolders()]:
            for path in filter(self._is_leftover, _paths(parent)):
                with contextlib.suppress(FileNotFoundError):  # Its writer has ended meanwhile.
                    if path.stat().st_mtime < before.timestamp():
                        if remove:
                            path.unlink()
                        count += 1
        return count

    def secret(self, *, create: bool) -> bytes | None:
        """Return the folder's secret, which the first process that needs it creates.

        None if it has none yet and ``create`` is False.
        """
        path = self.root / SECRET_FILE
        for pause in (0.01, 0.04, 0.15, 0):  # Another process may be writing it.
            if create and not path.exists():
                self._make()
                with contextlib.suppress(FileExistsError):
                    _write_private(path, secrets.token_hex(32))
                    _sync(self.root)
            try:
                text = path.read_text(encoding="ascii", errors="replace").strip()
            except FileNotFoundError:
                return None
            if _SECRET.fullmatch(text):
                return bytes.fromhex(text)
            time.sleep(pause)
        raise StorageError(f"{path} is damaged; delete it, which ends all links made so far")

    def _make(self) -> None:
        """Create the folder, closed to other users, unless it exists."""
        self.root.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.root.mkdir(mode=0o700, exist_ok=True)
        ignore = self.root / ".gitignore"
        if not ignore.exists():
            _replace(ignore, b"*\n")

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
            entry = Entry(**json.loads(path.read_bytes()))
            int(entry.version, 16)  # It becomes part of a path.
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (TypeError, ValueError) as error:
            raise StorageError(f"{path} is damaged ({error}); restore it or delete it") from None
        return entry

    def _is_leftover(self, path: Path) -> bool:
        if _DRAFT.fullmatch(path.name):
            return True
        if not (match := _BYTES.fullmatch(path.name)):
            return False
        try:
            entry, _ = self.find(match[1])
        except BlobNotFound:
            logger.warning(
                "Not removed: of the pair of files %s/%s.* one is missing; restore it from a "
                "backup, or delete the other",
                path.parent.name,
                match[1],
            )
            return False
        except StorageError:  # A damaged description does not say.
            return False
        return entry.version != match[2]


@contextlib.contextmanager
def folder_errors(action: str, root: Path) -> Iterator[None]:
    """Turn an OSError of the folder into a StorageError that names the repair."""
    kind: type[StorageError]
    try:
        yield
    except OSError as error:
        code = error.errno
        if code in _DENIED:
            repair = f"give this process permission, or {_ELSEWHERE}"
        elif code in _FULL:
            repair = "free some space, or move the folder to a larger disk"
        elif code == errno.EFBIG:
            repair = "store a smaller file, or raise the limit of the file system or process"
        elif code in EXHAUSTED:
            repair = RAISE_LIMIT
        elif code in _NO_FOLDER:
            repair = f"move the file that stands in its place, or {_ELSEWHERE}"
        else:
            repair = "look at that path"
        kind = StorageUnavailable if code in _UNAVAILABLE else StorageError
        if code == errno.EFBIG:
            kind = BlobRejected
        raise kind(f"Cannot {action} in the folder {root} ({error.strerror}); {repair}") from error


def _paths(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except FileNotFoundError:
        return []


def _copy(source: BlobSource, path: Path, stop: threading.Event) -> int:
    with source.reader() as reader, open(path, "xb", opener=open_private) as file:
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
    with open(path, "x", opener=open_private) as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def open_private(path: str, flags: int) -> int:
    """Open a file that only this user may read, as the ``opener`` of ``open``."""
    return os.open(path, flags, 0o600)


def _sync(folder: Path) -> None:
    """Make renames and deletions in a folder durable."""
    if os.name == "nt":  # Windows has no such call.
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
