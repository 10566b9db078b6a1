"""Limits of connections: from the settings, or from the URL by the names of its clients.

A network that has forgotten a connection drops what is sent on it, and tells nobody. The system
notices that by itself after minutes or hours, so it is told when to give up (`tune_socket`): data
that nobody acknowledges, and idle connections, whose probes also keep a firewall from forgetting
them. A server or a proxy that acknowledges data but answers nothing is noticed by the timeout of
a command, which the dialects give to their drivers.
"""

from __future__ import annotations

import math
import re
import socket
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from .._internal.private_attributes import transport_of
from ..errors import ConfigurationError

if TYPE_CHECKING:
    from ..settings import Settings

SocketOptions = list[tuple[int, int, int]]
"""Arguments of ``socket.setsockopt``."""

CLOSE_SECONDS = 1.0
"""How long the polite end of a connection may take."""
LONG_WORK_SECONDS = 120.0
"""How long data may stay unacknowledged where commands have no time limit: losing a connection
costs a migration or an export everything that it has done."""
PROBES = {"keepalives": 1, "keepalives_idle": 60, "keepalives_interval": 10, "keepalives_count": 3}
"""libpq's names with the defaults. NAT gateways forget connections after minutes."""
_OPTIONS = {  # Not every system has all of them.
    "keepalives_idle": "TCP_KEEPIDLE",
    "keepalives_interval": "TCP_KEEPINTVL",
    "keepalives_count": "TCP_KEEPCNT",
    "tcp_user_timeout": "TCP_USER_TIMEOUT",
}
SOCKET_PARAMETERS = {*PROBES, "tcp_user_timeout"}
_TIME = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|)")
_SIZE = re.compile(r"[1-9]\d{0,4}")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0}


def url_limits(
    query: Mapping[str, Any],
    fields: Mapping[str, str],
    plain: Callable[[str], str] = str,
) -> dict[str, Any]:
    """Read the time limits in a URL's parameters, and how many connections it allows.

    A time may have a unit (``500ms``, ``30s``, ``1m``). Without one it means seconds, and
    milliseconds after a name in camel case, as in URLs of JDBC and Node. ``fields`` has the
    fields of `Settings` by the names of parameters, whose spellings ``plain`` unifies.
    """
    limits: dict[str, Any] = {}
    for name, value in query.items():
        field = fields.get(plain(name))
        if field is None:
            continue
        is_size = field == "pool_size"
        match = (_SIZE if is_size else _TIME).fullmatch(str(value).strip())
        if match is None:
            what = "connections" if is_size else "seconds"
            raise ConfigurationError(
                f"{name}={value!r} in the database URL is no number of {what}; correct it or "
                "remove it from the URL"
            )
        if is_size:
            limits |= {"pool_size": int(match[0]), "max_overflow": 0}
            continue
        unit = match[2] or ("ms" if re.search("[a-z][A-Z]", name) else "s")
        seconds = float(match[1]) * _UNITS[unit]
        # 0 is no limit, which attempts to connect must have.
        if seconds or field != "connect_timeout":
            limits[field] = seconds
    return limits


def socket_options(query: Mapping[str, Any], settings: Settings) -> SocketOptions:
    """Return the options of a connection's socket, from libpq's parameters or the defaults."""
    seconds = settings.connect_timeout if settings.command_timeout else LONG_WORK_SECONDS
    values = {**PROBES, "tcp_user_timeout": math.ceil(seconds * 1000)}
    for name in query.keys() & SOCKET_PARAMETERS:
        if not re.fullmatch(r"\d{1,9}", str(query[name])):
            raise ConfigurationError(
                f"{name}={query[name]!r} in the database URL is not a whole number; correct it or "
                "remove it from the URL"
            )
        values[name] = int(query[name])
    options = [(socket.SOL_SOCKET, socket.SO_KEEPALIVE, int(bool(values["keepalives"])))]
    for name, option in _OPTIONS.items():
        if values[name] and hasattr(socket, option):  # 0: as the system does.
            options.append((socket.IPPROTO_TCP, getattr(socket, option), values[name]))
    return options


def tune_socket(connection: Any, options: Iterable[tuple[int, int, int]]) -> None:
    """Set options on the socket of a driver's connection.

    Without it, only the timeouts of commands notice a lost network.
    """
    transport = transport_of(connection)
    sock = transport and transport.get_extra_info("socket")
    if sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6):
        for option in options:
            sock.setsockopt(*option)
