"""The one place where errors of botocore become errors of ours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
from botocore import exceptions as boto

from ...errors import BlobNotFound, StorageError, StorageUnavailable

_KEYS = "APP_AWS_ACCESS_KEY and APP_AWS_SECRET_KEY"
_REPAIRS = {
    "NoSuchBucket": "create the bucket or correct BUCKET_NAME or the storage URL",
    "InvalidBucketName": "correct BUCKET_NAME or the storage URL",
    "AccessDenied": "allow these credentials s3:PutObject, s3:GetObject and s3:DeleteObject on its "
    "objects, and s3:ListBucket on it",
    "SignatureDoesNotMatch": "correct APP_AWS_SECRET_KEY",
    "InvalidAccessKeyId": "correct APP_AWS_ACCESS_KEY",
    "ExpiredToken": "renew the temporary credentials",
    "InvalidToken": "renew the temporary credentials",
    "RequestTimeTooSkewed": "set the clock of this machine",
    "PermanentRedirect": "set APP_AWS_REGION to the region of the bucket",
    "AuthorizationHeaderMalformed": "set APP_AWS_REGION to the region of the bucket",
    "IllegalLocationConstraintException": "set APP_AWS_REGION to the region of the bucket",
    "SlowDown": "try again later",
    "QuotaExceeded": "raise the quota of the bucket",
    "403": "check the credentials and what they are allowed to do",
}
_LATER = (  # Answers after which the same request may succeed.
    "SlowDown",
    "Throttling",
    "ThrottlingException",
    "RequestLimitExceeded",
    "RequestTimeout",
    "InternalError",
    "ServiceUnavailable",
)
_NOT_FOUND = ("NoSuchKey", "404")
_UNREACHABLE = (boto.ConnectionError, boto.HTTPClientError, aiohttp.ClientError, TimeoutError)


@dataclass(frozen=True, slots=True)
class Place:
    """Where blobs are, as errors name it.

    Args:
        bucket: The bucket.
        endpoint: The URL of the server; empty for Amazon's own.
    """

    bucket: str
    endpoint: str

    def __str__(self) -> str:
        at = f" at {self.endpoint}" if self.endpoint else ""
        return f"S3 bucket {self.bucket!r}{at}"


@contextmanager
def s3_errors(doing: str, place: Place) -> Iterator[None]:
    """Turn errors of botocore into a StorageError that says the repair.

    Args:
        doing: What fails, such as ``"write 'a.png'"``.
        place: The bucket.

    Raises:
        BlobNotFound: The server knows no such key.
        StorageUnavailable: The server cannot be reached, or is busy or broken.
        StorageError: For every other error of the server or on the way to it.
    """
    try:
        yield
    except boto.ClientError as error:
        answer = error.response.get("Error", {})
        code = str(answer.get("Code", ""))
        if code in _NOT_FOUND:
            raise BlobNotFound(
                f"Cannot {doing} in the {place}: there is no such blob; "
                "it was deleted or never stored"
            ) from error
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        raise refused(doing, place, answer, status) from error
    except (*_UNREACHABLE, boto.BotoCoreError) as error:
        kind = StorageUnavailable if _may_pass(error) else StorageError
        raise kind(f"Cannot {doing} in the {place}: {_why(error)}") from error


def refused(doing: str, place: Place, answer: Any, status: int = 0) -> StorageError:
    """Make the error for what the server answered.

    Args:
        doing: What fails.
        place: The bucket.
        answer: ``Code`` and ``Message``, as in an S3 error document.
        status: The HTTP status; 0 where the answer is about one of many keys.
    """
    code = str(answer.get("Code", "")) or "an unknown error"
    said = str(answer.get("Message", "")).strip().rstrip(".")
    repair = _REPAIRS.get(code, "look at the bucket and at its server's log")
    later = code in _LATER or status == 429 or (status >= 500 and status != 501)
    kind = StorageUnavailable if later else StorageError
    return kind(f"Cannot {doing} in the {place}: {code} ({said}); {repair}")


def _may_pass(error: Exception) -> bool:
    return isinstance(error, _UNREACHABLE) and not isinstance(error, boto.SSLError)


def _why(error: Exception) -> str:
    said = " ".join(str(error).split()).rstrip(".") or type(error).__name__
    if isinstance(error, boto.NoCredentialsError | boto.PartialCredentialsError):
        return f"{said}; set {_KEYS}, or give this machine a role"
    if isinstance(error, boto.CredentialRetrievalError | boto.ProfileNotFound):
        return f"{said}; correct the AWS configuration of this machine, or set {_KEYS}"
    if isinstance(error, boto.SSLError):
        return f"{said}; check the certificate of the server and the scheme of the endpoint"
    if isinstance(error, _UNREACHABLE):
        return f"{said}; check DEV_AWS_ENDPOINT or the storage URL, APP_AWS_REGION and the network"
    if isinstance(error, boto.ParamValidationError) and "bucket" in said.lower():
        return f"{said}; correct BUCKET_NAME or the storage URL"
    return f"{said}; check the S3 settings"
