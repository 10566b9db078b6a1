"""Blobs in a container of Azure Blob Storage."""

from __future__ import annotations

import base64
import logging
import re
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

from ...errors import ConfigurationError
from ..base import BlobInfo
from ..blocking import BlockingStorage, UploadFile
from ..cloud import (
    SMALLER_FILE,
    TOO_LARGE,
    Failure,
    check_arguments,
    check_installed,
    cloud_errors,
    extra_needed,
    one_line,
)
from ..keys import UnusableKey, key_behind, original_key, url_safe_key

BLOCK = 4 * 1024 * 1024
"""Bytes of a block; Azure takes 50,000 of them, so blobs of up to 195 GB."""

BLOCKS = 2
"""Blocks of one upload that are sent concurrently."""

SINGLE_PUT = 1024 * 1024
"""Bytes up to which a blob goes in one request."""

PIECE = 4 * 1024 * 1024
"""Bytes that one request reads."""

PAGE = 500
"""Blobs listed with one request."""

LONGEST_EXPIRY = 10 * 365 * 24 * 3600
LONGEST_DELEGATED_EXPIRY = 6 * 24 * 3600
"""For links signed with a user delegation key: it is valid for a week, and serves for a day."""

CONNECT_SECONDS = 10
READ_SECONDS = 60
_SKEW = timedelta(minutes=15)
_DELEGATION = timedelta(days=7)

# The SDK logs each request at INFO, and nothing of its own above that.
_quiet = logging.getLogger("chainlit_sqla.azure")
_quiet.setLevel(logging.WARNING)

NAME_LENGTH = 1024
"""Characters of a blob's name at most."""
SEGMENTS = 254
"""Parts between slashes that a name has at most."""

# Control characters, what Windows takes for a slash, and what is no character.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\\\\\ue000-\uf8ff\ufdd0-\ufdef\ufffe\uffff]")
_ESCAPE_LIKE = re.compile("~(?=[0-9A-F]{2})")
_EMPTY_SEGMENT = re.compile(r"(?<![^/])/|/\Z")
_LAST_DOT = re.compile(r"\.(?=/|\Z)")
_ESCAPES = re.compile("(?:~[0-9A-F]{2})+")

_KEY = "APP_AZURE_STORAGE_ACCESS_KEY"
_ROLES = "'Storage Blob Data Contributor' and, for links, 'Storage Blob Delegator'"
_IDENTITY = "give this machine an identity (managed or workload identity, az login)"
_REPAIRS = {
    "ContainerNotFound": "create the container or correct BUCKET_NAME or the storage URL",
    "ContainerDisabled": "enable the container or correct BUCKET_NAME or the storage URL",
    "ContainerBeingDeleted": "create the container again or correct BUCKET_NAME or the storage URL",
    "InvalidResourceName": "correct BUCKET_NAME or the storage URL",
    "AuthenticationFailed": f"correct {_KEY}, or set the clock of this machine",
    "InvalidAuthenticationInfo": f"correct {_KEY}, or renew the identity of this machine",
    "NoAuthenticationInformation": f"set {_KEY}, or {_IDENTITY}",
    "KeyBasedAuthenticationNotPermitted": f"unset {_KEY} and {_IDENTITY}",
    "AuthorizationFailure": f"correct {_KEY}, or let this machine through the account's network "
    f"rules and give its identity the roles {_ROLES}",
    "AuthorizationPermissionMismatch": f"give this identity the roles {_ROLES}",
    "InsufficientAccountPermissions": f"give this identity the roles {_ROLES}",
    "AccountIsDisabled": "enable the account or correct APP_AZURE_STORAGE_ACCOUNT",
    "BlobImmutableDueToPolicy": "wait until the immutability policy of the container ends",
    "LeaseIdMissing": "end the lease of the blob",
    "BlockListTooLong": "store a file of at most 195 GB",
    "RequestBodyTooLarge": SMALLER_FILE,
    "413": SMALLER_FILE,
}
_MISSING = ("BlobNotFound", "404")
_REJECTED = ("BlockListTooLong", "RequestBodyTooLarge")
_TRANSIENT = ("ServerBusy", "OperationTimedOut", "InternalError", "429", "408")
_ENTRA_CODE = re.compile(r"AADSTS\d+: [^\n.]*")
_MESSAGE_LENGTH = 200
_EXTRA = "Azure Blob Storage", "azure"
_UNKNOWN_HOST = re.compile(r"NameResolutionError|Failed to resolve|getaddrinfo|Name or service")


