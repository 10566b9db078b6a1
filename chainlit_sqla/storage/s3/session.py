"""How clients of aiobotocore are made: what is loaded, and how they are configured."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
from contextlib import suppress
from typing import Any

import orjson
from aiobotocore.config import AioConfig
from aiobotocore.session import get_session
from botocore.exceptions import BotoCoreError
from botocore.loaders import JSONFileLoader

from ..._internal.collector import paused


class _Files(JSONFileLoader):  # type: ignore[misc]
    """Parses botocore's files quickly: the interpreter stands still for each of them."""

    def _load_file(self, full_path: str, open_method: Any) -> Any:
        if not os.path.isfile(full_path):  # noqa: PTH113 - it may be one without ".gz"
            return None
        with open_method(full_path, "rb") as file:
            text = file.read()
        with paused():
            return orjson.loads(text)


async def open_session(session: Any = None) -> Any:
    """Load what botocore knows of S3, in a thread.

    It is a tenth of a second of reading JSON, for which making a client would hold up the
    event loop.

    Args:
        session: Of aiobotocore; it keeps what was loaded. None: a new one.
    """
    return await asyncio.to_thread(_load, session)


def _load(session: Any) -> Any:
    session = session or get_session()
    loader = session.get_component("data_loader")
    loader.file_loader = _Files()
    # Another release may name its parts otherwise; the client loads them itself.
    with suppress(BotoCoreError):
        for part in ("service-2", "endpoint-rule-set-1", "paginators-1"):
            loader.load_service_model("s3", part)
        loader.load_data("endpoints")
    return session


def client_config(*, path_style: bool, attempts: int, patience: float) -> Any:
    """Configure a client.

    Args:
        path_style: Whether the bucket's name stands in the path instead of the host.
        attempts: How often a request is sent until it is given up.
        patience: Seconds without an answer after which it has failed.
    """
    # "virtual", not "auto": with "auto", links for other regions than us-east-1 go to a
    # host that redirects, and the redirect breaks the signature.
    options: dict[str, Any] = {
        "signature_version": "s3v4",
        # Signing a body hashes it in the event loop. Its MD5 is among the headers that are
        # signed, and is made in the thread that reads it.
        "s3": {
            "addressing_style": "path" if path_style else "virtual",
            "payload_signing_enabled": False,
        },
        "retries": {"mode": "standard", "total_max_attempts": attempts},
        "connect_timeout": min(10, patience),
        "read_timeout": patience,
        "max_pool_connections": 50,
    }
    # Servers other than Amazon's often refuse the checksums that newer botocore adds.
    for option in ("request_checksum_calculation", "response_checksum_validation"):
        if option in AioConfig.OPTION_DEFAULTS:
            options[option] = "when_required"
    return AioConfig(**options)


def add_content_md5(params: dict[str, Any], **_: Any) -> None:
    """Add the header that older servers want with a batch of deletions."""
    digest = hashlib.md5(params["body"], usedforsecurity=False).digest()
    params["headers"].setdefault("Content-MD5", base64.b64encode(digest).decode())
