"""A process that reaches Azurite without a key, by the identity that its environment names."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any

from azure.core.credentials import AccessToken

from chainlit_sqla.errors import StorageError
from chainlit_sqla.storage.azure.client import AzureStorage
from chainlit_sqla.storage.base import BlobSource
from tests.servers.entra import token

DAY = 24 * 3600


class GivenToken:
    """A credential that a caller passes; not to be closed by the store."""

    closed = False

    def get_token(self, *scopes: str, **_: Any) -> AccessToken:
        return AccessToken(token(), int(time.time()) + 3600)

    def close(self) -> None:
        self.closed = True


async def main(arguments: dict[str, Any]) -> dict[str, Any]:
    """Store a blob and make links of all kinds for it."""
    storage = AzureStorage(**arguments)
    try:
        checked = await storage.check()
    except StorageError as error:
        return {"error": str(error)}
    finally:
        await storage.close()
    credential = GivenToken()
    storage = AzureStorage(**arguments, credential=credential)
    for key in ("mine", "theirs", "odd é\n"):
        await storage.put(key, BlobSource(data=key.encode()), mime="text/plain")
    links = await storage.read_urls(["mine", "theirs", "odd é\n"])
    await storage.close()
    return {
        "checked": checked,
        "links": links,
        "closed": credential.closed,
        "days": {days: await _days(arguments, days * DAY) for days in (1, 6)},
    }


async def _days(arguments: dict[str, Any], expiry: int) -> list[str]:
    start = now = time.time()
    storage = AzureStorage(**{**arguments, "expiry": expiry}, clock=lambda: now)
    links = []
    for day in (0, 0.01, 5.9, 6.1):
        now = start + day * DAY
        links.append((await storage.read_urls(["mine"]))["mine"])
    await storage.close()
    return links


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(json.loads(sys.argv[1])))))
