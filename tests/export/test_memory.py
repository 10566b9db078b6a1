"""What an export holds in memory does not grow with what people said."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from chainlit_sqla.database import Database
from chainlit_sqla.models import steps
from tests.export import many

MESSAGES, LENGTH = 150, 2_000_000
_MOST_MB = 200
_CHILD = """
import resource, sys
from pathlib import Path
from chainlit_sqla.cli.guard import main

try:
    main(sys.argv[1:])
finally:
    status = Path("/proc/self/status")  # What it says is of this program alone.
    if status.exists():
        lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
        most = int(lines["VmHWM"].split()[0]) // 1024
    else:
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(most)
"""


@pytest.mark.parametrize(
    ("url", "form"),
    [
        ("sqlite", "html"),
        ("sqlite", "markdown"),
        ("postgresql", "markdown"),
        ("mariadb", "html"),
        ("mysql", "markdown"),
    ],
    indirect=["url"],
)
async def test_a_few_long_messages_are_not_held_together(
    database: Database, tmp_path: Path, form: str
) -> None:
    await many.store(database, "long", 1)
    text = ("lorem ipsum " * LENGTH)[: LENGTH - 1]
    for number in range(MESSAGES):
        row = {
            "threadId": "long",
            "id": f"m{number}",
            "type": "user_message" if number % 2 else "assistant_message",
            "name": "ada",
            "output": f"{number % 10}{text}",
            "metadata": {},
            "createdAt": many.START,
            "ordinal": 10 + number,
        }
        async with database.write() as connection:
            await connection.execute(steps.insert(), row)
    url = database.given_url.render_as_string(hide_password=False)
    path = tmp_path / f"chats.{form}"
    arguments = ["export", "--url", url, "--format", form, "-o", str(path)]
    child = subprocess.run(
        [sys.executable, "-c", _CHILD, *arguments], capture_output=True, text=True, check=False
    )
    assert child.returncode == 0, child.stderr
    assert path.stat().st_size > MESSAGES * LENGTH
    assert int(child.stdout) < _MOST_MB
