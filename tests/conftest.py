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
import shutil
import signal
import tempfile

from hypothesis import HealthCheck, settings

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
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    print_blob=True,
)
settings.load_profile("no clock")
