"""The two ends of a copy: which stores they are, and that they are two."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote, urlsplit

from ..errors import ConfigurationError
from ..settings import Settings
from .base import Inventory
from .local.client import LocalStorage
from .urls import open_storage, shown_url


@dataclass(frozen=True, slots=True)
class Place:
    """Where blobs are, however the URL that names it is spelled.

    Args:
        kind: The scheme of the URL.
        server: The endpoint or account; empty for the cloud's own.
        bucket: The bucket or container; empty for a folder.
        path: The parts of the prefix or folder.
    """

    kind: str
    server: str
    bucket: str
    path: tuple[str, ...]

    def __str__(self) -> str:
        at = f" at {self.server}" if self.server else ""
        return f"{self.kind}://{'/'.join((self.bucket, *self.path))}{at}"

    def overlaps(self, other: Place) -> bool:
        """Whether a blob of one may be a blob of the other."""
        if (self.kind, self.server, self.bucket) != (other.kind, other.server, other.bucket):
            return False
        common = min(len(self.path), len(other.path))
        return self.path[:common] == other.path[:common]


@dataclass(frozen=True, slots=True)
class Ends:
    """Two stores, one to copy from and one to copy to.

    Args:
        source: The client of the first.
        target: The client of the second.
        source_place: Where the first is.
        target_place: Where the second is.
    """

    source: Inventory
    target: Inventory
    source_place: Place
    target_place: Place

    @classmethod
    def open(cls, source: str, target: str, settings: Settings) -> Ends:
        """Make clients for two URLs; connects to nothing.

        Args:
            source: The URL of the store to copy from.
            target: The URL of the store to copy to.
            settings: Credentials and endpoints of both.

        Raises:
            ConfigurationError: A URL cannot be used, the source is a folder that is not
                there, or both name one store or a part of it.
        """
        clients = open_storage(source, settings), open_storage(target, settings)
        places = (
            _place(source, clients[0], settings),
            _place(target, clients[1], settings),
        )
        if places[0].overlaps(places[1]):
            raise ConfigurationError(
                f"{shown_url(source)} and {shown_url(target)} are the same store, or one is "
                "inside the other; name two separate ones"
            )
        if isinstance(clients[0], LocalStorage) and not clients[0].root.is_dir():
            raise ConfigurationError(
                f"There is no folder {clients[0].root} to copy from; correct {shown_url(source)}"
            )
        return cls(*clients, *places)

    @property
    def digest(self) -> str:
        """12 hex digits that are the same for the same two places."""
        names = f"{self.source_place!r}\n{self.target_place!r}"
        return hashlib.sha256(names.encode()).hexdigest()[:12]

    async def aclose(self) -> None:
        """Close both clients."""
        try:
            await self.source.close()
        finally:
            await self.target.close()


def _place(url: str, client: Inventory, settings: Settings) -> Place:
    if isinstance(client, LocalStorage):
        return Place("file", "", "", client.root.resolve().parts[1:])
    parts = urlsplit(url)
    options = dict(parse_qsl(parts.query))
    server = options.get("endpoint", "")
    if parts.scheme == "s3":
        server = server or settings.aws_endpoint
    elif parts.scheme == "az":  # A bucket's name is one of all users, a container's is not.
        account = options.get("account") or settings.azure_storage_account
        server = f"{server.rstrip('/')}/{account}" if server else account
    path = tuple(part for part in unquote(parts.path).strip("/").split("/") if part)
    return Place(parts.scheme, server.rstrip("/").lower(), unquote(parts.netloc), path)
