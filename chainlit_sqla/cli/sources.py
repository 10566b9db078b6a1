"""Which settings are in effect, and where each comes from; secrets are masked."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from dotenv import dotenv_values

from ..settings import Settings
from ..storage.urls import shown_url
from .runtime import DEBUG_VARIABLE

_OURS = "CHAINLIT_SQLA_"
# To the last "@", since a password may have any of ":", "/" and "@" in it.
_PASSWORD = re.compile(r"(?<=//)([^/:@]*:).+(?=@)", re.DOTALL)
_CLOUD = re.compile(r"(?:s3|gs|az)://")
_QUERY_SECRET = re.compile(r"(?i)(?<=password=)[^&]+")


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting as it is in effect."""

    variable: str
    """The environment variable that it comes from, or would."""
    value: str
    """For people; secrets are masked; empty where there is none."""
    source: str
    """``environment``, the name of the file, an option, or ``default``."""


def effective(settings: Settings, options: Collection[str] = ()) -> list[Setting]:
    """List all settings with their sources.

    Args:
        settings: As loaded.
        options: Names of the fields that were given on the command line.
    """
    places = _places()
    found = []
    for name in Settings.model_fields:
        variable, source = _origin(name, places)
        if name in options:
            source = "command line"
        found.append(Setting(variable, _shown(name, settings), source))
    return found


def strangers() -> Iterator[str]:
    """Variables that look like ours and are none: a sentence for each."""
    known = {v for name in Settings.model_fields for v in Settings.variables(name)} | {
        DEBUG_VARIABLE
    }
    for source, values in _places().items():
        for variable in values:
            if variable.startswith(_OURS) and variable not in known:
                close = difflib.get_close_matches(variable, known, n=1)
                hint = f"did you mean {close[0]}?" if close else "see docs/settings.md"
                yield f"{variable} ({source}) is no setting; {hint}"


def mask_url(url: str) -> str:
    """Hide the password in a URL.

    Example:
        >>> mask_url("postgresql://me:secret@db/chats")
        'postgresql://me:***@db/chats'
        >>> mask_url("s3://key:se/cret@bucket")
        's3://***@bucket'
    """
    if _CLOUD.match(url):
        return shown_url(url)
    return _QUERY_SECRET.sub("***", _PASSWORD.sub(r"\1***", url))


def _places() -> dict[str, Mapping[str, str]]:
    """The places to look in, the winning one first; names in upper case."""
    file = os.environ.get("CHAINLIT_ENV_FILE", ".env")
    places: dict[str, Mapping[str, str | None]] = {
        "environment": dict(os.environ),
        file: dotenv_values(file, encoding="utf-8"),
    }
    return {
        place: {name.upper(): value for name, value in values.items() if value}
        for place, values in places.items()
    }


def _origin(name: str, places: Mapping[str, Mapping[str, str]]) -> tuple[str, str]:
    names = Settings.variables(name)
    for variable in names:  # As `Settings.load` looks for them.
        for place, values in places.items():
            if variable in values:
                return variable, place
    return names[0], "default"


def _shown(name: str, settings: Settings) -> str:
    if name == "database_url":
        return mask_url(settings.database)
    value: Any = getattr(settings, name)
    if value is None or value == "":
        return ""
    if not Settings.model_fields[name].repr:
        return "(set)"
    return f"{value:g}" if isinstance(value, float) else mask_url(str(value))
