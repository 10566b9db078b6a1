"""What the clients of S3, Google and Azure share: endpoints, errors, closing, the trial."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from ..errors import BlobNotFound, ConfigurationError, StorageError, StorageUnavailable
from .base import BlobSource, StorageClient

CREDENTIAL_VARIABLES: Mapping[str, str] = {
    "s3": "APP_AWS_ACCESS_KEY and APP_AWS_SECRET_KEY",
    "gs": "APP_GCS_CLIENT_EMAIL and APP_GCS_PRIVATE_KEY",
    "az": "APP_AZURE_STORAGE_ACCOUNT and APP_AZURE_STORAGE_ACCESS_KEY",
}
"""The variables that hold a cloud's credentials, by the scheme of its URLs."""

CLOSE_SECONDS = 5
"""Longest wait for connections to close: a peer that reads nothing would block it forever."""

MESSAGE_LENGTH = 300


@dataclass(frozen=True, slots=True)
class Failure:
    """What an SDK's exception means.

    Args:
        message: The cause, in one line and without secrets.
        repair: What the user can do about it.
        missing: There is no such blob.
        transient: The same request may succeed later.
    """

    message: str
    repair: str = ""
    missing: bool = False
    transient: bool = False

    def error(self, action: str, location: str) -> StorageError:
        """Build the exception to raise."""
        prefix = f"Cannot {action} in the {location}"
        if self.missing:
            return BlobNotFound(f"{prefix}: there is no such blob; it was deleted or never stored")
        kind = StorageUnavailable if self.transient else StorageError
        return kind(f"{prefix}: {self.message}; {self.repair}")


@contextmanager
def cloud_errors(
    action: str,
    location: str,
    kinds: tuple[type[BaseException], ...],
    explain: Callable[[BaseException], Failure],
) -> Iterator[None]:
    """Turn an SDK's exceptions into errors that name the cause and the repair.

    Raises:
        BlobNotFound: The blob does not exist.
        StorageUnavailable: The store is unreachable, overloaded or broken.
        StorageError: Any other failure.
    """
    try:
        yield
    except kinds as error:
        raise explain(error).error(action, location) from error


def one_line(text: object, length: int = MESSAGE_LENGTH) -> str:
    """Shorten a message of a server or library to one line without its final dot."""
    line = " ".join(str(text).split())
    return line.rstrip(" .") if len(line) <= length else f"{line[:length].rstrip(' .')}…"


def check_endpoint(scheme: str, endpoint: str, message: str) -> None:
    """Refuse an endpoint that is no URL, or that carries credentials.

    Args:
        scheme: A key of `CREDENTIAL_VARIABLES`.
        endpoint: The URL of a server; empty for the cloud's own.
        message: The error for text that is no URL.

    Raises:
        ConfigurationError: The endpoint cannot be used. One with an ``@`` is not quoted: a
            password may stand before it, and may contain a slash.
    """
    if "@" in endpoint:
        raise ConfigurationError(
            f"The endpoint for {scheme}:// has credentials in it; put them into "
            f"{CREDENTIAL_VARIABLES[scheme]}, and write the endpoint like http://localhost:9000"
        )
    if endpoint and not re.match(r"https?://[^/?#]+[^?#]*\Z", endpoint):
        raise ConfigurationError(message)


def closed_error(location: str) -> StorageError:
    """Build the error for calls that were running when their store was closed."""
    return StorageError(
        f"The {location} was closed meanwhile; repeat the call if it is still needed"
    )


async def check_round_trip(storage: StorageClient) -> None:
    """Write a small blob, read it back and delete it.

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
            f"The store returned other bytes than were written under {key!r}; "
            "look for a proxy or cache in front of it"
        )
