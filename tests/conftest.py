"""What the process of the tests needs before Chainlit is imported, and before any other test.

Chainlit makes folders where it is imported: for the tests in a folder that goes. And a shell
that starts the tests in the background has them ignore Ctrl+C, which the programs that they
start would inherit.

How long an example of Hypothesis takes says more about the machine than about the code: none of
its limits of time holds.
"""

from __future__ import annotations

import atexit
import os
import re
import shutil
import signal
import tempfile
from collections import Counter
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from tests.servers.broker import Broker, use_controller
from tests.servers.server import start_shared

if "CHAINLIT_APP_ROOT" not in os.environ or "PYTEST_XDIST_WORKER" in os.environ:
    _root = tempfile.mkdtemp(prefix="chainlit-app-root-")
    os.environ["CHAINLIT_APP_ROOT"] = _root
    atexit.register(shutil.rmtree, _root, ignore_errors=True)

signal.signal(signal.SIGINT, signal.default_int_handler)

settings.register_profile(
    "no clock",
    # What must pass before a change lands is the same each time; elsewhere they go on looking.
    derandomize="REQUIRE_ALL" in os.environ,
    deadline=None,
    suppress_health_check=[
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
        HealthCheck.function_scoped_fixture,  # Each example has ids of its own.
    ],
    print_blob=True,
)
settings.load_profile("no clock")

_broker = pytest.StashKey[Broker]()


def pytest_configure(config: pytest.Config) -> None:
    """Start the broker of the servers where workers will ask for them."""
    if hasattr(config, "workerinput"):
        use_controller()
    elif getattr(config.option, "numprocesses", None):
        config.stash[_broker] = Broker(start_shared)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Its servers end with this process."""
    if broker := config.stash.get(_broker, None):
        broker.close()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave to the full run what is over another server than the everyday ones."""
    for item in items:
        if _needs_other_server(item):
            item.add_marker(pytest.mark.full)


_OTHER_SERVER = re.compile(r"(mysql|mariadb)(_url|_server|_ours_\d+)?")
"""Names of fixtures, parameters and frozen databases that need MySQL or MariaDB."""


def _needs_other_server(item: pytest.Item) -> bool:
    names = set(getattr(item, "fixturenames", ()))
    if callspec := getattr(item, "callspec", None):
        names |= {value for value in callspec.params.values() if isinstance(value, str)}
    return any(map(_OTHER_SERVER.fullmatch, names))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Sum up what was skipped, a line for each reason."""
    reasons: Counter[str] = Counter()
    for report in terminalreporter.stats.get("skipped", []):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        reasons[re.sub(r"^Skipped: ", "", str(reason))] += 1
    for reason, number in reasons.most_common():
        terminalreporter.write_line(f"{number} skipped: {reason}")
