"""A bucket of Google Cloud Storage through Google's own client, which blocks; see `gcs`."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from typing import Any, BinaryIO
from urllib.parse import quote

import google_crc32c
from google.api_core.exceptions import NotFound, RequestRangeNotSatisfiable
from google.api_core.retry import Retry
from google.auth.credentials import AnonymousCredentials
from google.auth.transport.requests import Request
from google.cloud import storage
from requests.adapters import HTTPAdapter

from ..base import BlobInfo, BlobSource, source_errors
from ..headers import offered_name
from ..keys import key_behind
from ..worker_threads import Stopped
from .credentials import TOKEN_CREATOR, default_credentials, signer_for, signs_here
from .errors import REPAIRS, Place, bucket_is_missing, gcs_errors, may_pass
from .keys import key_of, object_name

GOOGLE = "https://storage.googleapis.com"
PART = 8 * 1024 * 1024
"""Bytes of a blob that are sent at once; a multiple of 256 KiB, as Google asks."""

PIECE = 4 * 1024 * 1024
"""Bytes of a blob that are read with one request."""

TIMEOUT = (10, 60)
"""Seconds to connect, and to wait for the next bytes of an answer."""

# In pure Python it takes seconds for a large blob, and holds the interpreter's lock.
_CHECKSUM = "crc32c" if google_crc32c.implementation == "c" else "md5"
_LISTED = "items(name,size,timeCreated,contentType,contentDisposition),nextPageToken"
_GRANT = (
    f"give this machine's service account the role {TOKEN_CREATOR} on the account that signs, "
    "enable the IAM Service Account Credentials API and correct APP_GCS_CLIENT_EMAIL, or set "
    "APP_GCS_PRIVATE_KEY, too"
)
_REFUSED_SIGNATURE = dict.fromkeys((400, 401, 403, 404), _GRANT)


class GoogleBucket:
    """The calls that `gcs.GCSStorage` makes in threads; usable from several at once.

    Args:
        place: The bucket and the server.
        project: The project; empty: nobody needs to know.
        client_email: The account that signs; empty: that of the credentials.
        credentials: Of google-auth; None: Application Default Credentials.
        expiry: Seconds until a link ends.
        retry_seconds: How long a request that fails is tried again.
        connections: Kept open at most.
    """

    def __init__(
        self,
        place: Place,
        *,
        project: str,
        client_email: str,
        credentials: Any,
        expiry: int,
        retry_seconds: float,
        connections: int,
    ) -> None:
        self.place = place
        self._project = project
        self._client_email = client_email
        self._given = credentials
        self._expiry = expiry
        self._retry_seconds = retry_seconds
        self._connections = connections
        self._lock = threading.Lock()
        self._client: Any = None
        self._credentials: Any = None
        self._signer: Any = None

    def write(
        self,
        key: str,
        name: str,
        source: BlobSource,
        *,
        mime: str,
        disposition: str,
        stop: threading.Event,
    ) -> int:
        """Upload a blob; large ones in parts.

        Args:
            key: The object key, for messages.
            name: What the object is called.
            source: Where the bytes come from.
            mime: The content type.
            disposition: The content disposition.
            stop: When it is set, the upload ends before its next part.

        Returns:
            The number of bytes.

        Raises:
            Stopped: `stop` was set.
        """
        with gcs_errors(f"write {key!r}", self.place, REPAIRS), ExitStack() as opened:
            with source_errors(key):
                size = source.size
                file = opened.enter_context(source.reader())
            blob = self._blob(name, chunk_size=PART)
            blob.content_disposition = disposition
            blob.upload_from_file(
                _Watched(file, key, size, stop),
                size=size,
                content_type=mime,
                checksum=_CHECKSUM,
                retry=self._retry(stop),
                timeout=TIMEOUT,
            )
            return size

    def read(self, key: str, name: str) -> Iterator[bytes]:
        """Read a blob in pieces, of the state that it has when the first is read.

        Args:
            key: The object key, for messages.
            name: What the object is called.
        """
        with gcs_errors(f"read {key!r}", self.place):
            blob, start = self._blob(name), 0  # It remembers the generation for the next piece.
            while True:
                try:
                    piece = blob.download_as_bytes(
                        start=start,
                        end=start + PIECE - 1,
                        raw_download=True,
                        checksum=None,  # Google knows that of the whole only.
                        retry=self._retry(),
                        timeout=TIMEOUT,
                    )
                except RequestRangeNotSatisfiable:  # There is nothing from here on.
                    return
                yield piece
                if len(piece) < PIECE:
                    return
                start += PIECE

    def remove(self, key: str, name: str) -> None:
        """Delete a blob; one that is not there is no error."""
        with gcs_errors(f"delete {key!r}", self.place, REPAIRS):
            try:
                self._blob(name).delete(retry=self._retry(), timeout=TIMEOUT)
            except NotFound as error:
                if bucket_is_missing(error):
                    raise

    def pages(self, below: str) -> Iterator[list[BlobInfo]]:
        """List the blobs that have keys, a thousand with each request.

        Args:
            below: What their names begin with; it is taken off the keys.
        """
        with gcs_errors("list the blobs", self.place, REPAIRS):
            bucket = self._bucket()
            found = bucket.client.list_blobs(
                bucket, prefix=below, fields=_LISTED, retry=self._retry(), timeout=TIMEOUT
            )
            for page in found.pages:
                keyed = [(key_behind(blob.name, key_of, object_name), blob) for blob in page]
                infos = [_info(blob, key.removeprefix(key_of(below))) for key, blob in keyed]
                yield [info for info in infos if info.key]

    def look_up(self, key: str, name: str) -> BlobInfo:
        """Look one blob up."""
        with gcs_errors(f"look up {key!r}", self.place):
            blob = self._blob(name)
            blob.reload(retry=self._retry(), timeout=TIMEOUT)
            return _info(blob, key)

    def signer(self) -> Any:
        """Find who signs links.

        Returns:
            For `link`; None where an emulator stands for Google, which checks none.

        Raises:
            StorageError: There is nobody.
        """
        with gcs_errors("sign links", self.place, REPAIRS):
            client = self._connected()
            if isinstance(self._credentials, AnonymousCredentials):
                return None
            if not signs_here(self._credentials, self._client_email):
                client = self._bucket().client  # With a token, which tells whose it is.
            if self._signer is None:
                self._signer = signer_for(
                    self._credentials, self._client_email, client._http, self._retry()
                )
            return self._signer

    @property
    def signs_here(self) -> bool:
        """Whether links are signed by computing alone, once `signer` was called."""
        return self._signer is None or signs_here(self._credentials, self._client_email)

    def link(self, name: str, signer: Any) -> str:
        """Sign a link to an object.

        Args:
            name: What the object is called.
            signer: Of `signer`.
        """
        endpoint = self.place.endpoint or GOOGLE
        if signer is None:
            return f"{endpoint}/{self.place.bucket}/{quote(name, safe='/~')}"
        with gcs_errors("sign links", self.place, _REFUSED_SIGNATURE):
            blob = self._connected().bucket(self.place.bucket).blob(name)
            url: str = blob.generate_signed_url(
                version="v4",
                expiration=timedelta(seconds=self._expiry),
                api_access_endpoint=endpoint,
                credentials=signer,
            )
            return url

    def close(self) -> None:
        """Close the connections; the next call opens new ones."""
        with self._lock:
            client, self._client, self._signer = self._client, None, None
        if client is not None:
            client._http.close()

    def _blob(self, name: str, **options: Any) -> Any:
        return self._bucket().blob(name, **options)

    def _bucket(self) -> Any:
        """Return the bucket, for requests."""
        client = self._connected()
        with self._lock:  # So that of many threads one renews the token, and not each.
            if not self._credentials.valid:
                self._credentials.refresh(Request(session=client._http._auth_request.session))
        return client.bucket(self.place.bucket)

    def _connected(self) -> Any:
        """Return the client, for what needs no token."""
        with self._lock:
            if self._client is None:
                self._client = self._connect()
            return self._client

    def _connect(self) -> Any:
        if self._credentials is None:
            self._credentials = self._given or default_credentials()
        endpoint = self.place.endpoint
        client = storage.Client(
            project=self._project or None,
            credentials=self._credentials,
            client_options={"api_endpoint": endpoint} if endpoint else None,
        )
        adapter = HTTPAdapter(pool_maxsize=self._connections)
        for scheme in ("https://", "http://"):
            client._http.mount(scheme, adapter)
        return client

    def _retry(self, stop: threading.Event | None = None) -> Retry:
        def again(error: BaseException) -> bool:
            return may_pass(error) and not (stop and stop.is_set())

        return Retry(predicate=again, initial=0.25, maximum=5.0, timeout=self._retry_seconds)


class _Watched:
    """A file that ends an upload when its caller gave up, or when it is too short."""

    def __init__(self, file: BinaryIO, key: str, size: int, stop: threading.Event) -> None:
        self._file = file
        self._key = key
        self._size = size
        self._stop = stop

    def read(self, size: int = -1) -> bytes:
        if self._stop.is_set():
            raise Stopped
        with source_errors(self._key):
            left = self._size - self._file.tell()
            wanted = left if size < 0 else min(size, left)
            data = self._file.read(wanted)
            if len(data) < wanted:
                raise ValueError("it became shorter meanwhile")
        return data

    def tell(self) -> int:
        return self._file.tell()

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)


def _info(blob: Any, key: str) -> BlobInfo:
    return BlobInfo(
        key,
        int(blob.size),
        blob.time_created,
        blob.content_type or "",
        offered_name(blob.content_disposition or ""),
    )
