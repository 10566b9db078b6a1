"""What the exceptions of botocore mean."""

from __future__ import annotations

import aiohttp
from botocore import exceptions as boto

from ..cloud import CREDENTIAL_VARIABLES, SMALLER_FILE, TOO_LARGE, Failure, one_line

_KEYS = CREDENTIAL_VARIABLES["s3"]
_REGION = "set APP_AWS_REGION to the region of the bucket"
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
    "PermanentRedirect": _REGION,
    "AuthorizationHeaderMalformed": _REGION,
    "IllegalLocationConstraintException": _REGION,
    "SlowDown": "try again later",
    "QuotaExceeded": "raise the quota of the bucket",
    "EntityTooLarge": SMALLER_FILE,
    "413": SMALLER_FILE,
    "403": "check the credentials and what they are allowed to do",
}
# With a status below 500.
_TRANSIENT = ("RequestTimeout", "RequestLimitExceeded", "Throttling", "ThrottlingException")
_MISSING = ("NoSuchKey", "404")
_REJECTED = ("EntityTooLarge", "KeyTooLongError", "XMinioInvalidObjectName")
# Those of the system, too: no descriptor for a socket, say.
_UNREACHABLE = (boto.ConnectionError, boto.HTTPClientError, aiohttp.ClientError, OSError)
KINDS = (boto.ClientError, boto.BotoCoreError, *_UNREACHABLE)


def explain(error: BaseException) -> Failure:
    """Return the cause and the repair, for `cloud_errors`."""
    if isinstance(error, boto.ClientError):
        status, code = status_of(error), code_of(error) or "an unknown error"
        answer = error.response.get("Error", {})
        return Failure(
            f"{code} ({one_line(answer.get('Message', ''))})",
            _REPAIRS.get(code, "look at the bucket and at its server's log"),
            missing=code in _MISSING,
            rejected=code in _REJECTED or status in TOO_LARGE,
            transient=code in _TRANSIENT or status == 429 or (status >= 500 and status != 501),
        )
    message = one_line(error) or type(error).__name__
    if isinstance(error, boto.NoCredentialsError | boto.PartialCredentialsError):
        return Failure(message, f"set {_KEYS}, or give this machine a role")
    if isinstance(error, boto.CredentialRetrievalError | boto.ProfileNotFound):
        return Failure(message, f"correct the AWS configuration of this machine, or set {_KEYS}")
    if isinstance(error, boto.SSLError):
        return Failure(message, "check the server's certificate and the scheme of the endpoint")
    if isinstance(error, _UNREACHABLE):
        repair = "check DEV_AWS_ENDPOINT or the storage URL, APP_AWS_REGION and the network"
        return Failure(message, repair, transient=True)
    if isinstance(error, boto.ParamValidationError) and "bucket" in message.lower():
        return Failure(message, "correct BUCKET_NAME or the storage URL")
    return Failure(message, "check the S3 settings")


def code_of(error: boto.ClientError) -> str:
    """Return S3's code of an error, or its status as text; empty: the server names none."""
    return str(error.response.get("Error", {}).get("Code", ""))


def status_of(error: boto.ClientError) -> int:
    """Return the HTTP status of an error, 0 without one."""
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
