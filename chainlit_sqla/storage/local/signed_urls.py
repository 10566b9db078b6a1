"""Signed, expiring links to local files; pure functions of a key and a clock."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re

_EXPIRY, _SIGNATURE = 8, 32
# 72 bytes are 96 characters of base64 without padding, so each link has one spelling.
_TOKEN = re.compile(r"[A-Za-z0-9_-]{96}", re.ASCII)
_PURPOSE = b"chainlit-sqla: links to local files, version 1"


class LinkError(ValueError):
    """The link was altered, was signed with another key, or has expired."""


def signing_key(secret: bytes) -> bytes:
    """Derive the key that signs links from a secret that has other uses as well.

    Args:
        secret: Any number of bytes that nobody can guess.

    Returns:
        32 bytes.
    """
    return hmac.digest(secret, _PURPOSE, "sha256")


def blob_digest(key: bytes) -> bytes:
    """Hash an object key: it names the file, and stands in links instead of the key.

    Args:
        key: The object key in UTF-8.

    Returns:
        32 bytes.
    """
    return hashlib.sha256(key).digest()


def sign(digest: bytes, expires: int, key: bytes) -> str:
    """Make the last part of a link.

    Args:
        digest: The `blob_digest` of the object key.
        expires: Seconds since 1970 at which the link ends.
        key: The `signing_key`.

    Returns:
        96 characters that are safe in a path.
    """
    payload = expires.to_bytes(_EXPIRY, "big") + digest
    return base64.urlsafe_b64encode(payload + hmac.digest(key, payload, "sha256")).decode()


def verify(token: str, now: float, key: bytes) -> bytes:
    """Check a link made by `sign`.

    Args:
        token: What the client sent.
        now: Seconds since 1970.
        key: The `signing_key`.

    Returns:
        The `blob_digest` that the link is for.

    Raises:
        LinkError: The link must not be served.
    """
    if not _TOKEN.fullmatch(token):
        raise LinkError
    raw = base64.urlsafe_b64decode(token)
    payload, signature = raw[:-_SIGNATURE], raw[-_SIGNATURE:]
    expected = hmac.digest(key, payload, "sha256")
    if not hmac.compare_digest(signature, expected):
        raise LinkError
    if now >= int.from_bytes(payload[:_EXPIRY], "big"):
        raise LinkError
    return payload[_EXPIRY:]
