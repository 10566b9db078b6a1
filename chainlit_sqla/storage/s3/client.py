"""Blobs in a bucket of Amazon S3 or of a server that speaks its protocol.

Loading botocore takes longer than a first page, so it is imported when the store is first used.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ...errors import ConfigurationError
from ..base import CHUNK, BlobInfo, BlobSource, source_errors
from ..blocking import UploadFile
from ..cloud import (
    check_arguments,
    check_round_trip,
    cloud_errors,
    delete_each,
)
from ..headers import content_disposition, content_type
from ..keys import key_behind, original_key, url_safe_key

if TYPE_CHECKING:
    from .connection import Connection

LONGEST_EXPIRY = 7 * 24 * 3600
_UNKNOWN_REQUEST = ("NotImplemented", "MethodNotAllowed", "405", "501")


class S3Storage:
    """An `Inventory` over an S3 bucket, which encrypts blobs as its default says.

    Args:
        bucket: The bucket; it must exist.
        prefix: Put before all keys, with a "/" between.
        region: The bucket's region; empty: that of the AWS configuration, else
            ``us-east-1``.
        access_key: With `secret_key`; both empty: the default AWS chain (environment,
            profile, role).
        secret_key: See `access_key`.
        profile: A profile of the AWS configuration files, instead of the keys.
        endpoint: The URL of a server other than Amazon's.
        public_endpoint: The URL under which browsers reach that server, if it differs
            (only its neighbours know a container's name); empty: the same.
        expiry: Seconds until a link ends, a week at most. Links that were signed with
            temporary credentials end with these.
        path_style: Whether the bucket's name is in the path instead of the host;
            None: with an `endpoint` only.
        attempts: How often a request is sent until it has failed.
        patience: Seconds without an answer or progress after which a request has failed.
        session: An ``aiobotocore`` session, for credentials of another kind and to share
            what it has loaded; None: a new one.

    Raises:
        ConfigurationError: An argument cannot work.

    Example:
        ``S3Storage("attachments", endpoint="http://localhost:9000")``
    """

    def __init__(
        self,
        bucket: str,
        *,
        prefix: str = "",
        region: str = "",
        access_key: str = "",
        secret_key: str = "",
        profile: str = "",
        endpoint: str = "",
        public_endpoint: str = "",
        expiry: int = 3600,
        path_style: bool | None = None,
        attempts: int = 3,
        patience: float = 60.0,
        session: Any = None,
    ) -> None:
        for url in (endpoint, public_endpoint):
            check_arguments("S3", "s3", bucket, url, expiry, LONGEST_EXPIRY)
        if bool(access_key) != bool(secret_key):
            raise ConfigurationError(
                "An S3 access key and its secret belong together; set both APP_AWS_ACCESS_KEY and "
                "APP_AWS_SECRET_KEY, or neither to use the default AWS credentials"
            )
        at = f" at {endpoint}" if endpoint else ""
        self.location = f"S3 bucket {bucket!r}{at}"
        self._bucket = bucket
        self._endpoint = endpoint
        self._prefix = prefix.strip("/")
        self._region = region
        self._credentials = (access_key or None, secret_key or None)
        self._expiry = expiry
        self._public_endpoint = public_endpoint
        self._path_style = bool(endpoint) if path_style is None else path_style
        self._attempts = attempts
        self._patience = patience
        self._session = session
        self._profile = profile
        self._connection: Connection | None = None
        self._abandoned: list[Mapping[str, Any]] = []

    async def put(self, key: str, source: BlobSource, *, mime: str, name: str = "") -> int:
        """Store a blob; see `StorageClient.put`."""
        from .upload import PART_SIZE, Upload

        target = self._target(key)
        headers = {
            "ContentType": content_type(mime),
            "ContentDisposition": content_disposition(mime, name),
        }

        async def send(connection: Connection) -> int:
            with source_errors(key):
                size = source.size
            async with connection.small if size < PART_SIZE else connection.large:
                with UploadFile.opened(source, key) as file:
                    upload = Upload(
                        *(connection.client, target, headers, file, self._patience),
                        self._abandoned,
                        connection.verifications[size >= PART_SIZE],
                        self._target(f"chainlit-sqla-check/{secrets.token_hex(8)}"),
                    )
                    await upload.send()
            await upload.abort_abandoned()
            return file.size

        with self._errors(f"write {key!r}"):
            connection = await self._connected()
            return await connection.until_closed(send(connection))

    async def read_urls(self, keys: Sequence[str]) -> Mapping[str, str]:
        """Presign GET requests; see `StorageClient.read_urls`."""
        names = {key: self._target(key)["Key"] for key in keys}
        if not names:
            return {}
        with self._errors("sign links"):
            signer = (await self._connected()).signer
            urls: dict[str, str] = {}
            for key, name in names.items():
                target = {"Bucket": self._bucket, "Key": name}
                urls[key] = await signer.generate_presigned_url(
                    "get_object", Params=target, ExpiresIn=self._expiry
                )
                await asyncio.sleep(0)  # Signing is all computing: let others run, too.
        return urls

    async def open(self, key: str) -> AsyncGenerator[bytes, None]:
        """Read a blob in chunks; see `StorageClient.open`."""
        target = self._target(key)
        with self._errors(f"read {key!r}"):
            client = await self._connect()
            answer = await client.get_object(**target)
            body = answer["Body"]
            async with body:  # What it gives here differs between versions of aiobotocore.
                async for chunk in body.iter_chunks(CHUNK):
                    yield chunk

    async def list_blobs(self) -> AsyncGenerator[BlobInfo, None]:
        """List all blobs below the prefix; see `Inventory.list_blobs`."""
        prefix = original_key(self._below)
        with self._errors("list the blobs"):
            async for page in await self._pages("list_objects_v2"):
                for item in page.get("Contents", ()):
                    key = key_behind(item["Key"], original_key, url_safe_key).removeprefix(prefix)
                    if key:  # The console marks a folder by an object of the prefix's own name.
                        yield BlobInfo(key, item["Size"], item["LastModified"].astimezone(UTC))

    async def stat(self, key: str) -> BlobInfo:
        """Look one blob up; see `Inventory.stat`."""
        target = self._target(key)
        with self._errors(f"look up {key!r}"):
            answer = await (await self._connect()).head_object(**target)
        mime, disposition = answer.get("ContentType"), answer.get("ContentDisposition")
        modified = answer["LastModified"].astimezone(UTC)
        return BlobInfo.from_headers(key, answer["ContentLength"], modified, mime, disposition)

    async def clear_unfinished(
        self, before: datetime, *, is_ours: Callable[[str], bool], remove: bool
    ) -> int:
        """Count uploads in parts that never ended; see `Inventory.clear_unfinished`."""
        from botocore.exceptions import ClientError

        from .errors import code_of

        count = 0
        with self._errors("clear unfinished uploads"):
            client = await self._connect()
            try:
                async for page in await self._pages("list_multipart_uploads"):
                    for item in page.get("Uploads", ()):
                        key = original_key(item["Key"].removeprefix(self._below))
                        if item["Initiated"] >= before or not is_ours(key):
                            continue
                        count += 1
                        if remove:
                            with suppress(client.exceptions.NoSuchUpload):  # Somebody was faster.
                                await client.abort_multipart_upload(
                                    Bucket=self._bucket, Key=item["Key"], UploadId=item["UploadId"]
                                )
            except ClientError as error:
                if code_of(error) not in _UNKNOWN_REQUEST:
                    raise
        return count

    async def delete(self, keys: Sequence[str]) -> None:
        """Delete blobs, some concurrently; see `StorageClient.delete`.

        A request for many keys saves little and brings rules of its own: some servers lack it,
        others want a digest of it, and XML cannot carry every key.
        """

        async def delete(key: str, name: str) -> None:
            with self._errors(f"delete {key!r}"):
                await (await self._connect()).delete_object(Bucket=self._bucket, Key=name)

        await delete_each(keys, lambda key: self._target(key)["Key"], delete)

    async def check(self) -> str:
        """Write, read and delete a small blob; see `StorageClient.check`."""
        await check_round_trip(self)
        return f"the {self.location}"

    async def close(self) -> None:
        """Close the connections; see `StorageClient.close`.

        An upload under way is aborted and raises a StorageError. Closing takes 15 seconds at
        most; what is called later opens the store again.
        """
        connection, self._connection = self._connection, None
        # What another loop opened cannot be closed from this one.
        if connection is not None and connection.loop is asyncio.get_running_loop():
            await connection.close()

    def _errors(self, action: str) -> AbstractContextManager[None]:
        """Turn the exceptions of botocore into errors of ours; see `cloud_errors`."""
        from .errors import KINDS, explain

        return cloud_errors(action, self.location, KINDS, explain)

    @property
    def _below(self) -> str:
        return url_safe_key(f"{self._prefix}/") if self._prefix else ""

    def _target(self, key: str) -> dict[str, str]:
        full = f"{self._prefix}/{key}" if self._prefix and key else key
        return {"Bucket": self._bucket, "Key": url_safe_key(full)}

    async def _pages(self, request: str) -> AsyncIterator[Any]:
        paginator = (await self._connect()).get_paginator(request)
        return aiter(paginator.paginate(Bucket=self._bucket, Prefix=self._below))

    async def _connect(self) -> Any:
        return (await self._connected()).client

    async def _connected(self) -> Connection:
        connection = self._connection
        # A client works only in the loop that it was made in.
        if connection is None or connection.loop is not asyncio.get_running_loop():
            from aiobotocore.session import AioSession

            from .connection import Connection

            if self._profile and self._session is None:
                self._session = AioSession(profile=self._profile)
            connection = self._connection = Connection(
                self.location, self._session, self._make_client, self._public_endpoint
            )
        await connection.open()
        return connection

    def _make_client(self, session: Any, endpoint: str) -> Any:
        from .connection import client_config

        access_key, secret_key = self._credentials
        return session.create_client(
            "s3",
            region_name=self._region or session.get_config_variable("region") or "us-east-1",
            endpoint_url=endpoint or self._endpoint or None,
            aws_access_key_id=access_key,
            aws_secret_access_key=secret_key,
            config=client_config(
                path_style=self._path_style, attempts=self._attempts, patience=self._patience
            ),
        )
