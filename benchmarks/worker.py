"""A contender in a process of its own, which works only while it is asked to.

Between two requests its event loop stands still, so contenders that are measured in turn do
not disturb each other.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import json
import logging
import os
import subprocess
import sys
import traceback
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

ROOT = Path(__file__).parents[1]


class Worker:
    """The measuring process's end.

    Args:
        name: The contender.
        target: Its database.

    Raises:
        RuntimeError: A request failed there; carries the traceback.
    """

    def __init__(self, name: str, target: Any) -> None:
        self.name = name
        command = [sys.executable, str(Path(__file__)), json.dumps([name, asdict(target)])]
        environment = {k: v for k, v in os.environ.items() if k not in ("DATABASE_URL",)}
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=target.folder,
            env=environment | {"CHAINLIT_APP_ROOT": target.folder},
            text=True,
        )

    def call(self, function: str, arguments: Mapping[str, Any]) -> dict[str, float]:
        """Run a function of `benchmarks.workloads` and return its figures."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps([function, arguments]) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the process of {self.name} has ended")
        figures, error = json.loads(line)
        if error:
            raise RuntimeError(f"{self.name}: {function}{dict(arguments)} failed:\n{error}")
        return dict(figures)

    def stop(self) -> None:
        """Close the layer and end the process."""
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait(60)


class Subject:
    """What a measuring function gets: the layer, and what it keeps for its next call."""

    def __init__(self, name: str, layer: Any) -> None:
        self.name = name
        self.layer = layer
        self.kept: dict[str, Any] = {}


def serve(requests: IO[str], answers: IO[str]) -> None:
    """Answer requests until there are no more."""
    name, options = json.loads(sys.argv[1])
    if options["checkout"]:
        sys.path.insert(0, options["checkout"])
        importlib.import_module("chainlit_sqla")
        sys.path.remove(options["checkout"])
    sys.path.insert(0, str(ROOT))
    contenders = importlib.import_module("benchmarks.contenders")
    workloads = importlib.import_module("benchmarks.workloads")

    import nest_asyncio

    nest_asyncio.apply()  # As Chainlit's command does before anything else.
    loop = asyncio.get_event_loop()
    logging.disable(logging.CRITICAL)
    subject: Subject | None = None

    async def run(function: str, arguments: Mapping[str, Any]) -> dict[str, float]:
        nonlocal subject
        if subject is None:
            subject = Subject(name, contenders.open_layer(name, contenders.Target(**options)))
        figures: dict[str, float] = await getattr(workloads, function)(subject, **arguments)
        return figures

    for line in requests:
        gc.collect()
        answer: list[Any]
        try:
            answer = [loop.run_until_complete(run(*json.loads(line))), None]
        except Exception:
            answer = [None, traceback.format_exc()]
        answers.write(json.dumps(answer) + "\n")
        answers.flush()
    if subject is not None:
        loop.run_until_complete(subject.layer.close())


if __name__ == "__main__":
    channel = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # What others print must not stand between the answers.
    sys.path.pop(0)  # This folder.
    serve(sys.stdin, channel)
