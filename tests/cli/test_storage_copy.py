"""`storage copy` as a user runs it: interrupted, killed, run again, in a terminal or not."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from rich.console import Console

from chainlit_sqla.cli.copy_progress import Display
from chainlit_sqla.settings import Settings
from chainlit_sqla.storage.base import BlobSource
from chainlit_sqla.storage.copy import Progress
from chainlit_sqla.storage.copy_endpoints import Ends
from chainlit_sqla.storage.journal import Amount, Journal
from chainlit_sqla.storage.local.client import LocalStorage
from tests.cli.conftest import Command
from tests.cli.programs import SECONDS, Result, environment, run_program
from tests.servers import s3_moto
from tests.servers.require import unavailable

COPY = [sys.executable, "-m", "chainlit_sqla", "storage", "copy"]
ENDED = """
import os, sys
import chainlit_sqla.cli.storage_copy as command
from chainlit_sqla.cli.app import main

ending = int(sys.argv.pop(1))

class Display(command.Display):
    ended = False

    def show(self, progress):
        super().show(progress)
        if not self.ended and progress.stage == "copy" and progress.done.blobs >= 20:
            self.ended = True
            os.kill(os.getpid(), ending)

command.Display = Display
main(sys.argv[1:])
"""


@pytest.fixture
def source(folder: Path) -> LocalStorage:
    return LocalStorage(folder / "source")


@pytest.fixture
def urls(folder: Path) -> list[str]:
    return ["--from", f"file://{folder}/source", "--to", f"file://{folder}/target"]


@pytest.fixture(scope="session")
def moto() -> Iterator[s3_moto.MotoServer]:
    if why := s3_moto.missing():
        unavailable(f"S3 by moto: {why}", "pip install 'moto[server]'")
    server = s3_moto.MotoServer()
    yield server
    server.stop()


@pytest.fixture
def bucket(moto: s3_moto.MotoServer) -> Any:
    """An empty bucket, as boto3 has it."""
    name = f"bucket-{secrets.token_hex(6)}"
    found = boto3.resource(
        "s3",
        endpoint_url=moto.endpoint,
        region_name=moto.region,
        aws_access_key_id=moto.access_key,
        aws_secret_access_key=moto.secret_key,
    ).Bucket(name)
    found.create()
    return found


def fill(store: LocalStorage, count: int, *, start: int = 0) -> None:
    async def put() -> None:
        for n in range(start, start + count):
            data = BlobSource(data=b"%04d" % n * 250)
            await store.put(f"user/{n:04}.txt", data, mime="text/plain", name=f"{n}.txt")

    asyncio.run(put())


def versions(root: Path) -> dict[str, Path]:
    """The file that each blob of a folder is in: one that is written again has another."""
    described = {path: json.loads(path.read_bytes()) for path in root.glob("??/*.json")}
    return {
        entry["key"]: path.with_suffix(f".{entry['version']}") for path, entry in described.items()
    }


def blobs(root: Path) -> dict[str, bytes]:
    return {key: path.read_bytes() for key, path in versions(root).items()}


def ended(ending: signal.Signals, folder: Path, *options: str, **variables: str) -> Result:
    """Copy, and have it get a signal when 20 blobs are copied and others are under way."""
    command = [sys.executable, "-c", ENDED, str(int(ending)), *COPY[3:], *options]
    return run_program(command, folder, variables)


def test_it_copies_and_says_what_to_do_next(
    cli: Command, source: LocalStorage, urls: list[str], folder: Path
) -> None:
    fill(source, 3)
    result = cli("storage", "copy", *urls)
    assert result.code == 0
    assert result.err == ""
    assert result.out.splitlines() == [
        "3 blobs (3.0 kB) copied and verified, 0 failed.",
        "Nothing was switched. If the application is running, stop it and run this command once "
        "more, for files that came meanwhile; then start it with "
        f"CHAINLIT_SQLA_STORAGE=file://{folder}/target",
    ]
    assert blobs(folder / "target") == blobs(folder / "source")
    [journal] = (folder / ".chainlit_sqla").iterdir()
    assert journal.name.startswith("storage-copy-")
    # After the switch: a file came meanwhile, and a conversation was deleted.
    fill(source, 1, start=3)
    asyncio.run(source.delete(["user/0000.txt"]))
    result = cli("storage", "copy", *urls, CHAINLIT_SQLA_STORAGE=f"file://{folder}/target")
    assert result.out == (
        "1 blob (1.0 kB) copied and verified, 0 failed. 2 blobs (2.0 kB) were there already, "
        "verified. 1 of the target are no longer in the source: `chainlit-sqla storage check` on "
        "the new store finds such leftovers when they are an hour old.\n"
    )


def test_a_dry_run_writes_nothing(
    cli: Command, source: LocalStorage, urls: list[str], folder: Path
) -> None:
    fill(source, 3)
    result = cli("storage", "copy", *urls, "--dry-run")
    assert result == (0, "3 blobs (3.0 kB) would be copied. Nothing was written.\n", "")
    assert [path.name for path in folder.iterdir()] == ["source"]
    cli("storage", "copy", *urls)
    fill(source, 1, start=3)
    assert cli("storage", "copy", *urls, "--dry-run").out == (
        "1 blob (1.0 kB) would be copied; 3 (3.0 kB) are there already, with the same size. "
        "Nothing was written.\n"
    )


def test_killed_in_the_middle_it_goes_on_where_it_was(
    program: Command, source: LocalStorage, urls: list[str], folder: Path
) -> None:
    fill(source, 60)
    target = folder / "target"
    assert ended(signal.SIGKILL, folder, *urls, "--journal", "copy.db").code == -signal.SIGKILL
    before = versions(target)
    assert 20 <= len(before) < 60

    result = program("storage", "copy", *urls, "--journal", "copy.db")
    assert (result.code, result.err) == (0, "")
    copied, kept = 60 - len(before), len(before)
    assert f"{copied} blobs ({copied}.0 kB) copied and verified, 0 failed." in result.out
    assert f"{kept} blobs ({kept}.0 kB) were there already" in result.out
    assert blobs(target) == blobs(folder / "source")
    assert before.items() <= versions(target).items()


def test_ctrl_c_ends_it_with_one_line(
    program: Command, source: LocalStorage, folder: Path, moto: s3_moto.MotoServer, bucket: Any
) -> None:
    fill(source, 30)
    keys = {"APP_AWS_ACCESS_KEY": moto.access_key, "APP_AWS_SECRET_KEY": moto.secret_key}
    there = f"s3://{bucket.name}/chat?endpoint={moto.endpoint}&region=us-east-1"
    urls = ["--from", f"file://{folder}/source", "--to", there]
    result = ended(signal.SIGINT, folder, *urls, **keys)
    assert result == (130, "", "Interrupted. Run the same command again to go on.\n")
    result = program("storage", "copy", *urls, **keys)
    assert (result.code, result.err) == (0, "")
    assert "0 failed. " in result.out
    assert f"then start it with CHAINLIT_SQLA_STORAGE='{there}'\n" in result.out
    objects = {item.key: item.get()["Body"].read() for item in bucket.objects.all()}
    assert objects == {f"chat/user/{n:04}.txt": b"%04d" % n * 250 for n in range(30)}


def test_what_failed_is_listed_and_tried_again(
    cli: Command, source: LocalStorage, urls: list[str], folder: Path
) -> None:
    fill(source, 23)
    broken = versions(folder / "source")["user/0007.txt"]
    data = broken.read_bytes()
    broken.unlink()
    broken.mkdir()
    result = cli("storage", "copy", *urls)
    assert result.code == 1
    assert result.out == "22 blobs (22.0 kB) copied and verified, 1 failed.\n"
    *warnings, reason, error = result.err.splitlines()
    assert all("'user/0007.txt' has" in warning for warning in warnings)
    assert reason.startswith("Cannot read 'user/0007.txt' in the folder")
    assert error == "Error: 1 blob was not copied; run the same command again to try it again"
    broken.rmdir()
    broken.write_bytes(data)
    result = cli("storage", "copy", *urls)
    assert result.code == 0
    assert result.out.startswith("1 blob (1.0 kB) copied and verified, 0 failed. 22 blobs")


def test_a_damaged_description_is_told(
    cli: Command, source: LocalStorage, urls: list[str], folder: Path
) -> None:
    fill(source, 2)
    damaged = next((folder / "source").glob("??/*.json"))
    damaged.write_text("{")
    result = cli("storage", "copy", *urls)
    assert result.out.startswith("1 blob (1.0 kB) copied")
    assert f"Warning: Not listed: {damaged} is damaged" in result.err


def test_two_at_once_are_refused(
    program: Command, source: LocalStorage, urls: list[str], folder: Path
) -> None:
    fill(source, 1)
    ends = Ends.open(urls[1], urls[3], Settings.load())
    with Journal(folder / "copy.db", str(ends.source_place), str(ends.target_place)):
        result = program("storage", "copy", *urls, "--journal", "copy.db")
    assert (result.code, result.out) == (1, "")
    assert result.err == (
        "Error: Another copy is under way with the journal copy.db; let it end first\n"
    )
    assert not (folder / "target").exists()


def test_a_damaged_journal_is_told(
    cli: Command, source: LocalStorage, urls: list[str], folder: Path
) -> None:
    fill(source, 1)
    (folder / "copy.db").write_bytes(b"no journal at all" * 100)
    result = cli("storage", "copy", *urls, "--journal", "copy.db")
    assert result.code == 1
    assert "The journal copy.db is damaged" in result.err
    assert "delete it and run the same command again" in result.err


@pytest.mark.parametrize(
    ("start", "end", "words"),
    [
        ("file:///srv/files", "file:///srv/files/", "the same store"),
        ("file:///srv/no-such-folder", "s3://bucket", "There is no folder"),
        ("", "s3://bucket", "--from is empty"),
        ("s3://bucket", " ", "--to is empty"),
        ("s3://key:secret@bucket", "file:///srv/files", "s3://***@bucket"),
    ],
)
def test_what_cannot_be_copied_is_said_in_a_sentence(
    cli: Command, start: str, end: str, words: str
) -> None:
    result = cli("storage", "copy", "--from", start, "--to", end)
    assert (result.code, result.out) == (1, "")
    assert words in result.err
    assert "secret" not in result.err.replace("SECRET", "")


def test_an_empty_source_is_no_success_that_misleads(
    cli: Command, urls: list[str], folder: Path
) -> None:
    (folder / "source").mkdir()
    for option in ([], ["--dry-run"]):
        result = cli("storage", "copy", *urls, *option)
        assert result.code == 0
        assert result.out == (
            f"There are no blobs in file://{folder}/source; if there should be some, "
            "correct --from.\n"
        )


def test_a_terminal_shows_a_bar_and_the_result_can_be_piped(
    source: LocalStorage, urls: list[str], folder: Path
) -> None:
    fill(source, 20)
    terminal, side = pty.openpty()
    variables = {"TERM": "xterm", "COLUMNS": "100"}
    with subprocess.Popen(
        [*COPY, *urls],
        cwd=folder,
        env=environment(folder, variables),
        stdout=subprocess.PIPE,
        stderr=side,
        text=True,
    ) as process:
        os.close(side)
        shown = b""
        while chunk := read(terminal):
            shown += chunk
        out, _ = process.communicate(timeout=SECONDS)
    os.close(terminal)
    assert process.returncode == 0
    assert out.startswith("20 blobs (20.0 kB) copied and verified, 0 failed.\n")
    assert b"Listing the source" in shown
    assert b"/20 blobs, " in shown


def read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # Linux says so when the other side was closed.
        return b""


def test_without_a_terminal_it_writes_plain_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with Display(Console(stderr=True), seconds=0) as display:
        display.show(Progress("source", Amount(500, 2_000_000)))
        display.show(Progress("copy", Amount(300, 1_000_000), Amount(1204, 3_200_000_000)))
    assert capsys.readouterr().err.splitlines() == [
        "Listing the source: 500 blobs, 2.0 MB",
        "Copying: 300/1,204 blobs, 1.0 MB/3.2 GB",
    ]
