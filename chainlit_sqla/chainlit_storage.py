"""Opens the store of a data layer: ours, or one of Chainlit's own clients in an adapter."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from chainlit.data.storage_clients.base import BaseStorageClient

from .errors import ConfigurationError, MissingExtraError
from .settings import Settings
from .storage.base import StorageClient
from .storage.chainlit_client import ChainlitClientStorage
from .storage.urls import open_storage, storage_from, storage_kind


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
        return _from_settings(settings, prefix)
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


def _from_settings(settings: Settings, prefix: Callable[[], str]) -> StorageClient:
    match storage_kind(settings):
        case "gcs":
            return ChainlitClientStorage(_gcs(settings))
        case "azure":
            return ChainlitClientStorage(_azure(settings))
        case _:
            return storage_from(settings, url_prefix=prefix)


def _gcs(settings: Settings) -> BaseStorageClient:
    try:
        from chainlit.data.storage_clients.gcs import GCSStorageClient
    except ImportError as error:
        raise MissingExtraError("Google Cloud Storage", "gcs") from error
    with _bad_values("APP_GCS_PRIVATE_KEY"):
        return GCSStorageClient(
            bucket_name=settings.bucket_name,
            project_id=settings.gcs_project_id,
            client_email=settings.gcs_client_email,
            private_key=settings.gcs_private_key,
        )


def _azure(settings: Settings) -> BaseStorageClient:
    try:
        from chainlit.data.storage_clients.azure_blob import AzureBlobStorageClient
    except ImportError as error:
        raise MissingExtraError("Azure Blob Storage", "azure") from error
    with _bad_values("APP_AZURE_STORAGE_ACCESS_KEY"):
        return AzureBlobStorageClient(
            container_name=settings.bucket_name,
            storage_account=settings.azure_storage_account,
            storage_key=settings.azure_storage_key,
        )


@contextmanager
def _bad_values(variable: str) -> Iterator[None]:
    try:
        yield
    except (ValueError, TypeError) as error:
        raise ConfigurationError(
            f"The cloud's own library refuses the settings ({error}); correct {variable}"
        ) from error
