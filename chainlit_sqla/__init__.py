"""The data layer for Chainlit applications.

::

    import chainlit as cl
    from chainlit_sqla import SQLADataLayer

    @cl.data_layer
    def data_layer():
        return SQLADataLayer()

Everything is imported when it is first used: ``import chainlit_sqla`` alone neither imports
Chainlit, which makes folders, nor SQLAlchemy.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ._internal.collector import paused

if TYPE_CHECKING:
    from .data_layer import SQLADataLayer
    from .database import Database
    from .errors import ChainlitSqlaError
    from .settings import Settings
    from .storage.azure.client import AzureStorage
    from .storage.base import BlobSource, Inventory, StorageClient
    from .storage.gcs.client import GCSStorage
    from .storage.local.client import LocalStorage
    from .storage.s3.client import S3Storage

__all__ = [
    "AzureStorage",
    "BlobSource",
    "ChainlitSqlaError",
    "Database",
    "GCSStorage",
    "Inventory",
    "LocalStorage",
    "S3Storage",
    "SQLADataLayer",
    "Settings",
    "StorageClient",
]

_HOMES = {
    "AzureStorage": ".storage.azure.client",
    "BlobSource": ".storage.base",
    "ChainlitSqlaError": ".errors",
    "Database": ".database",
    "GCSStorage": ".storage.gcs.client",
    "Inventory": ".storage.base",
    "LocalStorage": ".storage.local.client",
    "S3Storage": ".storage.s3.client",
    "SQLADataLayer": ".data_layer",
    "Settings": ".settings",
    "StorageClient": ".storage.base",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        with paused():  # A third of the time that importing SQLAlchemy takes.
            return getattr(import_module(_HOMES[name], __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
