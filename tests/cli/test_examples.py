"""The examples run as they are."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TextIO

import httpx
import pytest

from tests.cli.programs import ROOT, SECONDS, environment
from tests.servers.ports import free_port

EXAMPLES = ROOT / "examples"
PORT = "{port}"


@pytest.mark.parametrize(
    ("command", "path"),
    [
        (["chainlit", "run", "with_data_layer.py", "--headless", "--port", PORT], ""),
        (["uvicorn", "mounted_fastapi:app", "--port", PORT], "/chat"),
    ],
    ids=["with_data_layer", "mounted_fastapi"],
)
def test_it_keeps_who_logged_in(folder: Path, command: Sequence[str], path: str) -> None:
    port = free_port()
    words = [
        word.replace(PORT, str(port)).replace("with_data", f"{EXAMPLES}/with_data")
        for word in command
    ]
    variables = {
        "CHAINLIT_AUTH_SECRET": "a-secret-for-tests-that-is-long-enough",
        "PYTHONPATH": f"{ROOT}:{EXAMPLES}",
    }
    log = (folder / "log").open("w+")
    process = subprocess.Popen(
        [sys.executable, "-m", *words],
        cwd=folder,
        env=environment(folder, variables),
        stdout=log,
        stderr=subprocess.STDOUT,
    )
    try:
        url = f"http://127.0.0.1:{port}{path}"
        with httpx.Client(base_url=url, trust_env=False, timeout=SECONDS) as client:
            wait_until(lambda: client.get("/health").is_success, process, log)
            form = {"username": "ada", "password": "secret"}
            client.post("/login", data=form).raise_for_status()
            assert client.get("/project/settings").json()["dataPersistence"] is True
    finally:
        process.terminate()
        process.wait(SECONDS)
        log.close()
    connection = sqlite3.connect(folder / ".chainlit_sqla" / "chainlit.db")
    assert connection.execute("SELECT identifier FROM users").fetchall() == [("ada",)]
    connection.close()


def wait_until(ready: Callable[[], bool], process: subprocess.Popen[bytes], log: TextIO) -> None:
    deadline = time.monotonic() + SECONDS
    while True:
        assert process.poll() is None, Path(log.name).read_text()
        try:
            if ready():
                return
        except httpx.TransportError:
            assert time.monotonic() < deadline, Path(log.name).read_text()
        time.sleep(0.05)
