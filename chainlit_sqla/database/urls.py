"""The URLs of databases: parsing, messages, and the folder of a SQLite file."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import quote, unquote, urlencode

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from ..errors import ConfigurationError

_SECRETS = {"password", "sslpassword", "passfile"}
_PARTS = re.compile(
    r"(?P<login>[\w+]+://(?:[^:/]*(?::[^@]*)?@)?)(?P<hosts>[^/?]*)"
    r"(?:/(?P<database>[^?]*))?(?:\?(?P<query>.*))?",
    re.DOTALL,
)


def parse_url(url: str | URL) -> URL:
    """Parse a database URL; the error about an invalid one contains no password."""
    try:
        parsed = url if isinstance(url, URL) else _parse(url.strip().strip("'\""))
        if parsed.port is not None and not 0 < parsed.port < 65_536:
            raise ValueError(parsed.port)
        return parsed
    except (ArgumentError, ValueError):
        raise ConfigurationError(
            "Cannot parse the database URL; write it as "
            "postgresql://user:password@host:5432/name, mysql://user:password@host:3306/name or "
            "sqlite:///file.db (special characters in the password as %40 for @, %2F for /)"
        ) from None


def _parse(url: str) -> URL:
    """Parse a text, one way with each release of SQLAlchemy."""
    parts = _PARTS.fullmatch(url)
    if parts is None:
        raise ValueError(url)
    hosts, database, pairs = parts["hosts"], parts["database"], parts["query"] or ""
    names = [pair.partition("=") for pair in filter(None, pairs.split("&"))]
    # An @ in the password ends it early: what follows contains the rest.
    if "@" in parts["login"] and any(
        "@" in part for part in (hosts, database or "", *(name for name, _, _ in names))
    ):
        raise ValueError("The password contains an unescaped @")
    for name, _, value in names:
        if not value:
            repair = "write a question mark in a path as %3F" if "." in name else "give it one"
            raise ConfigurationError(
                f"The parameter {name!r} of the database URL has no value; {repair}, or remove it"
            )
    if "," in hosts and url.startswith("postgres"):  # libpq's form of several hosts.
        pairs = "&".join(
            [*(f"host={quote(host)}" for host in hosts.split(",")), *filter(None, [pairs])]
        )
        hosts = ""
    parsed = make_url(f"{parts['login']}{hosts}/?{pairs}")
    if database is not None and not database.startswith("file:"):  # SQLite decodes a URI itself.
        database = unquote(database)
    return parsed.set(database=database or None)


def label_of(url: URL) -> str:
    """Return a URL without secrets, for messages."""
    pairs = [
        (name, "***" if name in _SECRETS else value)
        for name, values in url.query.items()
        for value in ((values,) if isinstance(values, str) else values)
    ]
    login = url.set(database="", query={}).render_as_string(hide_password=True)
    query = f"?{urlencode(pairs, safe=',/:*', quote_via=quote)}" if pairs else ""
    return f"{login}{url.database or ''}{query}"


def create_folder(url: URL) -> None:
    """Create the folder of the default SQLite file; others must exist, so that typos show."""
    folder = Path(url.database or "").parent
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)  # Conversations are private.
        ignore = folder / ".gitignore"
        if not ignore.exists():
            ignore.write_text("*\n")
    except OSError as error:
        raise ConfigurationError(
            f"Cannot create the folder {folder} ({error.strerror}); give this user "
            "write permission, or set DATABASE_URL or CHAINLIT_SQLA_DATA_DIR"
        ) from error
