"""Run a command with the URLs of empty databases.

FRESH_1 to FRESH_3 are on PostgreSQL, FRESH_MARIADB and FRESH_MYSQL on those.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.servers.mysql import start_mysql
from tests.servers.postgres import start_postgres

os.environ["REQUIRE_ALL"] = "1"
server, mariadb, mysql = start_postgres(), start_mysql("mariadb"), start_mysql("mysql")
try:
    print(f"PostgreSQL from: {server.origin}", flush=True)
    fresh = {f"FRESH_{number}": server.create_database() for number in (1, 2, 3)}
    fresh |= {"FRESH_MARIADB": mariadb.create_database(), "FRESH_MYSQL": mysql.create_database()}
    sys.exit(subprocess.run(sys.argv[1:], env=os.environ | fresh).returncode)
finally:
    for one in (server, mariadb, mysql):
        one.stop()
