"""The store of a data layer: ours, or one of Chainlit's own clients in an adapter."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from chainlit.data.storage_clients.base import BaseStorageClient

from ..errors import ConfigurationError
from ..settings import Settings
from ..storage.base import StorageClient
from ..storage.chainlit_adapter import ChainlitClientStorage
from ..storage.config import storage_from
from ..storage.urls import open_storage


def open_for(storage: Any, settings: Settings, root_path: Callable[[], str]) -> StorageClient:
    """Make the storage client that a data layer was given.

    Args:
        storage: A URL, a `StorageClient`, a client of Chainlit's, or None for the settings.
        settings: The settings.
        root_path: The path that Chainlit's server runs below, for links to local files.

    Returns:
        The client; nothing is connected yet.

    Raises:
        ConfigurationError: It is something else, or the settings cannot work.
        MissingExtraError: The package for Google's or Microsoft's cloud is missing.
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
        f"{storage!r} is no store for attachments; pass a URL (s3://bucket/prefix, "
        "file:///path), a StorageClient or one of Chainlit's storage clients"
    )
