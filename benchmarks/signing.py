"""Clients of S3 that only sign links, for which nobody is asked."""

from __future__ import annotations

from typing import Any

from .contenders import OURS

_BUCKET, _ENDPOINT, _REGION = "attachments", "https://s3.eu-central-1.amazonaws.com", "eu-central-1"
_ACCESS_KEY, _SECRET_KEY = "benchmark", "benchmark-secret"


def s3_client(contender: str) -> Any:
    """Make the client that a contender takes: ours, or the one that Chainlit brings."""
    if contender == OURS:
        from chainlit_sqla.storage.s3.client import S3Storage

        return S3Storage(
            _BUCKET,
            endpoint=_ENDPOINT,
            region=_REGION,
            access_key=_ACCESS_KEY,
            secret_key=_SECRET_KEY,
        )
    from chainlit.data.storage_clients.s3 import S3StorageClient

    class Client(S3StorageClient):
        async def close(self) -> None:
            self.client.close()  # Chainlit's awaits the None that this gives.

    return Client(
        _BUCKET,
        endpoint_url=_ENDPOINT,
        region_name=_REGION,
        aws_access_key_id=_ACCESS_KEY,
        aws_secret_access_key=_SECRET_KEY,
    )
