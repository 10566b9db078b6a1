"""Blobs in a bucket of Google Cloud Storage."""

# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import Any
from urllib.parse import quote, urlsplit

from ..._internal.private_attributes import google_session
from ...errors import ConfigurationError, StorageError
from ..base import BlobInfo
from ..blocking import CALLS, LARGE_UPLOADS, SMALL_UPLOADS, BlockingStorage, UploadFile
from ..cloud import check_arguments, check_installed, cloud_errors, extra_needed
from ..keys import key_behind, key_bytes, original_key, url_safe_key

GOOGLE = "https://storage.googleapis.com"
GOOGLE_HOSTS = ".googleapis.com"
TOKEN_URI = "https://oauth2.googleapis.com/token"  # noqa: S105 - a URL
SCOPES = ("https://www.googleapis.com/auth/cloud-platform",)
"""The scope of storage alone does not cover IAM, which signs where there is no key."""

LONGEST_EXPIRY = 7 * 24 * 3600

PART = 8 * 1024 * 1024
"""Bytes of a blob that one request sends; a multiple of 256 KiB, as Google requires."""

PIECE = 4 * 1024 * 1024
"""Bytes of a blob that one request reads."""

TIMEOUT = (10, 60)
"""Seconds to connect, and to wait for the next bytes of an answer."""

_LISTED = "items(name,size,timeCreated,contentType,contentDisposition),nextPageToken"

_ESCAPED = "25|2E|0[0-9A-F]|1[0-9A-F]|7F"
_UNSAFE = re.compile(rf"[\x00-\x1f\x7f]|%(?={_ESCAPED})")
_ESCAPE = re.compile(f"%({_ESCAPED})")
_RESERVED = ".well-known/"
_EXTRA = "Google Cloud Storage", "gcs"


