"""The URLs of databases: parsing, messages, and the folder of a SQLite file."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from ..errors import ConfigurationError

_SECRETS = {"password", "sslpassword", "passfile"}


def parse_url(url: str | URL) -> URL:
    """Parse a database URL; the error about an invalid one contains no password."""
    try:
        parsed = make_url(url.strip().strip("'\"") if isinstance(url, str) else url)
        if isinstance(url, str) and _has_unescaped_at(parsed, url):
            raise ValueError("The password contains an unescaped @")
        if parsed.port is not None and not 0 < parsed.port < 65_536:
            raise ValueError(parsed.port)
        return parsed
    except (ArgumentError, ValueError):
        raise ConfigurationError(
            "Cannot parse the database URL; write it as "
            "postgresql://user:password@host:5432/name, mysql://user:password@host:3306/name or "
            "sqlite:///file.db (special characters in the password as %40 for @, %2F for /)"
        ) from None


def _has_unescaped_at(parsed: URL, url: str) -> bool:
    """Return whether an @ in the password ended it early: the host would contain the rest."""
    parameters = (pair.partition("=")[0] for pair in url.partition("?")[2].split("&"))
    parts = (parsed.host or "", parsed.database or "", *parameters)
    return parsed.password is not None and any("@" in part for part in parts)


def label_of(url: URL) -> str:
    """Return a URL without secrets, for messages."""
    query = {name: "***" if name in _SECRETS else value for name, value in url.query.items()}
    return url.set(query=query).render_as_string(hide_password=True)


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