class AzureStorage(BlockingStorage):
    """An `Inventory` over a container of an Azure storage account.

    Without a key, ``DefaultAzureCredential`` gets the tokens: from a workload identity, a
    managed identity, the environment or ``az login``. That identity needs the roles
    "Storage Blob Data Contributor" and, for links, "Storage Blob Delegator".

    Where the account has soft delete or versioning, it keeps what is deleted here until
    the time that is set there has passed.

    Args:
        container: The container; it must exist.
        account: The storage account.
        key: One of the account's two keys; empty: `credential`.
        prefix: Put before all keys, with a "/" between.
        endpoint: The URL of the blob service where it is not
            ``https://{account}.blob.core.windows.net``: of another cloud, a custom domain,
            or Azurite (``http://127.0.0.1:10000/devstoreaccount1``).
        expiry: Seconds until a link ends; six days at most without a key.
        credential: A token credential, such as those of ``azure.identity``, which the
            caller closes; None: ``DefaultAzureCredential``.
        attempts: How often a request is sent until it has failed.
        clock: The time in seconds since 1970, for links.

    Raises:
        ConfigurationError: An argument cannot work.
        MissingExtraError: The packages of the extra ``azure`` are not installed.

    Example:
        ``AzureStorage("attachments", account="acme", key="...")``
    """

    def __init__(
        self,
        container: str,
        *,
        account: str,
        key: str = "",
        prefix: str = "",
        endpoint: str = "",
        expiry: int = 3600,
        credential: Any = None,
        attempts: int = 4,
        clock: Callable[[], float] = time.time,
    ) -> None:
        needs_identity = not key and credential is None
        modules = ("azure.storage.blob", "azure.identity")[: 1 + needs_identity]
        check_installed(*_EXTRA, *modules)
        _check_arguments(container, account, key, endpoint, expiry)
        endpoint = endpoint.rstrip("/")
        at = f" at {endpoint}" if endpoint else ""
        super().__init__(
            f"Azure container {container!r} of the account {account!r}{at}", prefix, blob_name
        )
        self._names = account, container
        self._url = endpoint or f"https://{account}.blob.core.windows.net"
        self._key = key
        self._credential = credential
        self._own_credential: Any = None
        self._expiry = expiry
        self._attempts = attempts
        self._clock = clock
        self._delegation: tuple[Any, float] = None, 0.0
        """A user delegation key, and the time when it ends."""

    def _errors(self, action: str) -> AbstractContextManager[None]:
        with extra_needed(*_EXTRA):
            from azure.core.exceptions import AzureError

        return cloud_errors(action, self.location, (AzureError, OSError), _explain)

    def _upload(self, name: str, file: UploadFile, mime: str, disposition: str) -> None:
        with extra_needed(*_EXTRA):
            from azure.storage.blob import ContentSettings

        self._container().get_blob_client(name).upload_blob(
            file,
            length=file.size,
            overwrite=True,
            max_concurrency=BLOCKS,
            content_settings=ContentSettings(content_type=mime, content_disposition=disposition),
        )

    def _download(self, key: str, name: str) -> Iterator[bytes]:
        with self._errors(f"read {key!r}"):
            yield from self._container().download_blob(name).chunks()

    def _remove(self, name: str) -> None:
        self._container().delete_blob(name, delete_snapshots="include")

    def _pages(self) -> Iterator[list[BlobInfo]]:
        below = f"{self._prefix}/" if self._prefix else ""
        start = self._name("x")[:-1] or None
        with self._errors("list the blobs"):
            blobs = self._container().list_blobs(start, results_per_page=PAGE)
            for page in blobs.by_page():
                keys = ((key_behind(blob.name, key_of, blob_name), blob) for blob in page)
                yield [
                    _info(key.removeprefix(below), blob)
                    for key, blob in keys
                    if key.startswith(below) and key != below
                ]

    def _look_up(self, key: str, name: str) -> BlobInfo:
        with self._errors(f"look up {key!r}"):
            return _info(key, self._container().get_blob_client(name).get_blob_properties())

    def _signer(self) -> tuple[Callable[[str], str], bool]:
        with extra_needed(*_EXTRA):
            from azure.storage.blob import BlobSasPermissions, generate_blob_sas

        secret: dict[str, Any] = {"account_key": self._key}
        expiry = datetime.fromtimestamp(self._clock() + self._expiry, UTC)
        if not self._key:
            with self._errors("sign links"):
                secret = {"user_delegation_key": self._delegation_key(expiry.timestamp())}

        # No link says when it begins, so a clock ahead of Azure's makes none that is not
        # valid yet; a delegation key begins a quarter of an hour ago for the same reason.
        def sign(name: str) -> str:
            signature = generate_blob_sas(
                *self._names,
                name,
                permission=BlobSasPermissions(read=True),
                expiry=expiry,
                protocol="https" if self._url.startswith("https:") else "https,http",
                **secret,
            )
            return f"{self._url}/{self._names[1]}/{quote(name, safe='/~')}?{signature}"

        return sign, True

    def _delegation_key(self, until: float) -> Any:
        """Return a user delegation key that does not end before a time.

        Source: https://learn.microsoft.com/rest/api/storageservices/create-user-delegation-sas
        """
        service = self._connected()
        with self._lock:
            key, end = self._delegation
            if until > end:
                begin = datetime.fromtimestamp(self._clock(), UTC) - _SKEW
                key = service.get_user_delegation_key(begin, begin + _DELEGATION)
                self._delegation = key, (begin + _DELEGATION).timestamp()
            return key

    def _disconnect(self, client: Any) -> None:
        with self._lock:
            credential, self._own_credential = self._own_credential, None
            self._delegation = None, 0.0
        for connection in filter(None, (client, credential)):
            connection.close()

    def _container(self) -> Any:
        return self._connected().get_container_client(self._names[1])

    def _connect(self) -> Any:
        with extra_needed(*_EXTRA):
            from azure.storage.blob import BlobServiceClient, LinearRetry

        credential = self._credential
        if self._key:
            credential = {"account_name": self._names[0], "account_key": self._key}
        elif credential is None:
            credential = self._own_credential = _default_credential()
        return BlobServiceClient(
            self._url,
            credential,
            # The SDK's default begins with a pause of 15 seconds; `uploads` waits longer.
            retry_policy=LinearRetry(
                backoff=1, retry_total=self._attempts - 1, random_jitter_range=1
            ),
            connection_timeout=CONNECT_SECONDS,
            read_timeout=READ_SECONDS,
            max_single_put_size=SINGLE_PUT,
            max_block_size=BLOCK,
            min_large_block_upload_threshold=1,  # Blocks are read while they are sent.
            max_single_get_size=PIECE,
            max_chunk_get_size=PIECE,
            logger=_quiet,
        )


