"""The command line as a user has it: an empty folder and an empty environment."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cli.programs import ROOT, App, Result, run_program
from tests.frozen.catalog import CATALOG
from tests.frozen.load import execute
from tests.servers.fixtures import *  # noqa: F403

Command = Callable[..., Result]


@pytest.fixture
def database(postgres_url: str) -> str:
    """The URL of an empty PostgreSQL database."""
    return postgres_url


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder, with nothing in the environment that could matter."""
    for name in list(os.environ):
        if name.startswith(("CHAINLIT", "APP_", "DATABASE_URL", "BUCKET_NAME", "DEV_AWS")):
            monkeypatch.delenv(name)
    # So that what a command sets is undone.
    monkeypatch.setenv("CHAINLIT_SQLA_DEBUG", "0")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def old(folder: Path) -> Path:
    """A database of Chainlit's SQLAlchemy layer."""
    path = folder / "old.db"
    execute(f"sqlite:///{path}", CATALOG["sqlite_v8"].file.read_text())
    return path


@pytest.fixture
def cli(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Command:
    """Run a command in this process, which is quick: ``cli("current", DATABASE_URL=...)``."""

    def call(*arguments: str, **variables: str) -> Result:
        from chainlit_sqla.cli.app import main

        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        with pytest.raises(SystemExit) as stopped:
            main(arguments)
        for name in variables:
            monkeypatch.delenv(name)
        code = stopped.value.code
        assert isinstance(code, int)
        return Result(code, *capsys.readouterr())

    return call


@pytest.fixture
def program(folder: Path) -> Command:
    """Run a command as a process: ``program("current", DATABASE_URL=...)``."""

    def call(*arguments: str, **variables: str) -> Result:
        return run_program([sys.executable, "-m", "chainlit_sqla", *arguments], folder, variables)

    return call


@pytest.fixture
def serve(folder: Path) -> Iterator[Callable[..., App]]:
    """Start a Chainlit app by a command, and end it after the test."""
    apps: list[App] = []

    def start(
        *arguments: str, below: str = "", module: str = "chainlit_sqla", **variables: str
    ) -> App:
        apps.append(App(arguments, folder, variables, below, module))
        return apps[-1]

    yield start
    for app in apps:
        app.stop()


@pytest.fixture
def example() -> Callable[[str], str]:
    return lambda name: str(ROOT / "examples" / name)


@pytest.fixture
def without_google(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Variables that ask for Google's store in a Python that lacks its package."""
    place = tmp_path_factory.mktemp("packages")
    package = place / "google" / "cloud" / "storage" / "__init__.py"
    package.parent.mkdir(parents=True)
    package.write_text("raise ModuleNotFoundError('No module named google.cloud.storage')\n")
    return {
        "PYTHONPATH": os.pathsep.join((str(place), str(ROOT))),
        "APP_GCS_PROJECT_ID": "project",
        "BUCKET_NAME": "attachments",
    }
