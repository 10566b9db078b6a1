"""Links to blobs of Azure: shared access signatures (SAS) for one blob, to read only."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

from azure.storage.blob import BlobSasPermissions, generate_blob_sas

LONGEST_KEY = 7 * 24 * 3600
"""Seconds that a user delegation key is good for at most."""
_SKEW = 15 * 60
_OFTEN = 3600


@dataclass(slots=True)
class Signer:
    """Signs links with the account's key, or with a user delegation key.

    The latter is fetched once and used for all links until these would outlive it. No
    link says when it begins, so a clock that is ahead of Azure's makes none that is not
    good yet; a delegation key begins a quarter of an hour ago for the same reason.

    Source: https://learn.microsoft.com/rest/api/storageservices/create-user-delegation-sas

    Args:
        account: The storage account.
        container: The container.
        url: The URL of the blob service, without a slash at its end.
        expiry: Seconds until a link ends.
        key: The account's key; empty: a user delegation key.
        service: A ``BlobServiceClient`` with a token credential, to fetch such a key.
        clock: The time in seconds since 1970.
    """

    account: str
    container: str
    url: str
    expiry: int
    key: str
    service: Any
    clock: Callable[[], float] = time.time
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    _delegation: Any = None
    _begun: float = 0

    async def links(self, names: Sequence[str]) -> list[str]:
        """Sign links.

        Args:
            names: Names of blobs.

        Returns:
            A URL for each.
        """
        secret: dict[str, Any] = {"account_key": self.key}
        ends = self.clock() + self.expiry
        if not self.key:
            secret = {"user_delegation_key": await self._delegation_key()}
            ends = min(ends, self._delegation_end)
        links = []
        for number, name in enumerate(names, start=1):
            links.append(self._link(name, secret, ends))
            if number % 32 == 0:  # Signing is all computing: let others run too.
                await asyncio.sleep(0)
        return links

    def _link(self, name: str, secret: dict[str, Any], ends: float) -> str:
        signature = generate_blob_sas(
            self.account,
            self.container,
            name,
            permission=BlobSasPermissions(read=True),
            expiry=datetime.fromtimestamp(ends, UTC),
            protocol="https" if self.url.startswith("https:") else "https,http",
            **secret,
        )
        return f"{self.url}/{self.container}/{quote(name, safe='/~')}?{signature}"

    async def _delegation_key(self) -> Any:
        async with self._lock:
            now = self.clock()
            outlived = now + self.expiry > self._delegation_end
            # With links of almost a week each moment would ask for a new key: these end earlier.
            if self._delegation is None or (outlived and now - self._begun > _OFTEN):
                start = datetime.fromtimestamp(now - _SKEW, UTC)
                self._delegation = await self.service.get_user_delegation_key(
                    start, start + timedelta(seconds=LONGEST_KEY)
                )
                self._begun = now
        return self._delegation

    @property
    def _delegation_end(self) -> float:
        return self._begun - _SKEW + LONGEST_KEY
