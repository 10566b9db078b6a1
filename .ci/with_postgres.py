"""Run a command with the URLs of three empty databases in FRESH_1, FRESH_2, FRESH_3."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.servers.postgres import start_postgres

os.environ["REQUIRE_ALL"] = "1"
server = start_postgres()
try:
    print(f"PostgreSQL from: {server.origin}", flush=True)
    fresh = {f"FRESH_{number}": server.create_database() for number in (1, 2, 3)}
    sys.exit(subprocess.run(sys.argv[1:], env=os.environ | fresh).returncode)
finally:
    server.stop()
