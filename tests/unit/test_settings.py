"""Settings from the environment and from the file that Chainlit reads."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from chainlit_sqla.settings import Settings


@pytest.fixture(autouse=True)
def _empty(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.startswith(("CHAINLIT_", "DATABASE_URL", "POOL_SIZE")):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def test_the_default_is_a_file_below_the_current_folder(tmp_path: Path) -> None:
    assert Settings.load().database == f"sqlite:///{tmp_path}/.chainlit_sqla/chainlit.db"


def test_our_name_wins_wherever_it_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://common/")
    assert Settings.load().database == "postgresql://common/"
    Path(".env").write_text("CHAINLIT_DATABASE_URL=postgresql://ours/\n")
    assert Settings.load().database == "postgresql://ours/"


def test_the_environment_wins_over_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    Path(".env").write_text("DATABASE_URL=postgresql://file/\nCHAINLIT_SQLA_POOL_SIZE=7\n")
    assert (Settings.load().database, Settings.load().pool_size) == ("postgresql://file/", 7)
    monkeypatch.setenv("DATABASE_URL", "postgresql://environment/")
    monkeypatch.setenv("CHAINLIT_SQLA_POOL_SIZE", "8")
    assert Settings.load().database == "postgresql://environment/"
    assert Settings.load().pool_size == 8


def test_arguments_win_over_a_file_of_any_name(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("mine.env").write_text("DATABASE_URL=postgresql://mine/\n")
    monkeypatch.setenv("CHAINLIT_ENV_FILE", "mine.env")
    assert Settings.load().database == "postgresql://mine/"
    assert Settings.load(database_url="sqlite:///x").database == "sqlite:///x"


def test_empty_variables_and_those_of_the_host_application_are_not_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("POOL_SIZE", "99")
    monkeypatch.setenv("CHAINLIT_DATABASE_URL", "")
    monkeypatch.setenv("DATABASE_URL", "postgresql://set/")
    monkeypatch.setenv("CHAINLIT_SQLA_POOL_SIZE", "")
    assert (Settings.load().database, Settings.load().pool_size) == ("postgresql://set/", 5)


def test_secrets_are_not_printed() -> None:
    secrets = dict.fromkeys(("aws_secret_key", "gcs_private_key", "auth_secret"), "hidden")
    assert "hidden" not in repr(Settings.load(database_url="postgresql://u:hidden@h/d", **secrets))
