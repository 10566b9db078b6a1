"""URLs of databases: each parameter is honoured or refused, and messages keep the password."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import pytest
import trustme
from sqlalchemy import create_engine

from chainlit_sqla.database import Database, parse_url
from chainlit_sqla.errors import ConfigurationError
from chainlit_sqla.settings import Settings

POSTGRESQL = "postgresql://me:s%40cret@db.example:5433/chats"
MYSQL = "mysql://me:s%40cret@db.example:3307/chats"
PLAIN, ENCRYPTED, BY_CA, BY_NAME = "plain text", "encrypted", "by its authority", "by its name"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("tls") / "ca.pem"
    trustme.CA().cert_pem.write_to_path(str(path))
    return str(path)


def arguments(url: str, **settings: Any) -> dict[str, Any]:
    """What the driver is called with."""
    database = Database(url, settings=Settings.load(**settings))
    _, given = database.engine.dialect.create_connect_args(database.engine.url)
    options = database.dialect.engine_options(database.given_url, database.settings)
    return {**given, **options["connect_args"]}


def checks(context: ssl.SSLContext | bool | None) -> str:
    if not context:
        return PLAIN
    assert isinstance(context, ssl.SSLContext)
    if context.verify_mode is ssl.CERT_NONE:
        return ENCRYPTED
    return BY_NAME if context.check_hostname else BY_CA


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ("ssl-mode=DISABLED", PLAIN),
        ("ssl-mode=REQUIRED", ENCRYPTED),
        ("ssl=true", ENCRYPTED),
        ("ssl-mode=verify_ca", BY_CA),
        ("sslmode=verify-full", BY_NAME),
        ("ssl_verify_identity=true", BY_NAME),
        ("ssl=true&ssl-verify-identity=1", BY_NAME),
        ("ssl_verify_cert=true", BY_CA),
        ("ssl_verify_cert=false", ENCRYPTED),
        ("ssl_verify_identity=false&ssl_verify_cert=false", ENCRYPTED),
        ("ssl-mode=DISABLED&ssl_verify_cert=false", PLAIN),
        ("ssl-ca={ca}", BY_NAME),
        ("ssl-mode=REQUIRED&ssl-ca={ca}", BY_CA),
        ("ssl-mode=PREFERRED", "use REQUIRED, or DISABLED"),
        ("ssl-mode=OFTEN", "use DISABLED, REQUIRED, VERIFY_CA or VERIFY_IDENTITY"),
        ("ssl-mode=", "has no value"),
        ("ssl_verify_identity=maybe", "use one of true"),
        ("ssl=require&sslmode=verify-full", "contradict"),
        ("sslmode=verify-full&ssl=require", "contradict"),
        ("ssl-mode=VERIFY_CA&ssl_verify_identity=true", "contradict"),
        ("ssl-mode=DISABLED&ssl-ca={ca}", "contradict"),
        ("ssl-mode=VERIFY_IDENTITY&ssl_verify_cert=false", "contradict"),
        ("sslmode=require&sslmode=verify-full", "twice"),
        ("useSSL=true", "use ssl-mode instead"),
    ],
)
def test_tls_of_mysql_fails_closed(parameters: str, expected: str, authority: str) -> None:
    url = f"{MYSQL}?{parameters.format(ca=authority)}"
    if expected in {PLAIN, ENCRYPTED, BY_CA, BY_NAME}:
        assert checks(arguments(url).get("ssl")) == expected
    else:
        with pytest.raises(ConfigurationError, match=expected):
            arguments(url)


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ("sslmode=ful&sslrootcert={ca}", "use one of disable, allow, prefer, require, verify-ca"),
        ("ssl=true", "use one of disable"),
        ("sslmode=&sslrootcert={ca}", "has no value"),
        ("ssl=require&sslmode=verify-full", "contradict"),
        ("sslmode=require&ssl=verify-full", "contradict"),
        ("sslmode=disable&sslrootcert={ca}", "contradict"),
        ("sslmode=prefer&sslcert={ca}", "contradict"),
        ("sslmode=verify-ca&sslrootcert=system", "contradict"),
        ("sslmode=disable&channel_binding=require", "contradict"),
        ("sslmode=prefer&sslnegotiation=direct", "contradict"),
        ("sslmode=verify-full&sslmode=disable", "twice"),
        ("ssl_mode=verify-full", "write 'sslmode' or remove it"),
        ("SSLMODE=verify-full", "write 'sslmode' or remove it"),
        ("gssencmode=require", "cannot be honoured"),
    ],
)
def test_tls_of_postgresql_fails_closed(parameters: str, words: str, authority: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        arguments(f"{POSTGRESQL}?{parameters.format(ca=authority)}")


@pytest.mark.parametrize(
    ("url", "words"),
    [
        (f"{POSTGRESQL}?service=mine", "name the host, the user and the database"),
        (f"{POSTGRESQL}?search_path=a", "use schema=NAME"),
        (f"{POSTGRESQL}?currentSchema=a,b", "several schemas"),
        (f"{POSTGRESQL}?schema=a&currentSchema=b", "schema and currentSchema .* contradict"),
        (f"{POSTGRESQL}?client_encoding=latin1", "use one of utf8"),
        (f"{POSTGRESQL}?target_session_attrs=read-wrte", "use one of any, primary"),
        (f"{POSTGRESQL}?load_balance_hosts=random", "use one of disable"),
        (f"{POSTGRESQL}?connection_limit=none", "no number of connections"),
        (f"{POSTGRESQL}?aplication_name=x", "write 'application_name' or remove it"),
        (f"{POSTGRESQL}?user=another", "names the user twice"),
        (f"{POSTGRESQL}?password=another", "names the password twice"),
        (f"{POSTGRESQL}?host=another", "names the host twice"),
        ("postgresql://h1,h2/chats?port=1,2,3", "write each port at its host"),
        ("postgresql://h1:x,h2/chats", "write each port at its host"),
        (f"{MYSQL}?charset=latin1", "use one of utf8"),
        (f"{MYSQL}?autocommit=true", "cannot be honoured"),
        (f"{MYSQL}?allowPublicKeyRetrieval=false", "use ssl-mode=REQUIRED"),
        (f"{MYSQL}?read_timeot=3", "write 'readtimeout' or remove it"),
        ("mysql://me@h1,h2/chats", "several hosts"),
        ("sqlite:///chats.db?mode=ro", "sqlite:///file:PATH[?]mode=ro&uri=true"),
        ("sqlite:///chats.db?cache=shared&uri=true", "in a URI only"),
        ("sqlite:///chats.db?isolation_level=x", "remove it from the URL"),
        ("sqlite://me:s%40cret@here/chats.db", "is not a valid database URL .*; correct it$"),
        ("sqlite:///why?.db", "write a question mark in a path as %3F"),
    ],
)
def test_what_cannot_be_honoured_is_refused(url: str, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words) as raised:
        Database(url, settings=Settings.load())
    for secret in ("s@cret", "s%40cret", "another"):
        assert secret not in str(raised.value)


def test_what_a_url_says_about_settings_is_honoured() -> None:
    def settings(url: str, **given: Any) -> Settings:
        return Database(url, settings=Settings.load(**given)).settings

    assert settings(f"{POSTGRESQL}?schema=chat").db_schema == "chat"
    assert settings(f"{POSTGRESQL}?currentSchema=chat").db_schema == "chat"
    assert settings(f"{POSTGRESQL}?schema=public", db_schema="ours").db_schema == "ours"
    for url in (f"{POSTGRESQL}?connection_limit=3", f"{MYSQL}?connectionLimit=3"):
        limited = settings(url)
        assert (limited.pool_size, limited.max_overflow) == (3, 0)
    for parameter in ("pgbouncer=true", "statement_cache_size=0"):
        assert settings(f"{POSTGRESQL}?{parameter}").prepared_statements is False
    named = arguments(f"{POSTGRESQL}?application_name=mine&pgbouncer=true")
    assert named["server_settings"] == {"application_name": "mine"}
    assert arguments(f"{MYSQL}?programName=mine")["program_name"] == "mine"
    assert arguments("sqlite:///chats.db?timeout=3")["timeout"] == 3
    assert arguments("sqlite:///chats.db")["timeout"] == 30


@pytest.mark.parametrize(
    ("url", "hosts", "ports"),
    [
        ("postgresql://me:s%40cret@h1:5432,h2:5433/chats", ["h1", "h2"], [5432, 5433]),
        ("postgresql://me:s%40cret@h1,[::1]:5433/chats", ["h1", "::1"], [5432, 5433]),
        ("postgresql://me:s%40cret@/chats?host=h1:5432&host=h2", ["h1", "h2"], [5432, 5432]),
        ("postgresql://me:s%40cret@/chats?host=h1,h2&port=6000", ["h1", "h2"], [6000, 6000]),
        ("postgresql://me:s%40cret@/chats?host=h1,h2&port=5432,5433", ["h1", "h2"], [5432, 5433]),
        ("postgresql://me:s%40cret@/chats?host=h1", "h1", 5432),
        ("postgresql:///chats?host=h1&user=me&password=s%40cret", "h1", 5432),
        ("postgresql://me:s%40cret@/chats?host=/run/a:b:c", ["/run/a:b:c"], [5432]),
        ("postgresql://me:s%40cret@localhost/chats?host=/run&port=6000", ["/run"], [6000]),
        ("postgresql://me:s%40cret@[::1]:5433/chats", "::1", 5433),
    ],
)
def test_hosts(url: str, hosts: Any, ports: Any) -> None:
    given = arguments(url)
    assert (given["host"], given.get("port", 5432)) == (hosts, ports)
    assert (given["user"], given["password"], given["database"]) == ("me", "s@cret", "chats")
    database = Database(url, settings=Settings.load())
    again = Database(database.given_url, settings=database.settings)
    assert again.given_url == database.given_url
    assert "cret" not in f"{database.label} {database!r}"
    reason = str(database.translate(ConnectionRefusedError("refused")))
    assert all(host in reason for host in ([hosts] if isinstance(hosts, str) else hosts))


def test_libpqs_variables_are_named_where_they_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGHOST", "elsewhere")
    monkeypatch.setenv("PGPORT", "6000")
    reason = Database("postgresql:///chats").translate(ConnectionRefusedError("refused"))
    assert "at elsewhere:6000" in str(reason)


@pytest.mark.parametrize("sign", ["@", "/", "#", "?", ":", "%"])
def test_a_password_with_signs_is_read_or_refused(sign: str) -> None:
    quoted = f"postgresql://me:left%{ord(sign):02X}right@db.example/chats"
    assert parse_url(quoted).password == f"left{sign}right"
    raw = f"postgresql://me:left{sign}right@db.example/chats"
    if sign == "@":
        with pytest.raises(ConfigurationError, match="%40 for @") as raised:
            parse_url(raw)
        assert "right" not in str(raised.value)
    else:
        assert (parse_url(raw).password, parse_url(raw).host) == (f"left{sign}right", "db.example")


@pytest.mark.parametrize("name", ["a?b", "a%20b", "a#b", "100%", "a;b", "a b", "file:a"])
async def test_a_folders_name_is_no_url(name: str, tmp_path: Path) -> None:
    folder = tmp_path / name
    database = Database(settings=Settings.load(data_dir=str(folder), database_url=""))
    reader = None
    try:
        async with database.connect() as connection:
            assert await database.dialect.server_version(connection)
        reader = Database(settings=database.settings, read_only=True)
        async with reader.connect() as connection:
            assert await reader.dialect.server_version(connection)
    finally:
        await database.close()
        if reader:
            await reader.close()
    assert (folder / "chainlit.db").exists()
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert str(folder) in database.label


def test_percent_signs_mean_the_same_with_each_release_of_sqlalchemy(tmp_path: Path) -> None:
    assert parse_url("sqlite:///a%3Fb%20c.db").database == "a?b c.db"
    assert parse_url("postgresql://h/a%20b").database == "a b"
    uri = parse_url(f"sqlite:///file:{tmp_path}/a%3Fb.db?uri=true")  # SQLite decodes it.
    with create_engine(uri).connect():
        pass
    assert (tmp_path / "a?b.db").exists()
