"""Translates the parameters of a MySQL URL into arguments of asyncmy."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from typing import Any

from ...errors import ConfigurationError

# The spellings of MySQL's clients, libpq, Prisma and SQLAlchemy's drivers.
_NAMES = {
    "ssl": "mode",
    "tls": "mode",
    "ssl_mode": "mode",
    "sslmode": "mode",
    "usessl": "mode",
    "ssl_ca": "ca",
    "sslrootcert": "ca",
    "ssl_cert": "cert",
    "sslcert": "cert",
    "ssl_key": "key",
    "sslkey": "key",
    "ssl_verify_cert": "verify_cert",
    "ssl_verify_identity": "verify_identity",
    "ssl_check_hostname": "verify_identity",
    "unix_socket": "socket",
    "socket": "socket",
    "read_timeout": "read_timeout",
}
# Decided by this package, or without effect here.
_IGNORED = {
    "charset",
    "collation",
    "use_unicode",
    "useunicode",
    "characterencoding",
    "autocommit",
    "connect_timeout",
    "connecttimeout",
    "connection_limit",
    "pool_timeout",
    "serverversion",
    "servertimezone",
    "allowpublickeyretrieval",
    "local_infile",
    "program_name",
}
_MODES = {
    "disabled": None,
    "disable": None,
    "false": None,
    "0": None,
    # The driver cannot fall back to a connection without TLS.
    "preferred": None,
    "prefer": None,
    "required": "required",
    "require": "required",
    "true": "required",
    "1": "required",
    "skip-verify": "required",
    "verify-ca": "ca",
    "verify-identity": "identity",
    "verify-full": "identity",
}
_FLAGS = {"1", "true", "on", "yes"}


def connect_arguments(query: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of ``asyncmy.connect`` for the parameters of a URL.

    Args:
        query: The parameters.

    Raises:
        ConfigurationError: A parameter is unknown, or a file that it names cannot be used.

    Example:
        >>> connect_arguments({"unix_socket": "/run/mysqld/mysqld.sock"})
        {'unix_socket': '/run/mysqld/mysqld.sock'}
    """
    parameters: dict[str, str] = {}
    for name, value in query.items():
        plain = name.lower().replace("-", "_")
        if meaning := _NAMES.get(plain):
            parameters[meaning] = str(value)
        elif plain not in _IGNORED:
            raise ConfigurationError(
                f"The database URL has the parameter {name!r}, which is not known; "
                "remove it from the URL"
            )
    arguments: dict[str, Any] = {}
    if "socket" in parameters:
        arguments["unix_socket"] = parameters["socket"]
    if "read_timeout" in parameters:
        arguments["read_timeout"] = _seconds(parameters["read_timeout"])
    if (context := _tls(parameters)) is not None:
        arguments["ssl"] = context
    return arguments


def _seconds(value: str) -> float:
    try:
        return float(value)
    except ValueError:
        raise ConfigurationError(
            f"read_timeout={value!r} in the database URL is no number; give seconds"
        ) from None


def _tls(parameters: Mapping[str, str]) -> ssl.SSLContext | None:
    """Return a context, None without TLS; a mode or a CA demands a check of the certificate."""
    given = parameters.get("mode", "").lower().replace("_", "-")
    if given and given not in _MODES:
        raise ConfigurationError(
            f"ssl-mode={parameters['mode']!r} in the database URL is not known; "
            "use DISABLED, REQUIRED, VERIFY_CA or VERIFY_IDENTITY"
        )
    mode = _MODES.get(given)
    if (given and mode is None) or not (mode or {"ca", "cert", "verify_cert"} & set(parameters)):
        return None
    identity = mode == "identity" or parameters.get("verify_identity", "").lower() in _FLAGS
    checked = identity or mode == "ca" or "ca" in parameters
    checked |= parameters.get("verify_cert", "").lower() in _FLAGS
    try:
        context = ssl.create_default_context(cafile=parameters.get("ca"))
        if certificate := parameters.get("cert"):
            context.load_cert_chain(certificate, parameters.get("key"))
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(
            "A file that the database URL names in ssl_ca, ssl_cert or ssl_key cannot be used "
            f"({error}); correct its path"
        ) from error
    context.check_hostname = identity
    if not checked:
        context.verify_mode = ssl.CERT_NONE  # As MySQL's own client: encrypted, not checked.
    return context
