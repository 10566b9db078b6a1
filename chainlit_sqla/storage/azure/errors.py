"""What the exceptions of the Azure SDK mean."""

from __future__ import annotations

import re
from contextlib import AbstractContextManager
from typing import Any

from azure.core.exceptions import AzureError, ClientAuthenticationError, HttpResponseError

from ..cloud import Failure, cloud_errors, one_line

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
}
_MISSING = ("BlobNotFound", "404")
_TRANSIENT = ("ServerBusy", "OperationTimedOut", "InternalError", "429", "408")
_ENTRA_CODE = re.compile(r"AADSTS\d+: [^\n.]*")
_UNKNOWN_HOST = re.compile(r"NameResolutionError|Failed to resolve|getaddrinfo|Name or service")
_LENGTH = 200


def azure_errors(action: str, location: str) -> AbstractContextManager[None]:
    """Turn the exceptions of the SDK into errors of ours; see `cloud_errors`."""
    return cloud_errors(action, location, (AzureError,), _explain)


def _explain(error: Any) -> Failure:
    message = _message(error)
    if not isinstance(error, HttpResponseError):
        repair = "check the endpoint and the network"
        if _UNKNOWN_HOST.search(str(error)):
            repair = "correct APP_AZURE_STORAGE_ACCOUNT or check the network"
        return Failure(message, repair, transient=True)
    code, status = _code(error)
    # Errors of azure-identity are of this class, too, but carry no answer of the store.
    if not error.response or (isinstance(error, ClientAuthenticationError) and status < 401):
        return Failure(message, f"set {_KEY}, or {_IDENTITY}")
    message = f"{code} ({message})"
    if code in _TRANSIENT or (status >= 500 and status != 501):
        return Failure(message, "try again later", transient=True)
    repair = _REPAIRS.get(code, "look at the container and the account in the Azure portal")
    return Failure(message, repair, missing=code in _MISSING)


def _code(error: HttpResponseError) -> tuple[str, int]:
    status = int(error.status_code or 0)
    code = getattr(error, "error_code", None)
    return str(getattr(code, "value", code) or status), status


def _message(error: BaseException) -> str:
    """Take what matters out of a text of many lines, with ids, times and advice."""
    text = str(error).strip()
    if match := _ENTRA_CODE.search(text):
        return one_line(match[0], _LENGTH)
    return one_line(text.splitlines()[0], _LENGTH) if text else type(error).__name__
