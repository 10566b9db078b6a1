"""Attachments: the storage client that a layer uses, and the bytes of an element."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from chainlit.data.storage_clients.base import BaseStorageClient

from ..errors import BlobRejected, ConfigurationError, StorageError
from ..settings import Settings
from ..storage.base import EXHAUSTED, BlobSource, StorageClient
from ..storage.chainlit_adapter import ChainlitClientStorage
from ..storage.open_store import open_storage, storage_from

if TYPE_CHECKING:
    from chainlit.element import Element

log = logging.getLogger(__name__)


def resolve_storage(
    storage: str | StorageClient | BaseStorageClient | None,
    settings: Settings,
    root_path: Callable[[], str],
) -> StorageClient:
    """Return the storage client for the ``storage`` argument of a data layer.

    ``root_path`` returns the path below which Chainlit's server runs, for links to local files.
    """

    def prefix() -> str:
        return settings.public_url.rstrip("/") or root_path()

    if storage is None:
        return storage_from(settings, url_prefix=prefix)
    if isinstance(storage, str):
        return open_storage(storage, settings, url_prefix=prefix)
    if isinstance(storage, BaseStorageClient):
        return ChainlitClientStorage(storage)
    if isinstance(storage, StorageClient):
        return storage
    raise ConfigurationError(
        f"{storage!r} is not a store for attachments; pass a URL (s3://bucket/prefix, "
        "file:///path), a StorageClient or one of Chainlit's storage clients"
    )


def open_source(element: Element, *, keep_open: bool) -> BlobSource | None:
    """Return the bytes of an element, None if it has none.

    A file is opened immediately, because Chainlit deletes the folder of a session, unless too
    many files are open already: the uploads' (``keep_open`` is False) or the process's. Then each
    attempt to store it opens it. A custom element has no bytes: its content is its props, which
    are a column.
    """
    if element.type == "custom":
        return None
    if path := element.path:
        try:
            return BlobSource.opened(Path(path)) if keep_open else BlobSource(path=Path(path))
        except OSError as error:
            if error.errno in EXHAUSTED:
                return BlobSource(path=Path(path))
            reason = error.strerror or str(error)
            log.error("Element not stored: cannot read the file %r (%s)", path, reason)
            raise BlobRejected(
                f"Cannot read the file {path!r} ({reason}); send the element while its file exists"
            ) from error
    content = element.content
    if content is None or (element.url and not content):
        return None
    return BlobSource(data=content.encode() if isinstance(content, str) else bytes(content))


async def sign_urls(storage: StorageClient, keys: Sequence[str]) -> Mapping[str, str]:
    """Return signed URLs by key; none where that fails, which must not hide a conversation."""
    try:
        return await storage.read_urls(keys) if keys else {}
    except StorageError as error:
        log.error("Attachment URLs not signed; elements are returned without URLs: %s", error)
    except Exception as error:  # A third-party client.
        log.exception(
            "Attachment URLs not signed; elements are returned without URLs "
            "(storage client raised %s); fix the storage client",
            type(error).__name__,
        )
    return {}
