"""The parameters of database URLs: each is honoured or refused, none is dropped."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import combinations
from typing import Any

from ..errors import ConfigurationError

TRUE, FALSE = ("true", "1", "on", "yes"), ("false", "0", "off", "no")
_CONTRADICTION = "{} and {} in the database URL contradict each other; keep the one that you mean"


@dataclass(frozen=True, slots=True)
class Parameter:
    """What a parameter means, and which values can be honoured."""

    meaning: str
    """One name for all spellings; empty: no value can be honoured."""
    values: tuple[str, ...] = ()
    """In lower case; empty: any."""
    repair: str = ""
    """What to do about another value."""


def spelled(
    meaning: str, *names: str, values: tuple[str, ...] = (), repair: str = ""
) -> dict[str, Parameter]:
    """Return a part of a table: one parameter by its spellings."""
    return dict.fromkeys(names or (meaning,), Parameter(meaning, values, repair))


def read_parameters(
    query: Mapping[str, Any],
    table: Mapping[str, Parameter],
    plain: Callable[[str], str] = str,
) -> dict[str, str]:
    """Return the parameters of a URL by their meaning; refuse what is not in the table.

    The table has the spellings of each parameter as ``plain`` unifies them.
    """
    parameters: dict[str, str] = {}
    names: dict[str, str] = {}
    for name, value in query.items():
        parameter = table.get(plain(name))
        if parameter is None:
            close = get_close_matches(plain(name).lower(), table, n=1)
            repair = f"write {close[0]!r} or " if close else ""
            raise ConfigurationError(
                f"The database URL has the parameter {name!r}, which is not known; "
                f"{repair}remove it from the URL"
            )
        if not isinstance(value, str):
            raise ConfigurationError(
                f"The database URL has the parameter {name!r} twice; keep the one that you mean"
            )
        meaning = parameter.meaning
        if not meaning or (parameter.values and value.lower() not in parameter.values):
            given = f"{name}={value!r}" if meaning else f"The parameter {name!r}"
            repair = parameter.repair or f"use one of {', '.join(parameter.values)}"
            raise ConfigurationError(f"{given} in the database URL cannot be honoured; {repair}")
        if parameters.setdefault(meaning, value) != value:
            raise ConfigurationError(_CONTRADICTION.format(names[meaning], name))
        names[meaning] = name
    return parameters


def choose_tls(permitted: Mapping[str, Collection[str]], modes: tuple[str, ...]) -> str | None:
    """Return the weakest of the modes that all parameters permit; None without parameters.

    ``permitted`` has the modes that a parameter permits by what the URL says, ``modes`` begins
    with the weakest. Two parameters that permit no common mode contradict each other.
    """
    for (first, some), (second, others) in combinations(permitted.items(), 2):
        if not set(some) & set(others):
            raise ConfigurationError(_CONTRADICTION.format(first, second))
    common = set(modes).intersection(*permitted.values())
    return min(common, key=modes.index) if permitted else None


def at_least(mode: str, modes: tuple[str, ...]) -> tuple[str, ...]:
    """Return a mode and all stronger ones."""
    return modes[modes.index(mode) :]


def load_tls(query: Mapping[str, Any], ca: str, cert: str, key: str) -> ssl.SSLContext:
    """Load the files that a URL names in these parameters; refuse those that cannot be used."""
    try:
        context = ssl.create_default_context(cafile=query.get(ca))
        if cert in query:
            # Without a password, OpenSSL would ask for it in the terminal.
            context.load_cert_chain(query[cert], query.get(key), query.get("sslpassword", ""))
    except OSError as error:
        names = " or ".join(name for name in (ca, cert, key) if name in query)
        raise ConfigurationError(
            f"A file that the database URL names in {names} cannot be used ({error}); "
            "correct its path"
        ) from error
    return context
