"""Time limits in settings and in the URLs of several clients."""

from __future__ import annotations

import socket
from typing import Any

import pytest
from sqlalchemy import make_url

from chainlit_sqla.database import Database
from chainlit_sqla.dialects.limits import socket_options
from chainlit_sqla.errors import ConfigurationError
from chainlit_sqla.settings import Settings

POSTGRESQL = "postgresql://me@127.0.0.1:1/chats"
MYSQL = "mysql://me@127.0.0.1:1/chats"


def limits(url: str, **settings: Any) -> tuple[float, float]:
    made = Database(url, settings=Settings.load(**settings)).settings
    return made.connect_timeout, made.command_timeout


def test_the_settings_apply_where_the_url_says_nothing() -> None:
    assert limits(POSTGRESQL) == limits(MYSQL) == (10, 30)
    assert limits(MYSQL, connect_timeout=3, command_timeout=0) == (3, 0)
    assert limits("sqlite://", command_timeout=30)[1] == 0, "nothing to wait for"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (f"{POSTGRESQL}?connect_timeout=3&command_timeout=4.5", (3, 4.5)),
        (f"{POSTGRESQL}?timeout=3&socket_timeout=0", (3, 0)),
        (f"{POSTGRESQL}?connect_timeout=0", (10, 30)),
        (f"{MYSQL}?connect_timeout=3&read_timeout=4&write_timeout=5", (3, 4)),
        (f"{MYSQL}?connectTimeout=3000&socketTimeout=4000", (3, 4)),
        (f"{MYSQL}?timeout=500ms&readTimeout=1m", None),
        (f"{MYSQL}?connection-timeout=500ms&readTimeout=1m", (0.5, 60)),
    ],
)
def test_the_url_wins(url: str, expected: tuple[float, float] | None) -> None:
    if expected is None:
        with pytest.raises(ConfigurationError, match="'timeout', which is not known"):
            limits(url)
    else:
        assert limits(url) == expected


@pytest.mark.parametrize("limited", [True, False])
def test_long_work_is_not_limited_by_the_url(limited: bool) -> None:
    url = f"{POSTGRESQL}?command_timeout=4"
    assert bool(Database(url, limits=limited).settings.command_timeout) is limited


@pytest.mark.parametrize(
    "parameter",
    [
        *("connect_timeout=soon", "connect_timeout=-1", "command_timeout=nan"),
        *("keepalives_idle=1.5", "keepalives=yes", "tcp_user_timeout=30s"),
    ],
)
def test_nonsense_is_refused(parameter: str) -> None:
    name = parameter.partition("=")[0]
    with pytest.raises(ConfigurationError, match=f"{name}=.*correct it or"):
        Database(f"{POSTGRESQL}?{parameter}")


def test_sockets_are_watched() -> None:
    def options(parameters: str, **settings: Any) -> dict[int, int]:
        query = make_url(f"{POSTGRESQL}?{parameters}").query
        return {
            name: number for _, name, number in socket_options(query, Settings.load(**settings))
        }

    assert options("") == {
        socket.SO_KEEPALIVE: 1,
        socket.TCP_KEEPIDLE: 60,
        socket.TCP_KEEPINTVL: 10,
        socket.TCP_KEEPCNT: 3,
        socket.TCP_USER_TIMEOUT: 10_000,
    }
    assert options("", connect_timeout=3)[socket.TCP_USER_TIMEOUT] == 3_000
    assert options("", command_timeout=0)[socket.TCP_USER_TIMEOUT] > 60_000, "long work"
    given = options("keepalives=0&keepalives_idle=0&tcp_user_timeout=7000")
    assert given[socket.SO_KEEPALIVE] == 0
    assert socket.TCP_KEEPIDLE not in given, "as the system does"
    assert given[socket.TCP_USER_TIMEOUT] == 7_000
