"""Links to blobs in S3: botocore signs the first, the others are made after its pattern.

Botocore resolves the endpoint and builds a whole request for each link, which takes a tenth
of a millisecond of the event loop; what the signature itself needs is a hundredth. Where the
pattern would be wrong (a bucket that is signed for in another way, a signer of somebody
else's), botocore signs all.

Source: https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from collections.abc import Awaitable, Callable, Sequence
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

_SIGNED_AT_ONCE = 8
_MADE_AT_ONCE = 64
"""Links between two turns of the event loop: half a millisecond of computing."""

_SIGNATURE = "&X-Amz-Signature="
_PORTS = {"http": 80, "https": 443}


class Pattern:
    """Makes links that differ from one that is signed in their key only.

    Args:
        url: A link by botocore.
        key: The key that it is for.
        secret: The secret key that it was signed with.

    Raises:
        ValueError: It is not such a link, or it was signed in another way.

    Example:
        >>> Pattern(url, "a.png", secret).link("b.png")
    """

    def __init__(self, url: str, key: str, secret: str) -> None:
        parts = urlsplit(url)
        path = _quoted(key)
        query, _, _ = parts.query.partition(_SIGNATURE)
        fields = parse_qs(query)
        if not parts.path.endswith(f"/{path}") or "X-Amz-Credential" not in fields:
            raise ValueError("not a link that is signed with Signature Version 4")
        self._path = parts.path[: -len(path)]
        self._start = f"{parts.scheme}://{parts.netloc}{self._path}"
        self._end = f"?{query}{_SIGNATURE}"
        scope = "/".join(fields["X-Amz-Credential"][0].split("/")[-4:])  # Behind the key's id.
        self._signed = f"AWS4-HMAC-SHA256\n{fields['X-Amz-Date'][0]}\n{scope}\n"
        canonical = "&".join(sorted(query.split("&")))
        self._request = f"\n{canonical}\nhost:{_host(url)}\n\nhost\nUNSIGNED-PAYLOAD"
        self._key = _signing_key(secret, scope)
        if self.link(key) != url:
            raise ValueError("signed in another way")

    def link(self, key: str) -> str:
        """Sign a link to another blob, for the same moment and as long.

        Args:
            key: A key of the bucket.
        """
        path = _quoted(key)
        request = f"GET\n{self._path}{path}{self._request}"
        signed = self._signed + hashlib.sha256(request.encode()).hexdigest()
        signature = hmac.digest(self._key, signed.encode(), "sha256").hex()
        return f"{self._start}{path}{self._end}{signature}"


async def links(client: Any, bucket: str, keys: Sequence[str], expiry: int) -> list[str]:
    """Sign links to read blobs.

    Args:
        client: An S3 client of aiobotocore.
        bucket: The bucket.
        keys: The keys in it.
        expiry: Seconds until the links end.

    Returns:
        The links, in the order of the keys.
    """

    def sign(key: str) -> Awaitable[str]:
        target = {"Bucket": bucket, "Key": key}
        signed: Awaitable[str] = client.generate_presigned_url(
            "get_object", Params=target, ExpiresIn=expiry
        )
        return signed

    if len(keys) < 2:
        return [await sign(key) for key in keys]
    secret = await _secret_key(client)
    found = [await sign(keys[0])]
    try:
        pattern = Pattern(found[0], keys[0], secret)
    except ValueError:
        return found + await _all(keys[1:], sign)
    return found + await _made(keys[1:], pattern.link)


async def _all(keys: Sequence[str], sign: Callable[[str], Awaitable[str]]) -> list[str]:
    found = []
    for number, key in enumerate(keys, start=1):
        found.append(await sign(key))
        if number % _SIGNED_AT_ONCE == 0:  # It is all computing: let others run too.
            await asyncio.sleep(0)
    return found


async def _made(keys: Sequence[str], link: Callable[[str], str]) -> list[str]:
    found: list[str] = []
    for start in range(0, len(keys), _MADE_AT_ONCE):
        found += map(link, keys[start : start + _MADE_AT_ONCE])
        await asyncio.sleep(0)
    return found


async def _secret_key(client: Any) -> str:
    """The secret key of this moment; a role's is replaced now and then."""
    # Botocore has no public way to it; without it, it signs all links itself.
    credentials = getattr(getattr(client, "_request_signer", None), "_credentials", None)
    frozen = await credentials.get_frozen_credentials() if credentials else None
    return getattr(frozen, "secret_key", None) or ""


def _quoted(key: str) -> str:
    return quote(key, safe="/~")


def _host(url: str) -> str:
    """The header that a browser will send, without a port that goes without saying."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    if parts.port is None or parts.port == _PORTS.get(parts.scheme):
        return host
    return f"{host}:{parts.port}"


def _signing_key(secret: str, scope: str) -> bytes:
    """The key of a day, region and service.

    Args:
        secret: The secret key.
        scope: ``20260131/eu-central-1/s3/aws4_request``.
    """
    key = f"AWS4{secret}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key
