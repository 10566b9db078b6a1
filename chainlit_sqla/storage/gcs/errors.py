"""The one place where errors of Google's libraries become errors of ours."""

from __future__ import annotations

import http.client
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import requests
import urllib3
from google.api_core import exceptions as api
from google.auth import exceptions as auth

from ...errors import BlobNotFound, StorageError, StorageUnavailable

try:
    from google.cloud.storage.exceptions import DataCorruption
except ImportError:  # Before 3.0 another package had it.
    from google.resumable_media import DataCorruption

KEYS = "APP_GCS_CLIENT_EMAIL and APP_GCS_PRIVATE_KEY"
REPAIRS = {
    400: "correct BUCKET_NAME or the storage URL and the settings of the bucket",
    401: f"correct {KEYS}, or the service account that this machine runs as",
    403: "give the service account the role roles/storage.objectAdmin on the bucket",
    404: "create the bucket or correct BUCKET_NAME or the storage URL",
    412: "look at the retention and the holds of the bucket",
    429: "try again later",
}
"""The repair for what the bucket answers, by HTTP status."""

_LATER = (408, 429, 500, 502, 503, 504)
"""Answers after which the same request may succeed.

Source: https://cloud.google.com/storage/docs/retry-strategy#retryable
"""

_CUT_OFF = (
    requests.ConnectionError,
    requests.Timeout,
    requests.exceptions.ChunkedEncodingError,
    urllib3.exceptions.HTTPError,
    http.client.HTTPException,
    ConnectionError,
    TimeoutError,
)
_THEIRS = (
    api.GoogleAPIError,
    auth.GoogleAuthError,
    requests.RequestException,
    DataCorruption,
    *_CUT_OFF,
)
_NO_BUCKET = re.compile(r"bucket does not exist", re.IGNORECASE)
# Whoever knows the URL of an upload under way can write to it.
_URLS = re.compile(r"(with url: \S+|https?://\S+)")


@dataclass(frozen=True, slots=True)
class Place:
    """Where blobs are, as errors name it.

    Args:
        bucket: The bucket.
        endpoint: The URL of the server; empty for Google's own.
    """

    bucket: str
    endpoint: str

    def __str__(self) -> str:
        at = f" at {self.endpoint}" if self.endpoint else ""
        return f"Google Cloud Storage bucket {self.bucket!r}{at}"


@contextmanager
def gcs_errors(
    doing: str, place: Place, refusals: Mapping[int, str] | None = None
) -> Iterator[None]:
    """Turn errors of Google's libraries into a StorageError that says the repair.

    Args:
        doing: What fails, such as ``"write 'a.png'"``.
        place: The bucket.
        refusals: The repair for each HTTP status, where no blob is asked for that may be
            absent: `REPAIRS`, or those of another service.

    Raises:
        BlobNotFound: The bucket has no such blob.
        StorageUnavailable: The server cannot be reached, or is busy or broken.
        StorageError: For every other error of the server or on the way to it.
    """
    try:
        yield
    except _THEIRS as error:
        cause = _cause(error)
        if refusals is None and _status(cause) == 404 and not bucket_is_missing(cause):
            raise BlobNotFound(
                f"Cannot {doing} in the {place}: there is no such blob; "
                "it was deleted or never stored"
            ) from error
        kind = StorageUnavailable if may_pass(cause) else StorageError
        said = f"{_said(cause)}; {_repair(cause, place, refusals or REPAIRS)}"
        raise kind(f"Cannot {doing} in the {place}: {said}") from error


def may_pass(error: BaseException) -> bool:
    """Tell whether the same request may succeed in a while.

    Args:
        error: What a request raised.
    """
    cause = _cause(error)
    if status := _status(cause):
        return status in _LATER
    if isinstance(cause, auth.GoogleAuthError):
        return bool(cause.retryable)
    return isinstance(cause, _CUT_OFF) and not isinstance(cause, requests.exceptions.SSLError)


def bucket_is_missing(error: BaseException) -> bool:
    """Tell a bucket that is not there from a blob that is not.

    Both are 404 with the reason ``notFound``; only the words differ.

    Args:
        error: A 404 of the server.
    """
    return bool(_NO_BUCKET.search(_said(error)))


def _cause(error: BaseException) -> BaseException:
    """Look into the errors that only say that there was one."""
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


def _said(error: BaseException) -> str:
    status = _status(error)
    if not status:
        text = str(error.args[0] if isinstance(error, auth.GoogleAuthError) else error)
        said = " ".join(_URLS.sub("", text).split())
        return said[:300].rstrip(" .") or type(error).__name__
    phrase = http.client.responses.get(status, "")
    answer = _answer(getattr(error, "response", None))
    return f"{status} {phrase} ({answer})" if answer else f"{status} {phrase}"


def _answer(response: Any) -> str:
    """Read what a server says beside the status: JSON, or plain text for downloads."""
    if response is None:
        return ""
    try:
        text = str(response.json()["error"]["message"])
    except (ValueError, KeyError, TypeError):
        text = response.text
    return " ".join(_URLS.sub("", text).split())[:300].rstrip(" .")


def _repair(error: BaseException, place: Place, refusals: Mapping[int, str]) -> str:
    if status := _status(error):
        later = "try again later" if status in _LATER else "look at the bucket and its server"
        return refusals.get(status, later)
    if isinstance(error, auth.DefaultCredentialsError):
        return (
            f"set {KEYS}, or run as a service account (Cloud Run, GKE, Compute Engine), or "
            "run: gcloud auth application-default login"
        )
    if isinstance(error, auth.GoogleAuthError):
        return f"check {KEYS}, the service account of this machine, and its clock"
    if isinstance(error, DataCorruption):
        return "store it again; look for a proxy that changes what passes"
    if isinstance(error, requests.exceptions.SSLError):
        return "check the certificates of this machine and of a proxy"
    return f"check {'the endpoint and ' if place.endpoint else ''}the network"
