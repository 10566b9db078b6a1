"""URLs of PostgreSQL: the parameters of libpq, asyncpg, SQLAlchemy, JDBC and Prisma."""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from sqlalchemy import URL

from ...errors import ConfigurationError
from ..limits import SOCKET_PARAMETERS
from ..url_parameters import (
    FALSE,
    TRUE,
    Parameter,
    at_least,
    choose_tls,
    load_tls,
    read_parameters,
    spelled,
)

PORT = 5432
LIMITS = {
    **dict.fromkeys(("connect_timeout", "timeout"), "connect_timeout"),
    **dict.fromkeys(("command_timeout", "socket_timeout"), "command_timeout"),
    "connection_limit": "pool_size",
}
"""Parameters that are settings: libpq's, asyncpg's and Prisma's."""
MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
_LOCAL = ("localhost", "127.0.0.1", "::1")
_FILES = ("sslrootcert", "sslcert", "sslkey")
_DRIVER = (
    *("sslmode", "sslcrl", "sslpassword", "sslnegotiation", "ssl_min_protocol_version"),
    *("ssl_max_protocol_version", "target_session_attrs", "options", "passfile", "krbsrvname"),
    "gsslib",
)
"""Parameters that asyncpg parses as libpq does, beside those of `_FILES`."""
_TARGETS = ("any", "primary", "standby", "prefer-standby", "read-write", "read-only")
PARAMETERS: dict[str, Parameter] = {
    **{name: Parameter(name) for name in (*_FILES, *_DRIVER, *SOCKET_PARAMETERS)},
    **{name: Parameter(meaning) for name, meaning in LIMITS.items()},
    **spelled("sslmode", "sslmode", "ssl"),
    **spelled("sslnegotiation", values=("postgres", "direct")),
    **spelled("target_session_attrs", values=_TARGETS),
    **spelled("schema", "schema", "currentSchema"),
    **spelled("application_name", "application_name", "ApplicationName"),
    **spelled("pool_timeout"),  # Without effect: it is the connect timeout.
    **spelled("pgbouncer", values=(*TRUE, *FALSE)),
    **spelled("prepared_statement_cache_size"),
    **spelled("statement_cache_size", values=("0",)),
    **spelled("channel_binding", values=("disable", "prefer", "require")),
    **spelled("gssencmode", values=("disable", "prefer"), repair="use sslmode=verify-full"),
    **spelled("client_encoding", values=("utf8", "utf-8", "unicode", "auto")),
    **spelled("load_balance_hosts", values=("disable",)),
    **spelled("", "search_path", repair="use schema=NAME or options=-csearch_path%3DNAME"),
    **spelled("", "service", repair="name the host, the user and the database in the URL"),
    **spelled("", "hostaddr", repair="use the host of the URL"),
}
_PARTS = {"user": "username", "password": "password", "dbname": "database", "database": "database"}
_ADDRESS = re.compile(r"(?:\[(?P<v6>[^]]+)]|(?P<host>[^:]+|[0-9a-fA-F:]+))(?::(?P<port>\d+))?")


def canonical_url(url: URL) -> URL:
    """Move what libpq takes as parameters to its place in the URL, so that messages name it."""
    for name, part in _PARTS.items():
        if name in url.query:
            value: Any = url.query[name]
            if (getattr(url, part) or value) != value:
                raise _twice(name)
            url = url.difference_update_query([name]).set(**{part: value})
    if "host" not in url.query:
        return url
    found = addresses(url)
    is_tcp = not any(host.startswith("/") for host, _ in found)
    if url.host and (is_tcp or url.host not in _LOCAL):  # Prisma: localhost/db?host=/folder.
        raise _twice("host")
    login = (url.drivername, url.username, url.password)
    if len(found) > 1 or not is_tcp:
        return URL.create(*login, database=url.database, query=url.query)
    query = url.difference_update_query(["host", "port"]).query
    return URL.create(*login, *found[0], database=url.database, query=query)


