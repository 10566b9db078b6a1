"""Checks signed links as Google does: V4, GOOG4-RSA-SHA256.

Source: https://cloud.google.com/storage/docs/authentication/canonical-requests
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl, quote, unquote

from .gcs_identity import Account

ALGORITHM = "GOOG4-RSA-SHA256"
LONGEST = 604_800
NEEDED = (
    "X-Goog-Algorithm",
    "X-Goog-Credential",
    "X-Goog-Date",
    "X-Goog-Expires",
    "X-Goog-SignedHeaders",
    "X-Goog-Signature",
)


class Refused(Exception):
    """A link is no good.

    Args:
        status: The HTTP status.
        code: As in Google's XML.
    """

    def __init__(self, status: int, code: str) -> None:
        super().__init__(code)
        self.status = status
        self.code = code


def check_link(
    method: str,
    target: str,
    headers: Mapping[str, str],
    accounts: Mapping[str, Account],
    now: datetime,
) -> str:
    """Check a signed link.

    Args:
        method: Of the request.
        target: Path and query, as they came.
        headers: Of the request, with names in small letters.
        accounts: Who may sign, by e-mail address.
        now: The time, in UTC.

    Returns:
        The e-mail address of the account that signed.

    Raises:
        Refused: The link was altered, has expired, or was never signed.
    """
    path, _, query = target.partition("?")
    given = dict(parse_qsl(query, keep_blank_values=True))
    if any(name not in given for name in NEEDED):
        raise Refused(403, "AccessDenied")
    email, _, scope = given["X-Goog-Credential"].partition("/")
    begun = _begin(given, scope, now)
    signature = given.pop("X-Goog-Signature")
    message = "\n".join(
        [ALGORITHM, given["X-Goog-Date"], scope, _request_hash(method, path, given, headers)]
    )
    account = accounts.get(email)
    well_formed = re.fullmatch(r"[0-9a-f]{512}", signature)
    if not (account and well_formed and account.signed(bytes.fromhex(signature), message.encode())):
        raise Refused(403, "SignatureDoesNotMatch")
    if now > begun + timedelta(seconds=int(given["X-Goog-Expires"])):
        raise Refused(400, "ExpiredToken")
    return email


def _begin(given: Mapping[str, str], scope: str, now: datetime) -> datetime:
    """Check the parts that say when and for what a link was signed."""
    begun = datetime.strptime(given["X-Goog-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    if given["X-Goog-Algorithm"] != ALGORITHM or not given["X-Goog-Expires"].isdecimal():
        raise Refused(400, "InvalidArgument")
    if not 0 < int(given["X-Goog-Expires"]) <= LONGEST or begun > now + timedelta(minutes=15):
        raise Refused(400, "InvalidArgument")
    if not re.fullmatch(rf"{begun:%Y%m%d}/[a-z0-9-]+/storage/goog4_request", scope):
        raise Refused(400, "InvalidArgument")
    if "host" not in given["X-Goog-SignedHeaders"].split(";"):
        raise Refused(400, "InvalidArgument")
    return begun


def _request_hash(
    method: str, path: str, query: Mapping[str, str], headers: Mapping[str, str]
) -> str:
    signed = query["X-Goog-SignedHeaders"]
    pairs = sorted((quote(k, safe="~"), quote(v, safe="~")) for k, v in query.items())
    canonical = [
        method,
        quote(unquote(path), safe="/~"),
        "&".join(f"{name}={value}" for name, value in pairs),
        *(f"{name}:{' '.join(headers.get(name, '').split())}" for name in signed.split(";")),
        "",
        signed,
        "UNSIGNED-PAYLOAD",
    ]
    return hashlib.sha256("\n".join(canonical).encode()).hexdigest()
