"""A folder of files that is full, read-only or out of descriptors for a while."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers.require import unavailable
from tests.until import PATIENCE

from .faulty_folder import NUMBER

NAMESPACE = ["unshare", "--map-root-user", "--mount"]


@pytest.mark.full
@pytest.mark.parametrize("kind", ["full", "read-only", "descriptors"])
def test_no_attachment_is_lost_to_a_folder_that_fails_for_a_while(
    kind: str, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "tests.storage.faulty_folder", kind, str(tmp_path)]
    if kind != "descriptors":
        try:
            subprocess.run([*NAMESPACE, "true"], check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            unavailable("a full disk: no mount namespaces", "run where unshare --mount is allowed")
        command = [*NAMESPACE, *command]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert (result["errors"], result["stored"]) == ([], NUMBER), done.stderr[-3000:]
    assert result["order kept"]
    assert result["lines"] < 10
