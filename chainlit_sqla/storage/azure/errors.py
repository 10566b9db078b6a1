"""The one place where errors of the Azure SDK become errors of ours."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ...errors import BlobNotFound, StorageError, StorageUnavailable

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
}
_NOT_FOUND = ("BlobNotFound", "404")
_LATER = ("ServerBusy", "OperationTimedOut", "InternalError", "429", "408")
_SAID_LENGTH = 200
_ENTRA_CODE = re.compile(r"AADSTS\d+: [^\n.]*")


@dataclass(frozen=True, slots=True)
class Place:
    """Where blobs are, as errors name it.

    Args:
        container: The container.
        account: The storage account.
        endpoint: The URL of the service where it is not Azure's usual one, else empty.
    """

    container: str
    account: str
    endpoint: str

    def __str__(self) -> str:
        at = f" at {self.endpoint}" if self.endpoint else ""
        return f"Azure container {self.container!r} of the account {self.account!r}{at}"


@contextmanager
def azure_errors(doing: str, place: Place) -> Iterator[None]:
    """Turn errors of the Azure SDK into a StorageError that says the repair.

    Args:
        doing: What fails, such as ``"write 'a.png'"``.
        place: The container.

    Raises:
        BlobNotFound: The service knows no such blob.
        StorageUnavailable: The service cannot be reached, or is busy or broken.
        StorageError: For every other error of the service or on the way to it.
    """
    import aiohttp
    from azure.core.exceptions import AzureError, HttpResponseError

    try:
        yield
    except HttpResponseError as error:
        # Errors of azure-identity are of this class, too, but carry no answer of the store.
        raise _refused(doing, place, error) from error
    except (AzureError, aiohttp.ClientError, TimeoutError) as error:
        raise _away(doing, place, error) from error


def _refused(doing: str, place: Place, error: Any) -> StorageError:
    from azure.core.exceptions import ClientAuthenticationError

    code, status = _code(error)
    cannot = f"Cannot {doing} in the {place}"
    if code in _NOT_FOUND:
        return BlobNotFound(f"{cannot}: there is no such blob; it was deleted or never stored")
    if code in _LATER or (status >= 500 and status != 501):
        return StorageUnavailable(f"{cannot}: {code} ({_said(error)}); try again later")
    if not error.response or (isinstance(error, ClientAuthenticationError) and status < 401):
        return StorageError(f"{cannot}: {_said(error)}; set {_KEY}, or {_IDENTITY}")
    repair = _REPAIRS.get(code, "look at the container and the account in the Azure portal")
    return StorageError(f"{cannot}: {code} ({_said(error)}); {repair}")


def _away(doing: str, place: Place, error: BaseException) -> StorageError:
    repair = "check the endpoint and the network"
    if _cause(error, socket.gaierror):
        repair = "correct APP_AZURE_STORAGE_ACCOUNT or check the network"
    return StorageUnavailable(f"Cannot {doing} in the {place}: {_said(error)}; {repair}")


def _code(error: Any) -> tuple[str, int]:
    status = int(error.status_code or 0)
    code = getattr(error, "error_code", None)
    return str(getattr(code, "value", code) or status), status


def _said(error: BaseException) -> str:
    """Take what matters out of a text of many lines, with ids, times and advice."""
    text = str(error).strip()
    if found := _ENTRA_CODE.search(text):
        return found[0][:_SAID_LENGTH]
    line = text.splitlines()[0].strip().rstrip(".") if text else type(error).__name__
    return line if len(line) <= _SAID_LENGTH else f"{line[:_SAID_LENGTH]}…"


def _cause(error: BaseException | None, kind: type[BaseException]) -> bool:
    seen = 0
    while error is not None and seen < 10:
        if isinstance(error, kind) or isinstance(getattr(error, "os_error", None), kind):
            return True
        error, seen = error.__cause__ or error.__context__, seen + 1
    return False
