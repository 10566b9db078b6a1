"""What closing has in common for the stores that keep connections open."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from ..errors import StorageError

logger = logging.getLogger("chainlit_sqla")

CLOSE_SECONDS = 5
"""For connections to close: aiohttp would wait for a peer that takes no more bytes."""


def closed(place: object) -> StorageError:
    """Make the error for what was under way when a store was closed.

    Args:
        place: The store, as errors name it.
    """
    return StorageError(f"The {place} was closed meanwhile; do it again where it is still needed")


@asynccontextmanager
async def bounded_close(place: object) -> AsyncIterator[None]:
    """Close connections in the block, and leave them to themselves where it takes too long.

    Args:
        place: The store, as errors name it.
    """
    try:
        async with asyncio.timeout(CLOSE_SECONDS):
            yield
    except TimeoutError:
        logger.warning(
            "The connections to the %s did not close within %s s and were left to "
            "themselves; look at the network if this comes back",
            place,
            CLOSE_SECONDS,
        )
