"""The private attributes of drivers and SDKs that this package reads, all in one place.

pyproject.toml limits the releases to those that were tried, and a test asks the installed ones.
Without an attribute of a driver, a lost network is noticed later, or rows need more memory. Where
asyncpg's ``_get_unique_id`` is (`postgresql.connection`), prepared statements get unique names.
"""

from __future__ import annotations

from typing import Any


def transport_of(driver: Any) -> Any:
    """Return asyncio's transport of a connection of asyncpg or asyncmy; None if it has none."""
    return getattr(driver, "_transport", None)


def is_stream_broken(driver: Any) -> bool:
    """Return whether asyncmy stopped in the middle of an answer; else its next statement fails."""
    return bool(getattr(driver, "_stream_broken", False))


def google_session(client: Any) -> tuple[Any, Any]:
    """Return the HTTP session of a client of Google's storage, and what asks for its tokens."""
    return client._http, client._http._auth_request
