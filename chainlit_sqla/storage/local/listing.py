"""What the folder of `LocalStorage` holds: its blobs, and what interrupted writes left.

Blocking, for use in threads. The subfolders are named ``00`` to ``ff``.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from ...errors import BlobNotFound, StorageError
from ..base import BlobInfo
from .folder import DRAFT_SUFFIX, Entry, Folder

logger = logging.getLogger("chainlit_sqla")

_SUBFOLDER = re.compile(r"[0-9a-f]{2}")
_DESCRIPTION = re.compile(r"([0-9a-f]{64})\.json")
_BYTES = re.compile(r"([0-9a-f]{64})\.([0-9a-f]{16})")
_DRAFT = re.compile(
    r"(?:[0-9a-f]{64}\.json|\.gitignore|\.secret)\.[0-9a-f]{16}"
    rf"|[0-9a-f]{{64}}\.[0-9a-f]{{16}}{re.escape(DRAFT_SUFFIX)}"
)


def subfolders(root: Path) -> list[Path]:
    """Return the subfolders; none before the first write."""
    try:
        return sorted(path for path in root.iterdir() if _SUBFOLDER.fullmatch(path.name))
    except FileNotFoundError:
        return []


def blob_info(entry: Entry, file: os.stat_result) -> BlobInfo:
    """Describe a blob by its entry and the file with its bytes."""
    if file.st_size != entry.size:
        logger.warning(
            "Wrong size: the file of %r has %d bytes instead of %d; restore it from a backup",
            entry.key,
            file.st_size,
            entry.size,
        )
    modified = datetime.fromtimestamp(file.st_mtime, UTC)
    return BlobInfo(entry.key, file.st_size, modified, entry.mime, entry.name)


def blobs_in(folder: Folder, subfolder: Path) -> list[BlobInfo]:
    """List the blobs of one subfolder."""
    blobs = []
    for name in _names(subfolder):
        if match := _DESCRIPTION.fullmatch(name):
            try:
                entry, path = folder.find(match[1])
                blobs.append(blob_info(entry, path.stat()))
            except (BlobNotFound, FileNotFoundError):
                continue  # Deleted meanwhile, or its bytes are lost: there is no blob.
            except StorageError as error:
                logger.warning("Not listed: %s", error)
    return blobs


def clear_leftovers(folder: Folder, before: datetime, *, remove: bool) -> int:
    """Count files that interrupted writes left.

    Args:
        folder: The folder.
        before: Only files that were last written earlier.
        remove: Remove them, too.
    """
    count = 0
    for path in _leftovers(folder):
        try:
            if path.stat().st_mtime < before.timestamp():
                if remove:
                    path.unlink()
                count += 1
        except FileNotFoundError:
            continue  # Its writer has put it in place or taken it away.
    return count


def _leftovers(folder: Folder) -> Iterator[Path]:
    """Yield drafts, and bytes that the description no longer names.

    Half of a pair is no leftover: the other half may be in a backup.
    """
    for parent in [folder.root, *subfolders(folder.root)]:
        for name in _names(parent):
            if _DRAFT.fullmatch(name) or (
                (match := _BYTES.fullmatch(name)) and _is_replaced(folder, match[1], match[2])
            ):
                yield parent / name


def _is_replaced(folder: Folder, digest: str, version: str) -> bool:
    try:
        entry, _ = folder.find(digest)
    except BlobNotFound:
        logger.warning(
            "Not removed: of the pair of files %s/%s.* one is missing; restore it from a backup, "
            "or delete the other",
            digest[:2],
            digest,
        )
        return False
    except StorageError:  # A damaged description does not say.
        return False
    return entry.version != version


def _names(folder: Path) -> list[str]:
    try:
        return sorted(path.name for path in folder.iterdir())
    except FileNotFoundError:
        return []
