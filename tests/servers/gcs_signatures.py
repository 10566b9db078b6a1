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
NEEDED = (
    "X-Goog-Algorithm",
    "X-Goog-Credential",
    "X-Goog-Date",
    "X-Goog-Expires",
    "X-Goog-SignedHeaders",
    "X-Goog-Signature",
)


class Refused(Exception):
    """A link is no good: it was altered, has expired, or was never signed."""

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
) -> None:
    """Check a signed link; the names of headers are in small letters."""
    path, _, query = target.partition("?")
    given = dict(parse_qsl(query, keep_blank_values=True))
    if any(name not in given for name in NEEDED):
        raise Refused(403, "AccessDenied")
    email, _, scope = given["X-Goog-Credential"].partition("/")
    begun = datetime.strptime(given["X-Goog-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
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