class GCSStorage(BlockingStorage):
    """An `Inventory` over a bucket of Google Cloud Storage.

    Args:
        bucket: The bucket; it must exist.
        prefix: Put before all keys, with a "/" between.
        project: The project, for Google's logs.
        client_email: The e-mail address of a service account. Without `private_key`: the
            account that signs links, by IAM; empty: that of the credentials.
        private_key: The key of this account, in PEM; empty: Application Default
            Credentials (the machine's service account, workload identity,
            ``GOOGLE_APPLICATION_CREDENTIALS``, ``gcloud auth application-default login``).
        endpoint: The URL of a server other than Google's; empty: that of
            ``STORAGE_EMULATOR_HOST``, if set. Without a key it is taken for an emulator,
            unless its host is Google's (Private Service Connect): requests carry no login,
            and links are not signed.
        expiry: Seconds until a link ends, a week at most. A link that IAM signed may end
            earlier, when Google replaces the keys of its accounts.
        retry_seconds: How long a request that failed for a transient reason is repeated.
        credentials: Of google-auth, for other ways to log in; instead of `private_key`.

    Raises:
        ConfigurationError: An argument cannot work.
        MissingExtraError: google-cloud-storage is not installed.

    Example:
        ``GCSStorage("attachments", prefix="chat")``
    """

    def __init__(
        self,
        bucket: str,
        *,
        prefix: str = "",
        project: str = "",
        client_email: str = "",
        private_key: str = "",
        endpoint: str = "",
        expiry: int = 3600,
        retry_seconds: float = 30.0,
        credentials: Any = None,
    ) -> None:
        # Google's own client and its other emulators read this variable, too.
        endpoint = (endpoint or os.environ.get("STORAGE_EMULATOR_HOST", "")).rstrip("/")
        check_arguments("Google Cloud Storage", "gs", bucket, endpoint, expiry, LONGEST_EXPIRY)
        if not (bucket[0].isalnum() and bucket[-1].isalnum()):  # Google's client would refuse it.
            raise ConfigurationError(
                f"No Google bucket can be named {bucket!r}; correct BUCKET_NAME or the storage URL"
            )
        check_installed(*_EXTRA, "google.cloud.storage")
        at = f" at {endpoint}" if endpoint else ""
        super().__init__(f"Google Cloud Storage bucket {bucket!r}{at}", prefix, object_name)
        self._bucket_name = bucket
        self._endpoint = endpoint
        self._project = project
        self._expiry = expiry
        self._retry_seconds = retry_seconds
        self._client_email = client_email
        self._credentials = _credentials(client_email, private_key, endpoint, credentials)

    def _errors(self, action: str) -> AbstractContextManager[None]:
        with extra_needed(*_EXTRA):
            from .errors import KINDS, explain

        return cloud_errors(action, self.location, KINDS, explain)

    def _upload(self, name: str, file: UploadFile, mime: str, disposition: str) -> None:
        from .errors import CHECKSUM

        blob = self._bucket().blob(name, chunk_size=PART)
        blob.content_disposition = disposition
        blob.upload_from_file(
            file,
            size=file.size,
            content_type=mime,
            checksum=CHECKSUM,
            retry=self._retry(file.stop),
            timeout=TIMEOUT,
        )

    def _download(self, key: str, name: str) -> Iterator[bytes]:
        from google.api_core.exceptions import RequestRangeNotSatisfiable

        with self._errors(f"read {key!r}"):
            blob, start = self._bucket().blob(name), 0  # It pins the generation it read first.
            while True:
                try:
                    piece = blob.download_as_bytes(
                        start=start,
                        end=start + PIECE - 1,
                        raw_download=True,
                        checksum=None,  # Google knows only that of the whole blob.
                        retry=self._retry(),
                        timeout=TIMEOUT,
                    )
                except RequestRangeNotSatisfiable:  # The last piece ended with the blob.
                    return
                yield piece
                if len(piece) < PIECE:
                    return
                start += PIECE

    def _remove(self, name: str) -> None:
        self._bucket().blob(name).delete(retry=self._retry(), timeout=TIMEOUT)

    def _pages(self) -> Iterator[list[BlobInfo]]:
        below = object_name(f"{self._prefix}/") if self._prefix else ""
        with self._errors("list the blobs"):
            bucket = self._bucket()
            blobs = bucket.client.list_blobs(
                bucket, prefix=below, fields=_LISTED, retry=self._retry(), timeout=TIMEOUT
            )
            for page in blobs.pages:
                keys = ((key_behind(blob.name, key_of, object_name), blob) for blob in page)
                infos = [_info(key.removeprefix(key_of(below)), blob) for key, blob in keys]
                yield [info for info in infos if info.key]

    def _look_up(self, key: str, name: str) -> BlobInfo:
        with self._errors(f"look up {key!r}"):
            blob = self._bucket().blob(name)
            blob.reload(retry=self._retry(), timeout=TIMEOUT)
            return _info(key, blob)

    def _signer(self) -> tuple[Callable[[str], str], bool]:
        with extra_needed(*_EXTRA):
            from google.auth.credentials import AnonymousCredentials
            from google.oauth2 import service_account

        endpoint = self._endpoint or GOOGLE
        with self._errors("sign links"):
            bucket = self._bucket()
            if isinstance(self._credentials, AnonymousCredentials):
                # An emulator checks no signature.
                return lambda name: f"{endpoint}/{bucket.name}/{quote(name, safe='/~')}", True
            signer = self._signing_credentials(google_session(bucket.client)[1])

        def sign(name: str) -> str:
            with self._errors("sign links"):
                url: str = bucket.blob(name).generate_signed_url(
                    version="v4",
                    expiration=timedelta(seconds=self._expiry),
                    api_access_endpoint=endpoint,
                    credentials=signer,
                )
                return url

        # Threads that compute slow each other down; those that wait for IAM don't.
        is_local = isinstance(signer, service_account.Credentials)
        return sign, is_local and signer is self._credentials

    def _signing_credentials(self, request: Any) -> Any:
        """Return the credentials, or those of an account for which IAM signs."""
        from google.auth.credentials import Signing
        from google.auth.iam import Signer
        from google.oauth2 import service_account

        from .errors import TOKEN_CREATOR

        credentials, email = self._credentials, self._client_email
        if isinstance(credentials, Signing) and email in ("", credentials.signer_email):
            return credentials
        if not credentials.valid:  # The token tells the name of a machine's account.
            credentials.refresh(request)
        email = email or getattr(credentials, "service_account_email", None) or ""
        if "@" not in email:
            raise StorageError(
                "Cannot sign links to Google Cloud Storage: these credentials belong to no "
                "service account; set APP_GCS_CLIENT_EMAIL to a service account on which they "
                f"have the role {TOKEN_CREATOR}, or set APP_GCS_PRIVATE_KEY, too"
            )
        return service_account.Credentials(Signer(request, credentials, email), email, TOKEN_URI)

    def _disconnect(self, client: Any) -> None:
        google_session(client)[0].close()

    def _bucket(self) -> Any:
        return self._connected().bucket(self._bucket_name)

    def _connect(self) -> Any:
        with extra_needed(*_EXTRA):
            import google.auth
            from google.cloud import storage
            from requests.adapters import HTTPAdapter

        if self._credentials is None:
            self._credentials = google.auth.default(scopes=SCOPES)[0]
        client = storage.Client(
            project=self._project or None,
            credentials=self._credentials,
            client_options={"api_endpoint": self._endpoint} if self._endpoint else None,
        )
        adapter = HTTPAdapter(pool_maxsize=CALLS + SMALL_UPLOADS + LARGE_UPLOADS)
        requests, token_request = google_session(client)
        for session in (requests, token_request.session):
            session.mount("https://", adapter)
            session.mount("http://", adapter)
        return client

    def _retry(self, stop: threading.Event | None = None) -> Any:
        from google.api_core.retry import Retry

        from .errors import is_transient

        def is_retried(error: BaseException) -> bool:
            return is_transient(error) and not (stop and stop.is_set())

        return Retry(predicate=is_retried, initial=0.25, maximum=5.0, timeout=self._retry_seconds)


