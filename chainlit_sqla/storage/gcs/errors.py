"""What the exceptions of Google's libraries mean."""

from __future__ import annotations

import http.client
import re
from typing import Any

import google_crc32c
import requests
import urllib3
from google.api_core import exceptions as api
from google.auth import exceptions as auth

from ..cloud import CREDENTIAL_VARIABLES, SMALLER_FILE, TOO_LARGE, Failure, one_line

try:
    from google.cloud.storage.exceptions import DataCorruption
except ImportError:  # Before 3.0 another package had it.
    from google.resumable_media import DataCorruption

# In pure Python it takes seconds for a large blob, and holds the interpreter's lock.
CHECKSUM = "crc32c" if google_crc32c.implementation == "c" else "md5"

TOKEN_CREATOR = "roles/iam.serviceAccountTokenCreator"  # noqa: S105 - a role

_KEYS = CREDENTIAL_VARIABLES["gs"]
_REPAIRS = {
    400: "correct BUCKET_NAME or the storage URL and the settings of the bucket",
    401: f"correct {_KEYS}, or the service account that this machine runs as",
    403: "give the service account the role roles/storage.objectAdmin on the bucket",
    404: "create the bucket or correct BUCKET_NAME or the storage URL",
    412: "look at the retention and the holds of the bucket",
    413: SMALLER_FILE,
}
_GRANT = (
    f"give this machine's service account the role {TOKEN_CREATOR} on the account that signs, "
    "enable the IAM Service Account Credentials API and correct APP_GCS_CLIENT_EMAIL, or set "
    "APP_GCS_PRIVATE_KEY, too"
)
# google-auth reports an answer of IAM as text.
_IAM_ANSWER = re.compile(r"signBlob .*")
_IAM_MESSAGE = re.compile(r'"message": ?"([^"]+)')
# Source: https://cloud.google.com/storage/docs/retry-strategy#retryable
_TRANSIENT = (408, 429, 500, 502, 503, 504)
_CONNECTION_LOST = (
    requests.RequestException,
    urllib3.exceptions.HTTPError,
    http.client.HTTPException,
    OSError,  # Those of the system, too: no descriptor for a socket, say.
)
KINDS = (api.GoogleAPIError, auth.GoogleAuthError, DataCorruption, *_CONNECTION_LOST)
_NO_BUCKET = re.compile(r"bucket does not exist", re.IGNORECASE)
# Whoever knows the URL of an upload under way can write to it.
_URLS = re.compile(r"(with url: \S+|https?://\S+)")


def is_transient(error: BaseException) -> bool:
    """Tell whether the same request may succeed later."""
    cause = _cause(error)
    if status := _status(cause):
        return status in _TRANSIENT
    if isinstance(cause, auth.GoogleAuthError):
        return bool(cause.retryable)
    return isinstance(cause, _CONNECTION_LOST) and not isinstance(
        cause, requests.exceptions.SSLError
    )


def explain(error: BaseException) -> Failure:
    """Return the cause and the repair, for `cloud_errors`."""
    cause = _cause(error)
    status, message = _status(cause), _message(cause)
    transient = is_transient(cause)
    if status == 404 and not _NO_BUCKET.search(message):
        return Failure(message, missing=True)  # Only the words tell it from a missing bucket.
    if status:
        default = "try again later" if transient else "look at the bucket and its server"
        repair = _REPAIRS.get(status, default)
        return Failure(message, repair, transient=transient, rejected=status in TOO_LARGE)
    if answer := _IAM_ANSWER.search(str(cause)):
        if said := _IAM_MESSAGE.search(answer[0]):
            return Failure(f"IAM does not sign them ({one_line(said[1])})", _GRANT)
        return Failure("IAM does not sign them now", "try again later", transient=True)
    if isinstance(cause, auth.DefaultCredentialsError):
        repair = (
            f"set {_KEYS}, or run as a service account (Cloud Run, GKE, Compute Engine), or "
            "run: gcloud auth application-default login"
        )
    elif isinstance(cause, auth.GoogleAuthError):
        repair = f"check {_KEYS}, the service account of this machine, and its clock"
    elif isinstance(cause, DataCorruption):
        repair = "store it again; look for a proxy that changes what passes"
    elif isinstance(cause, requests.exceptions.SSLError):
        repair = "check the certificates of this machine and of a proxy"
    else:
        repair = "check the endpoint and the network"
    return Failure(message, repair, transient=transient)


def _cause(error: BaseException) -> BaseException:
    """Unwrap the errors that only say that there was one."""
    inner: Any = None
    if isinstance(error, api.RetryError):
        inner = error.cause
    elif isinstance(error, auth.GoogleAuthError) and error.args:
        inner = error.args[0]
    return _cause(inner) if isinstance(inner, Exception) else error


def _status(error: BaseException) -> int:
    status = getattr(error, "code", None)
    if not isinstance(status, int):
        status = getattr(getattr(error, "response", None), "status_code", None)
    return int(status) if isinstance(status, int) else 0


def _message(error: BaseException) -> str:
    status = _status(error)
    if not status:
        text = str(error.args[0] if isinstance(error, auth.GoogleAuthError) else error)
        return one_line(_URLS.sub("", text)) or type(error).__name__
    reason = f"{status} {http.client.responses.get(status, '')}"
    response: Any = getattr(error, "response", None)
    if response is None:
        return reason
    try:
        text = str(response.json()["error"]["message"])
    except (ValueError, KeyError, TypeError):  # For downloads it is plain text.
        text = response.text
    answer = one_line(_URLS.sub("", text))
    return f"{reason} ({answer})" if answer else reason
