"""What the clients of S3, Google and Azure share: arguments, errors, many keys, the trial."""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, TypeVar

from ..errors import (
    BlobNotFound,
    BlobRejected,
    ConfigurationError,
    MissingExtraError,
    StorageError,
    StorageUnavailable,
)
from .base import BlobInfo, BlobSource, Inventory, StorageClient
from .keys import UnusableKey, possible_names

CREDENTIAL_VARIABLES: Mapping[str, str] = {
    "s3": "APP_AWS_ACCESS_KEY and APP_AWS_SECRET_KEY",
    "gs": "APP_GCS_CLIENT_EMAIL and APP_GCS_PRIVATE_KEY",
    "az": "APP_AZURE_STORAGE_ACCOUNT and APP_AZURE_STORAGE_ACCESS_KEY",
}
"""The variables that hold a cloud's credentials, by the scheme of its URLs."""

CLOSE_SECONDS = 5
"""Longest wait for connections to close: a peer that reads nothing would block it forever."""

TOO_LARGE = (413, 414)
"""Statuses that refuse a blob for its size or name; often a proxy's."""

SMALLER_FILE = "store a smaller file, or raise the limit of the server or of a proxy before it"

LANES = 16
"""Keys of one call that are handled concurrently."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Failure:
    """What an SDK's exception means: the cause in one line without secrets, and the repair.

    ``missing`` means that there is no such blob, ``transient`` that the store as a whole does not
    work now, ``rejected`` that it refuses this blob for its name or size. What is none of these
    may be about this blob or about all.
    """

    message: str
    repair: str = ""
    missing: bool = False
    transient: bool = False
    rejected: bool = False


@contextmanager
def cloud_errors(
    action: str,
    location: str,
    kinds: tuple[type[BaseException], ...],
    explain: Callable[[BaseException], Failure],
) -> Iterator[None]:
    """Turn an SDK's exceptions into errors that name the cause and the repair."""
    try:
        yield
    except kinds as error:
        failure, prefix = explain(error), f"Cannot {action} in the {location}"
        if failure.missing:
            raise BlobNotFound(
                f"{prefix}: there is no such blob; it was deleted or never stored"
            ) from error
        kind: type[StorageError] = StorageUnavailable if failure.transient else StorageError
        if failure.rejected:
            kind = BlobRejected
        raise kind(f"{prefix}: {failure.message}; {failure.repair}") from error


def one_line(text: object, length: int = 300) -> str:
    """Shorten a message of a server or library to one line without its final dot."""
    line = " ".join(str(text).split())
    return line.rstrip(" .") if len(line) <= length else f"{line[:length].rstrip(' .')}…"


def check_arguments(
    cloud: str, scheme: str, bucket: str, endpoint: str, expiry: int, longest_expiry: int
) -> None:
    """Raise a ConfigurationError for what a server would not refuse, or would explain badly.

    An endpoint with an ``@`` is not quoted: a password may stand before it.
    """
    if not bucket:
        raise ConfigurationError(f"{cloud} needs the name of a bucket; set BUCKET_NAME")
    if not 0 < expiry <= longest_expiry:
        raise ConfigurationError(
            f"{cloud} signs links for 1 to {longest_expiry:,} seconds, not {expiry:,}; "
            "correct STORAGE_EXPIRY_TIME"
        )
    if "@" in endpoint:
        raise ConfigurationError(
            f"The endpoint of {cloud} has credentials in it; put them into "
            f"{CREDENTIAL_VARIABLES[scheme]}, and write the endpoint like http://localhost:9000"
        )
    if endpoint and not re.match(r"https?://[^/?#]+[^?#]*\Z", endpoint):
        raise ConfigurationError(
            f"The endpoint of {cloud} is no URL; write it like http://localhost:9000"
        )


def check_installed(feature: str, extra: str, *modules: str) -> None:
    """Raise a MissingExtraError unless modules are installed; imports none of them."""
    for module in modules:
        try:
            spec = find_spec(module)
        except ModuleNotFoundError:  # The package that contains it.
            spec = None
        if spec is None:
            raise MissingExtraError(feature, extra)


@contextmanager
def extra_needed(feature: str, extra: str) -> Iterator[None]:
    """Raise a MissingExtraError where an import fails, as it does with a part of an extra."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise MissingExtraError(feature, extra) from error


def closed_error(location: str) -> StorageError:
    """Build the error for calls that were running when their store was closed."""
    return StorageError(
        f"The {location} was closed meanwhile; repeat the call if it is still needed"
    )


async def in_lanes(work: Callable[[str], Awaitable[T]], keys: Iterable[str]) -> dict[str, T]:
    """Await a function for each key, some concurrently.

    An error ends only its own lane; the first is raised once all lanes have ended.
    """
    remaining = iter(dict.fromkeys(keys))  # The lanes share it, so no key waits for a certain one.
    results: dict[str, T] = {}

    async def lane() -> None:
        for key in remaining:
            results[key] = await work(key)

    for error in await asyncio.gather(*(lane() for _ in range(LANES)), return_exceptions=True):
        if error is not None:
            raise error
    return results


async def stat_or_none(store: Inventory, key: str) -> BlobInfo | None:
    """Look one blob up; None if there is none, also because this store cannot have it."""
    try:
        return await store.stat(key)
    except (BlobNotFound, UnusableKey):
        return None


async def delete_each(
    keys: Iterable[str],
    name_of: Callable[[str], str],
    delete: Callable[[str, str], Awaitable[Any]],
) -> None:
    """Delete all blobs that can be deleted, as `StorageClient.delete` promises.

    An unavailable answer ends its lane, so a store that is down is not asked for every key, and
    a single blob with such an answer stops no other. ``delete`` takes a key and its name in the
    store.
    """
    names, errors = possible_names(keys, name_of)

    async def attempt(key: str) -> None:
        try:
            await delete(key, names[key])
        except BlobNotFound:
            pass
        except StorageUnavailable:
            raise
        except StorageError as error:
            errors.append(error)

    await in_lanes(attempt, names)
    for error in errors:
        raise error


async def check_round_trip(storage: StorageClient) -> None:
    """Write a small blob, read it back and delete it."""
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