def _info(key: str, blob: Any) -> BlobInfo:
    return BlobInfo.from_headers(
        key, int(blob.size), blob.time_created, blob.content_type, blob.content_disposition
    )


def _credentials(client_email: str, private_key: str, endpoint: str, credentials: Any) -> Any:
    """Return what logs in; None: the machine's own, which are looked up on first use."""
    if credentials is not None:
        from google.auth.credentials import with_scopes_if_required

        return with_scopes_if_required(credentials, SCOPES)
    if private_key and not client_email:
        raise ConfigurationError(
            "A private key needs the account that it belongs to; set APP_GCS_CLIENT_EMAIL, too"
        )
    if private_key:
        from google.oauth2 import service_account

        # ".env" files often hold the line ends of the key as "\\n", and some readers keep quotes.
        pem = private_key.strip().strip("\"'").replace("\\n", "\n")
        info = {"client_email": client_email, "private_key": pem, "token_uri": TOKEN_URI}
        try:
            return service_account.Credentials.from_service_account_info(info, scopes=SCOPES)
        except (ValueError, TypeError):  # Their message is dropped: it may quote the key.
            raise ConfigurationError(
                "The private key for Google Cloud Storage cannot be read; set APP_GCS_PRIVATE_KEY "
                "to the whole private_key of the service account's JSON file"
            ) from None
    host = urlsplit(endpoint).hostname or ""
    if not endpoint or host.endswith(GOOGLE_HOSTS):
        return None
    from google.auth.credentials import AnonymousCredentials

    return AnonymousCredentials()


def object_name(key: str) -> str:
    """Escape what an object's name must not or should not contain, as ``%XX``.

    Google refuses line ends and the folder ``.well-known/acme-challenge/``, and advises against
    control characters. A percent sign that would read as an escape is escaped, too; dots are
    left to `url_safe_key`. Different keys stay different, and usual ones stay unchanged.

    Source: https://cloud.google.com/storage/docs/objects#naming
    """
    name = _UNSAFE.sub(lambda match: f"%{ord(match[0]):02X}", url_safe_key(key))
    if name.startswith(_RESERVED):
        name = f"%2E{name[1:]}"
    key_bytes(name)
    return name


def key_of(name: str) -> str:
    """Undo `object_name`, for names that a bucket lists."""
    return original_key(_ESCAPE.sub(lambda match: chr(int(match[1], 16)), name))