def addresses(url: URL) -> list[tuple[str, int]]:
    """Return the hosts, or folders of sockets, and their ports, in the order in which to try them.

    URLs name several by libpq's or SQLAlchemy's form; libpq's variables complete them.
    """
    hosts = _split(url.query.get("host") or url.host or os.environ.get("PGHOST") or "localhost")
    ports = _split(url.query.get("port") or url.port or os.environ.get("PGPORT") or PORT)
    if len(ports) == 1:
        ports *= len(hosts)
    try:
        return [_address(*pair) for pair in zip(hosts, ports, strict=True)]
    except ValueError:
        raise ConfigurationError(
            "Cannot read the hosts and ports in the database URL; write each port at its host: "
            "postgresql://user:password@h1:5432,h2:5433/name"
        ) from None


def where(url: URL) -> str:
    """Return the address for messages."""
    return ", ".join(
        host if host.startswith("/") else f"{host}:{port}" for host, port in addresses(url)
    )


def read(url: URL) -> dict[str, str]:
    """Return the parameters by their meaning; refuse what cannot be honoured."""
    address = {"host", "port"}
    return read_parameters(
        {name: value for name, value in url.query.items() if name not in address}, PARAMETERS
    )


def is_unprepared(parameters: Mapping[str, str]) -> bool:
    """Return whether the URL says that a transaction pooler is between."""
    sizes = ("statement_cache_size", "prepared_statement_cache_size")
    is_zero = any(parameters.get(name) == "0" for name in sizes)
    return is_zero or parameters.get("pgbouncer", "").lower() in TRUE


def driver_arguments(url: URL, parameters: Mapping[str, str]) -> dict[str, Any]:
    """Return what asyncpg takes: the addresses, TLS, and what it parses as libpq does."""
    arguments: dict[str, Any] = {}
    if "host" in url.query:
        hosts, ports = zip(*addresses(url), strict=True)
        arguments |= {"host": list(hosts), "port": list(ports)}
    given = {name: value for name, value in parameters.items() if name in _DRIVER}
    given |= _tls(parameters)
    if given:
        arguments["dsn"] = f"postgresql://?{urlencode(given)}"
    return arguments


def _tls(parameters: Mapping[str, str]) -> dict[str, str]:
    """Return asyncpg's parameters of TLS; who names certificates wants a verified server."""
    permitted: dict[str, tuple[str, ...]] = {}
    given = parameters.get("sslmode", "")
    if given:
        mode = given.lower().replace("_", "-")
        if mode not in MODES:
            raise ConfigurationError(
                f"sslmode={given!r} in the database URL is not known; use one of {', '.join(MODES)}"
            )
        permitted[f"sslmode={given}"] = at_least(mode, MODES) if mode == "require" else (mode,)
    files = {name: parameters[name] for name in _FILES if name in parameters}
    permitted.update((name, at_least("require", MODES)) for name in files)
    if parameters.get("sslnegotiation") == "direct":
        permitted["sslnegotiation=direct"] = at_least("require", MODES)
    if by_system := files.get("sslrootcert") == "system":
        permitted["sslrootcert=system"] = ("verify-full",)
        del files["sslrootcert"]
    # The driver has no channel binding. A verified name keeps a server between out as well.
    if parameters.get("channel_binding") == "require":
        permitted["channel_binding=require"] = ("verify-full",)
    chosen = choose_tls(permitted, MODES)
    if chosen is None:
        return {}
    if files:
        load_tls({**files, "sslpassword": parameters.get("sslpassword", "")}, *_FILES)
    chosen = chosen if given else MODES[-1]
    roots = ssl.get_default_verify_paths().cafile
    has_own_roots = Path("~/.postgresql/root.crt").expanduser().exists()
    if roots and chosen.startswith("verify") and (by_system or not has_own_roots):
        files.setdefault("sslrootcert", roots)
    return {**files, "sslmode": chosen}


def _split(value: Any) -> list[str]:
    values = value if isinstance(value, tuple) else (value,)
    return ",".join(map(str, values)).split(",")


def _address(host: str, port: str) -> tuple[str, int]:
    if host.startswith("/"):
        return host, int(port)
    match = _ADDRESS.fullmatch(host)
    if match is None:
        raise ValueError(host)
    return match["v6"] or match["host"], int(match["port"] or port)


def _twice(name: str) -> ConfigurationError:
    return ConfigurationError(
        f"The database URL names the {name} twice; keep the one that you mean"
    )
