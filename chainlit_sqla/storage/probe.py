"""The trial behind ``StorageClient.check``."""

from __future__ import annotations

import secrets

from ..errors import StorageError
from .base import BlobSource, StorageClient


async def probe(storage: StorageClient) -> None:
    """Write a small blob, read it back and delete it.

    Args:
        storage: The store to try.

    Raises:
        StorageError: One of the steps failed, or other bytes came back.
    """
    key = f"chainlit-sqla-check/{secrets.token_hex(8)}"
    sent = secrets.token_bytes(32)
    await storage.put(key, BlobSource(data=sent), mime="application/octet-stream")
    try:
        received = b"".join([chunk async for chunk in storage.open(key)])
    finally:
        await storage.delete([key])
    if received != sent:
        raise StorageError(
            f"The store gave back other bytes than were written under {key!r}; "
            "look for a proxy or cache in front of it"
        )
