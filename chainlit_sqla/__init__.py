"""SQLAlchemy data layer for Chainlit applications.

::

    import chainlit as cl
    from chainlit_sqla import SQLADataLayer

    @cl.data_layer
    def data_layer():
        return SQLADataLayer()

Public names are imported on first use: ``import chainlit_sqla`` alone imports neither
SQLAlchemy nor Chainlit, which creates folders when it is imported.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from . import errors
from .errors import *  # noqa: F403

if TYPE_CHECKING:
    from .data_layer import SQLADataLayer
    from .database import Database
    from .integration.lifecycle import LayerStats
    from .models import Element, Feedback, Step, Thread, User
    from .settings import Settings
    from .storage.azure.client import AzureStorage
    from .storage.base import BlobSource, Inventory, StorageClient
    from .storage.gcs.client import GCSStorage
    from .storage.local.client import LocalStorage
    from .storage.s3.client import S3Storage

__version__ = "0.1.0"

__all__ = [
    "AzureStorage",
    "BlobSource",
    "Database",
    "Element",
    "Feedback",
    "GCSStorage",
    "Inventory",
    "LayerStats",
    "LocalStorage",
    "S3Storage",
    "SQLADataLayer",
    "Settings",
    "Step",
    "StorageClient",
    "Thread",
    "User",
    "__version__",
]
__all__ += errors.__all__

_MODULES = {
    "AzureStorage": ".storage.azure.client",
    "BlobSource": ".storage.base",
    "Database": ".database",
    "GCSStorage": ".storage.gcs.client",
    "Inventory": ".storage.base",
    "LayerStats": ".integration.lifecycle",
    "LocalStorage": ".storage.local.client",
    "S3Storage": ".storage.s3.client",
    "SQLADataLayer": ".data_layer",
    "Settings": ".settings",
    "StorageClient": ".storage.base",
    **dict.fromkeys(("Element", "Feedback", "Step", "Thread", "User"), ".models"),
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name], __name__), name)


def __dir__() -> list[str]:
    return sorted(__all__)