def _default_credential() -> Any:
    with extra_needed(*_EXTRA):
        from azure.identity import DefaultAzureCredential

    try:
        return DefaultAzureCredential()
    except ValueError as error:
        raise ConfigurationError(
            f"The variables AZURE_* of this machine cannot be used ({error}); correct them, or "
            "set APP_AZURE_STORAGE_ACCESS_KEY"
        ) from error


def _info(key: str, blob: Any) -> BlobInfo:
    headers = blob.content_settings
    return BlobInfo.from_headers(
        key, blob.size, blob.last_modified, headers.content_type, headers.content_disposition
    )


def _check_arguments(container: str, account: str, key: str, endpoint: str, expiry: int) -> None:
    if not re.fullmatch("[a-z0-9]{3,24}", account):  # It becomes a part of the host.
        raise ConfigurationError(
            "Azure Blob Storage needs the name of a storage account, 3 to 24 lower-case letters "
            "and digits; set APP_AZURE_STORAGE_ACCOUNT"
        )
    try:
        base64.b64decode(key, validate=True)
    except ValueError:
        raise ConfigurationError(
            "The key of the Azure storage account is not base64, so it is not whole; correct "
            "APP_AZURE_STORAGE_ACCESS_KEY"
        ) from None
    longest = LONGEST_EXPIRY if key else LONGEST_DELEGATED_EXPIRY
    check_arguments("Azure Blob Storage", "az", container, endpoint, expiry, longest)
    if not key and endpoint.startswith("http:"):
        raise ConfigurationError(
            f"Azure takes no token over {endpoint!r}; use https, or set "
            "APP_AZURE_STORAGE_ACCESS_KEY"
        )


