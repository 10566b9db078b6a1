"""`export` that is ended: by a signal, by its reader, by the server; and in a terminal."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import make_url

from tests.cli.exports import EXPORT, URL, fill, there
from tests.cli.programs import SECONDS, environment
from tests.servers.postgres import PostgresServer
from tests.servers.proxy import FlakyProxy


@pytest.mark.parametrize("form", ["jsonl", "markdown", "html", "chat"])
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
        ("a.html", signal.SIGINT),
        ("a.html", signal.SIGTERM),
        ("a.html", signal.SIGHUP),
    ],
)
def test_ctrl_c_or_a_request_to_end_leaves_no_half_file(
    folder: Path, postgres: PostgresServer, database: str, output: str, ending: signal.Signals
) -> None:
    fill(database, turns=400)
    with FlakyProxy("127.0.0.1", make_url(database).port or 0) as proxy:
        proxy.delay(0.1)  # So slow that it cannot end before the signal.
        with subprocess.Popen(
            [*EXPORT, "-o", output],
            cwd=folder,
            env=environment(folder, {"DATABASE_URL": proxy.url(database)}),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            wait_until(lambda: list(folder.glob(".*.part")), process)
            process.send_signal(ending)
            out, err = process.communicate(timeout=SECONDS)
    assert process.returncode == 130, err
    assert (out, err) == (
        "",
        "Interrupted. Nothing was written. Run the same command again for all.\n",
    )
    assert there(folder) == []


def wait_until(met: Callable[[], object], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + SECONDS
    while not met():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_server_that_goes_away_in_the_middle_leaves_no_half_file(
    folder: Path, postgres: PostgresServer, database: str
) -> None:
    fill(database, turns=400)
    with FlakyProxy("127.0.0.1", make_url(database).port or 0) as proxy:
        proxy.delay(0.1)
        with subprocess.Popen(
            [*EXPORT, "-o", "a.md"],
            cwd=folder,
            env=environment(folder, {"DATABASE_URL": proxy.url(database)}),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            wait_until(lambda: list(folder.glob(".*.part")), process)
            proxy.refuse()
            proxy.drop_all()
            _, err = process.communicate(timeout=SECONDS)
    assert process.returncode == 1
    assert err.startswith("Error: ")
    assert err.count("\n") == 1
    assert "try again" in err
    assert there(folder) == []


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
