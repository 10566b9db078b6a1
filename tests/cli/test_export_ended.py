"""`export` that is ended: by a signal, by its reader, by the server; and in a terminal."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import make_url

from tests.cli.exports import EXPORT, URL, fill, there
from tests.cli.programs import SECONDS, environment
from tests.servers.postgres import PostgresServer
from tests.servers.proxy import FlakyProxy

FULL = pytest.mark.full

# Stands still when some of many rows are written.
HELD = """
import sys
from contextlib import contextmanager
import chainlit_sqla.cli.export as command
from chainlit_sqla.cli.app import main

@contextmanager
def progress():
    told = False

    def watch(what, done, total):
        nonlocal told
        if not told and 0 < done < total:
            told = True
            print("here", flush=True)
            sys.stdin.read()

    yield watch

command.progress = progress
main(sys.argv[1:])
"""


@pytest.mark.parametrize(
    "form", ["jsonl", *(pytest.param(form, marks=FULL) for form in ("markdown", "html", "chat"))]
)
def test_a_reader_that_goes_away_ends_it_quietly(folder: Path, form: str) -> None:
    fill(URL, turns=500)  # Far more than a pipe holds.
    with subprocess.Popen(
        [*EXPORT, "--url", URL, "--format", form],
        cwd=folder,
        env=environment(folder, {}),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.read(10)
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(SECONDS) == 141


@pytest.mark.parametrize(
    ("output", "ending"),
    [
        ("a.jsonl.gz", signal.SIGINT),
        pytest.param("a.html", signal.SIGINT, marks=FULL),
        ("a.html", signal.SIGTERM),
        pytest.param("a.html", signal.SIGHUP, marks=FULL),
    ],
)
def test_ctrl_c_or_a_request_to_end_leaves_no_half_file(
    folder: Path, postgres: PostgresServer, database: str, output: str, ending: signal.Signals
) -> None:
    fill(database, turns=400)
    with held(folder, database, output) as process:
        process.send_signal(ending)
        out, err = process.communicate(timeout=SECONDS)
    assert process.returncode == 130, err
    assert (out, err) == (
        "",
        "Interrupted. No file was written. Re-run the command to export everything.\n",
    )
    assert there(folder) == []


@contextmanager
def held(folder: Path, url: str, output: str) -> Iterator[subprocess.Popen[str]]:
    """An export that stands still in the middle, until it is spoken to."""
    with subprocess.Popen(
        [sys.executable, "-c", HELD, *EXPORT[3:], "-o", output],
        cwd=folder,
        env=environment(folder, {"DATABASE_URL": url}),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "here\n", process.communicate()
        assert list(folder.glob(".*.part"))
        yield process


def test_a_server_that_goes_away_in_the_middle_leaves_no_half_file(
    folder: Path, postgres: PostgresServer, database: str
) -> None:
    fill(database, turns=400)
    with (
        FlakyProxy("127.0.0.1", make_url(database).port or 0) as proxy,
        held(folder, proxy.url(database), "a.md") as process,
    ):
        proxy.refuse()
        proxy.drop_all()
        _, err = process.communicate(timeout=SECONDS)
    assert process.returncode == 1
    assert err.startswith("Error: ")
    assert err.count("\n") == 1
    assert "try again" in err
    assert there(folder) == []


@pytest.mark.full
def test_a_terminal_shows_a_bar(folder: Path) -> None:
    fill(URL, turns=500)
    terminal, side = pty.openpty()
    with subprocess.Popen(
        [*EXPORT, "--url", URL, "-o", "a.html"],
        cwd=folder,
        env=environment(folder, {"TERM": "xterm", "COLUMNS": "120"}),
        stderr=side,
        stdout=subprocess.DEVNULL,
    ) as process:
        os.close(side)
        shown = b""
        while chunk := read(terminal):
            shown += chunk
        process.wait(SECONDS)
    os.close(terminal)
    assert process.returncode == 0
    assert b"of 2,004" in shown
    assert b"/s" in shown
    assert shown.replace(b"\r\n", b"\n").endswith(b"kB).\n") or shown.endswith(b"MB).\r\n")


def read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # Linux says so when the other side was closed.
        return b""
