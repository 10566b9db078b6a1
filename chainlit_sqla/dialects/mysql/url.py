"""URLs of MySQL and MariaDB: the parameters of their clients, asyncmy, JDBC and Node."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from typing import Any

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

PORT = 3306
LIMITS = {
    **dict.fromkeys(("connecttimeout", "connectiontimeout"), "connect_timeout"),
    **dict.fromkeys(("readtimeout", "sockettimeout"), "command_timeout"),
    "connectionlimit": "pool_size",
}
MODES = ("disabled", "required", "verify-ca", "verify-identity")
_MODES = {
    **{mode: (mode,) for mode in MODES},
    **dict.fromkeys(("disable", *FALSE), ("disabled",)),
    # They promise no more than encryption, and keep that when another parameter says more.
    **dict.fromkeys(("required", "require", "skip-verify", *TRUE), at_least("required", MODES)),
    "verify-full": ("verify-identity",),
}
_FLAGS = {"verify_cert": "verify-ca", "verify_identity": "verify-identity"}
_UTF8 = ("utf8", "utf-8", "utf8mb4", "utf8mb3")
_SSL_MODE = "use ssl-mode instead"
# Names in lower case, without - and _.
PARAMETERS: dict[str, Parameter] = {
    **{name.replace("_", ""): Parameter(name) for name in SOCKET_PARAMETERS},
    **{name: Parameter(meaning) for name, meaning in LIMITS.items()},
    **spelled("mode", "sslmode", "ssl", "tls"),
    **spelled("ssl_ca", "sslca", "sslrootcert"),
    **spelled("ssl_cert", "sslcert"),
    **spelled("ssl_key", "sslkey"),
    **spelled("verify_cert", "sslverifycert", "sslverifyservercert", values=(*TRUE, *FALSE)),
    **spelled("verify_identity", "sslverifyidentity", values=(*TRUE, *FALSE)),
    **spelled("unix_socket", "unixsocket", "socket"),
    **spelled("program_name", "programname"),
    **spelled("charset", "charset", "characterencoding", values=_UTF8),
    **spelled("autocommit", values=FALSE, repair="remove it: writes are transactions"),
    **spelled("allowpublickeyretrieval", values=TRUE, repair="use ssl-mode=REQUIRED instead"),
    # Without effect: there is nothing to choose.
    **{name: Parameter(name) for name in ("useunicode", "localinfile", "collation")},
    **{name: Parameter(name) for name in ("serverversion", "servertimezone", "pooltimeout")},
    **spelled("writetimeout"),
    **spelled("", "usessl", "requiressl", "sslaccept", "verifyservercertificate", repair=_SSL_MODE),
}


def plain(name: str) -> str:
    """Unify the spellings of a name."""
    return name.lower().replace("-", "").replace("_", "")


def read(url: URL) -> dict[str, str]:
    """Return the parameters by their meaning; refuse what cannot be honoured."""
    if "," in (url.host or ""):
        raise ConfigurationError(
            "The database URL names several hosts, which the driver of MySQL does not take; name "
            "one, such as that of a proxy"
        )
    return read_parameters(url.query, PARAMETERS, plain)


def where(url: URL) -> str:
    """Return the address for messages."""
    socket = read(url).get("unix_socket")
    return socket or f"{url.host or 'localhost'}:{url.port or PORT}"


def driver_arguments(parameters: Mapping[str, str]) -> dict[str, Any]:
    """Return what ``asyncmy.connect`` takes: the socket, and TLS as it is asked for."""
    names = {"unix_socket", "program_name"} & parameters.keys()
    arguments: dict[str, Any] = {name: parameters[name] for name in names}
    mode = _tls_mode(parameters)
    if mode != "disabled":
        context = arguments["ssl"] = load_tls(parameters, "ssl_ca", "ssl_cert", "ssl_key")
        context.check_hostname = mode == "verify-identity"
        if mode == "required":
            context.verify_mode = ssl.CERT_NONE  # As MySQL's own client: encrypted, not checked.
    return arguments


def _tls_mode(parameters: Mapping[str, str]) -> str:
    permitted: dict[str, tuple[str, ...]] = {}
    if given := parameters.get("mode"):
        asked = given.lower().replace("_", "-")
        if asked in {"preferred", "prefer"}:
            raise ConfigurationError(
                f"ssl-mode={given} in the database URL cannot be honoured, because the driver does "
                "not try both; use REQUIRED, or DISABLED for plain text"
            )
        if asked not in _MODES:
            raise ConfigurationError(
                f"ssl-mode={given!r} in the database URL is not known; "
                "use DISABLED, REQUIRED, VERIFY_CA or VERIFY_IDENTITY"
            )
        permitted[f"ssl-mode={given}"] = _MODES[asked]
    # Plain text verifies nothing either, but who only says how to verify does not ask for it.
    unverified = MODES if given else MODES[1:]
    for name, mode in _FLAGS.items():
        value = parameters.get(name, "").lower()
        stronger = at_least(mode, MODES)
        if value in TRUE:
            permitted[f"ssl_{name}={value}"] = stronger
        elif value:
            permitted[f"ssl_{name}={value}"] = tuple(m for m in unverified if m not in stronger)
    if "ssl_ca" in parameters:
        permitted["ssl_ca"] = at_least("verify-ca", MODES)
    for name in parameters.keys() & {"ssl_cert", "ssl_key"}:
        permitted[name] = at_least("required", MODES)
    mode = choose_tls(permitted, MODES) or MODES[0]
    says_how = "mode" in parameters or parameters.keys() & _FLAGS.keys()
    return MODES[-1] if "ssl_ca" in parameters and not says_how else mode
