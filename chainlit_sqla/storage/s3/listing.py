"""What lies in a bucket, as functions of an S3 client."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import ClientError

from ..base import BlobInfo
from ..headers import offered_name
from ..keys import key_behind, original_key, url_safe_key

_NOT_KNOWN = ("NotImplemented", "MethodNotAllowed", "405", "501")


async def blobs(client: Any, bucket: str, prefix: str) -> AsyncIterator[BlobInfo]:
    """List the blobs below a prefix that have keys, a thousand with each request.

    Args:
        client: An S3 client of aiobotocore.
        bucket: The bucket.
        prefix: With its slash at the end; empty for the whole bucket. It is taken off
            the keys.
    """
    below = original_key(prefix)
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    async for page in pages:
        for item in page.get("Contents", ()):
            key = key_behind(item["Key"], original_key, url_safe_key).removeprefix(below)
            if key:  # The console marks a folder by an object of the prefix's own name.
                yield BlobInfo(key, item["Size"], item["LastModified"].astimezone(UTC))


async def blob(client: Any, target: Mapping[str, str], key: str) -> BlobInfo:
    """Look one blob up.

    Args:
        client: An S3 client of aiobotocore.
        target: The bucket and the key in it.
        key: The object key that it stands for.
    """
    answer = await client.head_object(**target)
    return BlobInfo(
        key,
        answer["ContentLength"],
        answer["LastModified"].astimezone(UTC),
        answer.get("ContentType", ""),
        offered_name(answer.get("ContentDisposition", "")),
    )


async def clear_uploads(
    client: Any,
    bucket: str,
    prefix: str,
    *,
    counts: Callable[[str, datetime], bool],
    remove: bool,
) -> int:
    """Count uploads in parts that never ended.

    Args:
        client: An S3 client of aiobotocore.
        bucket: The bucket.
        prefix: Only uploads to keys below it.
        counts: Tells by the object key of an upload and the time it began whether it counts.
        remove: Give their parts up, too.

    Returns:
        How many; 0 where the server cannot list them.
    """
    pages = client.get_paginator("list_multipart_uploads").paginate(Bucket=bucket, Prefix=prefix)
    count = 0
    try:
        async for page in pages:
            for item in page.get("Uploads", ()):
                if counts(original_key(item["Key"].removeprefix(prefix)), item["Initiated"]):
                    count += 1
                    if remove:
                        with suppress(client.exceptions.NoSuchUpload):  # Somebody was faster.
                            await client.abort_multipart_upload(
                                Bucket=bucket, Key=item["Key"], UploadId=item["UploadId"]
                            )
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") not in _NOT_KNOWN:
            raise
    return count
