"""Signed links to the files of a local folder, which expire."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from itsdangerous import BadData, TimestampSigner


class LinkError(ValueError):
    """The link was altered, was signed with another secret, or has expired."""


class LinkSigner(TimestampSigner):
    """Signs with a clock of ours, and so that each link has only one spelling.

    Args:
        secret: Whoever knows it can sign links.
        clock: The time in seconds since 1970.
    """

    def __init__(self, secret: bytes | str, clock: Callable[[], float]) -> None:
        # 48 bytes are base64 without spare bits, which could be changed unnoticed.
        super().__init__(
            secret, salt="chainlit-sqla: links to local files", digest_method=hashlib.sha384
        )
        self._clock = clock

    def get_timestamp(self) -> int:
        """Return the time that is signed."""
        return int(self._clock())

    def sign_digest(self, digest: str) -> str:
        """Return the last part of a link."""
        return self.sign(digest).decode()

    def verify(self, token: str, expiry: int) -> str:
        """Return the digest that was signed.

        Args:
            token: The last part of a link.
            expiry: Seconds until a link ends.

        Raises:
            LinkError: The link was altered or has expired.
        """
        try:
            return self.unsign(token, max_age=expiry - 1).decode()
        except (BadData, UnicodeError):
            raise LinkError from None