def blob_name(key: str) -> str:
    """Escape what the name of a blob must not contain.

    Azure refuses control characters and more than 254 parts, reads a backslash as a
    slash, drops dots at the end of a part and slashes at the end of the name, and with a
    hierarchical namespace knows no empty parts. Such characters become ``~XX``, the
    hexadecimal of their bytes in UTF-8; so does a ``~`` that would read as an escape.
    Different keys stay different, and usual ones stay unchanged.

    Source: https://learn.microsoft.com/rest/api/storageservices/naming-and-referencing-containers--blobs--and-metadata
    """
    name = _ESCAPE_LIKE.sub(_escape, url_safe_key(key))
    for pattern in (_UNSAFE, _EMPTY_SEGMENT, _LAST_DOT):
        name = pattern.sub(_escape, name)
    parts = name.split("/", SEGMENTS - 1)
    name = "/".join([*parts[:-1], parts[-1].replace("/", "~2F")])
    if len(name) > NAME_LENGTH:
        raise UnusableKey(
            f"The object key {key[:80]!r} has {len(name):,} characters once those that Azure "
            f"refuses are written as codes; use one of 1 to {NAME_LENGTH:,} characters then"
        )
    return name


def key_of(name: str) -> str:
    """Undo `blob_name`, for names that a container lists."""
    return original_key(_ESCAPES.sub(_unescape, name))


def _escape(match: re.Match[str]) -> str:
    return "".join(f"~{byte:02X}" for byte in match[0].encode())


def _unescape(match: re.Match[str]) -> str:
    try:
        return bytes.fromhex(match[0].replace("~", "")).decode()
    except UnicodeDecodeError:
        return match[0]


def _explain(error: Any) -> Failure:
    from azure.core.exceptions import ClientAuthenticationError, HttpResponseError

    message = _message(error)
    if not isinstance(error, HttpResponseError):
        repair = "check the endpoint and the network"
        if _UNKNOWN_HOST.search(str(error)):
            repair = "correct APP_AZURE_STORAGE_ACCOUNT or check the network"
        return Failure(message, repair, transient=True)
    status = int(error.status_code or 0)
    code = getattr(error, "error_code", None)
    code = str(getattr(code, "value", code) or status)
    # Errors of azure-identity are of this class, too, but carry no answer of the store.
    if not error.response or (isinstance(error, ClientAuthenticationError) and status < 401):
        return Failure(message, f"set {_KEY}, or {_IDENTITY}")
    message = f"{code} ({message})"
    if code in _TRANSIENT or (status >= 500 and status != 501):
        return Failure(message, "try again later", transient=True)
    repair = _REPAIRS.get(code, "look at the container and the account in the Azure portal")
    rejected = code in _REJECTED or status in TOO_LARGE
    return Failure(message, repair, missing=code in _MISSING, rejected=rejected)


def _message(error: BaseException) -> str:
    """Take what matters out of a text of many lines, with ids, times and advice."""
    text = str(error).strip()
    if match := _ENTRA_CODE.search(text):
        return one_line(match[0], _MESSAGE_LENGTH)
    return one_line(text.splitlines()[0], _MESSAGE_LENGTH) if text else type(error).__name__
