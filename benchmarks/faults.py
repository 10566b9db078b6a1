"""What sessions get while something fails: a row of a table for each scenario.

Sessions write through the layer in a process of their own (`faults_worker`), which writes the
answer to each call into a journal; afterwards the journal is compared with the database.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from tests.servers.pgbouncer import start_pgbouncer
from tests.servers.postgres import PostgresServer
from tests.servers.postgres_process import LocalCluster, Standby, find_binaries
from tests.servers.proxy import FlakyProxy

from .contenders import OURS, Target, create_tables
from .worker import ROOT

DELETED = -1
"""The version of what was deleted."""
CAP = 100.0
"""Seconds from the beginning of a fault until its processes are asked to end."""
CLOSING = 75.0
"""Seconds from then until they are killed."""
HEADS = (
    *("scenario", "acknowledged", "refused", "lost", "out of order", "recovery"),
    *("longest silence", "peak memory", "log lines", "notes"),
)
TABLES = {
    "threads": ("id", "id", "name"),
    "steps": ('"threadId"', "id", "output"),
    "elements": ('"threadId"', "id", "name"),
    "feedbacks": ('"threadId"', '"forId"', "comment"),
}
"""The columns of the thread, the id and the text that begins with a version."""

Role = tuple[str, str, int, dict[str, Any]]
"""The name of sessions, a function of `faults_worker`, their number, its arguments."""


class Entry(NamedTuple):
    """The answer to one call."""

    who: str
    table: str
    thread_id: str
    id: str
    version: int
    began: float
    ended: float
    error: str


@dataclass
class Stage:
    """A scenario that is under way."""

    folder: Path
    cluster: LocalCluster
    server: PostgresServer
    proxy: FlakyProxy
    url: str
    stack: ExitStack
    began: float = 0.0
    over: float = 0.0
    compared: str = ""
    """The database that has the data in the end."""
    notes: list[str] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    done: set[str] = field(default_factory=set)
    """The sessions that have ended what they started together."""
    blocked: float = 0.0
    memory: float = 0.0
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    _journals: list[Any] = field(default_factory=list)

    def start(self, plan: Mapping[str, Any], settings: Mapping[str, str]) -> None:
        """Start a worker."""
        path = self.folder / f"journal-{len(self.processes)}"
        path.touch()
        self._journals.append(path.open("rb"))
        command = [sys.executable, str(Path(__file__).with_name("faults_worker.py"))]
        ours = {k: v for k, v in os.environ.items() if not k.startswith(("CHAINLIT", "DATABASE_"))}
        with path.with_suffix(".log").open("w") as log:
            self.processes.append(
                subprocess.Popen(
                    [*command, json.dumps({**plan, "journal": str(path)})],
                    cwd=self.folder,
                    env=ours | {"CHAINLIT_APP_ROOT": str(self.folder)} | dict(settings),
                    stdout=log,
                    stderr=log,
                )
            )

    def wait(self, seconds: float, until: Callable[[], bool] = lambda: False) -> bool:
        """Read the journals until a condition is met; return whether it was."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            running = [process.poll() is None for process in self.processes]
            for line in map(json.loads, self._lines()):
                if len(line) == len(Entry._fields):
                    self.entries.append(Entry(*line))
                elif len(line) == 1:
                    self.done.add(line[0])
                else:
                    self.blocked = max(self.blocked, line[0])
                    self.memory = max(self.memory, line[1])
            if until() or not any(running):
                return until()
            time.sleep(0.05)
        return False

    def _lines(self) -> Iterator[bytes]:
        for journal in self._journals:
            whole, _, rest = journal.read().rpartition(b"\n")
            journal.seek(-len(rest), os.SEEK_CUR)
            yield from whole.splitlines()

    def acknowledged(self, who: str = "", since: float = 0.0, until: float = 1e99) -> list[Entry]:
        """The writes that were under way between two moments and are acknowledged."""
        return [
            entry
            for entry in self.entries
            if entry.who == (who or entry.who) and not entry.error and entry.table != "reads"
            if entry.ended > since and entry.began < until
        ]

    def recover(self) -> None:
        """The fault is over: wait until somebody's new write is acknowledged."""
        self.over = self.over or time.monotonic()
        rest = self.began + CAP - time.monotonic()
        self.wait(rest, lambda: any(map(self._is_new, self.entries[-50:])))
        self.wait(2)

    def _is_new(self, entry: Entry) -> bool:
        return entry.began > self.over and not entry.error and entry.table != "reads"

    def go(self) -> None:
        """Let the sessions start what they do together."""
        for process in self.processes:
            process.send_signal(signal.SIGUSR1)

    def end(self) -> None:
        """End the processes as an orchestrator does."""
        began = time.monotonic()
        for process in self.processes:
            process.send_signal(signal.SIGTERM)
        self.wait(CLOSING)
        if (took := time.monotonic() - began) > 3:
            self.notes.append(f"ended after {took:.0f} s")
        for process in self.processes:
            if process.poll() is None:
                process.kill()
                self.notes.append("killed")


# The faults


def terminate(stage: Stage) -> None:
    """End all connections every 0.3 s for 20 s."""
    sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1"
    while time.monotonic() < stage.began + 20:
        stage.server.execute(sql, urlsplit(stage.url).path[1:])
        stage.wait(0.3)
    stage.recover()


def restart(stage: Stage) -> None:
    """Restart the server twelve times; clients hear of it 0.1 s before their connections end."""
    for _ in range(12):
        stage.proxy.end_in_two_steps()
        stage.cluster.shut_down()
        stage.cluster.start()
        stage.over = time.monotonic()
        stage.wait(1.5)
    stage.recover()


def forget(stage: Stage) -> None:
    """Lose the open connections without a word; new ones work."""
    stage.proxy.go_silent()
    stage.recover()


def lock_row(stage: Stage) -> None:
    """Lock the row of one thread for 30 s."""
    [thread_id] = {entry.thread_id for entry in stage.entries if entry.who == "locked"}
    sql = f"SELECT 1 FROM threads WHERE id = '{thread_id}' FOR UPDATE; SELECT pg_sleep(30)"
    command = ["psql", stage.url, "--quiet", "--command", sql]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as psql:
        stage.wait(40, lambda: psql.poll() is not None)
    stage.recover()


def switch_over(stage: Stage) -> None:
    """Promote a standby behind the same address; the old primary answers read-only."""
    standby = Standby(stage.cluster.binaries, stage.cluster)
    stage.stack.callback(standby.stop)
    stage.began = time.monotonic()
    stage.server.execute("ALTER SYSTEM SET default_transaction_read_only = on")
    stage.server.execute("SELECT pg_reload_conf()")
    stage.wait(2)
    stage.server.execute("SELECT pg_promote()", url=standby.url)
    stage.proxy.switch_to(standby.port)
    stage.compared = urlsplit(stage.url)._replace(netloc=urlsplit(standby.url).netloc).geturl()
    stage.recover()


def write(stage: Stage) -> None:
    """Nothing but time: the network or the pooler is the fault."""
    stage.wait(10)
    rate = len(stage.acknowledged(since=stage.began)) / (time.monotonic() - stage.began)
    stage.notes.append(f"{rate:.1f} writes/s")


def flood(stage: Stage, who: str) -> None:
    """Let one session start everything together."""
    stage.wait(3)
    stage.go()
    began = time.monotonic()
    stage.wait(CAP, lambda: who in stage.done)
    ended = time.monotonic()
    stage.wait(2)
    quiet = stage.acknowledged("others", stage.began, began)
    busy = stage.acknowledged("others", began, ended)
    stage.notes.append(f"others' p50 {p50(quiet)} → {p50(busy)} in {ended - began:.1f} s")


def fill_folder(stage: Stage) -> None:
    """Start uploads into a full folder, which has room after 10 s."""
    filler = stage.folder / "files" / "filler"
    with filler.open("wb") as file:
        while free := shutil.disk_usage(filler).free:
            file.write(bytes(free))
            file.flush()
    stage.go()
    stage.wait(10)
    filler.unlink()
    stage.over = time.monotonic()
    stage.wait(CAP - 10, lambda: "uploads" in stage.done)


def silence(stage: Stage) -> None:
    """Let the database answer nothing, not even new connections; then the process ends."""
    stage.proxy.go_silent(new=True)
    stage.wait(3)


def p50(entries: Iterable[Entry]) -> str:
    waits = [entry.ended - entry.began for entry in entries]
    return f"{statistics.median(waits) * 1000:.1f} ms" if waits else "none"


# The scenarios


@dataclass(frozen=True)
class Scenario:
    """A fault, and who writes meanwhile.

    Args:
        title: In the table.
        fault: What fails.
        roles: The sessions; those that are not named ``others`` are involved in the fault.
        processes: How many have these sessions.
        pooler: Options of PgBouncer, through which they write.
        delay: Seconds that the network takes each way.
        small_folder: Whether files are stored where there is room for 32 MB.
        settings: Of the layer, without their prefix.
    """

    title: str
    fault: Callable[[Stage], None]
    roles: tuple[Role, ...]
    processes: int = 1
    pooler: Mapping[str, Any] | None = None
    delay: float = 0.0
    small_folder: bool = False
    settings: Mapping[str, str] = field(default_factory=dict)


def others(number: int) -> Role:
    return ("others", "talk", number, {})


def pooled(title: str, processes: int = 1, *, prepared: bool = True, **pooler: Any) -> Scenario:
    settings = {} if prepared else {"PREPARED_STATEMENTS": "false"}
    title = f"PgBouncer, {pooler['mode']} mode, {title}"
    roles = (others(8), ("reader", "read", 8, {"pause": 0.05}))
    return Scenario(title, write, roles, processes, pooler, settings=settings)


def large(number: int, size: int) -> Scenario:
    role: Role = ("large", "burst", 1, {"number": number, "size": size << 20})
    fault = partial(flood, who="large")
    return Scenario(f"{number} × {size} MB of one session, 20 others", fault, (role, others(20)))


def far(milliseconds: int) -> Scenario:
    title = f"{milliseconds} ms of network, 10 sessions with mixed writes"
    return Scenario(title, write, (("others", "mix", 10, {}),), delay=milliseconds / 2000)


READER: Role = ("reader", "read", 1, {})
LOCKED: Role = ("locked", "talk", 1, {})
UPLOADS: Role = ("uploads", "burst", 1, {"number": 90, "size": 100_000, "table": "elements"})
FLOOD: Role = ("flood", "burst", 1, {"number": 20_000})
SCENARIOS: Mapping[str, Scenario] = {
    "terminate": Scenario("connections ended every 0.3 s for 20 s", terminate, (others(3), READER)),
    "restart": Scenario("12 restarts", restart, (others(3), READER)),
    "forgotten": Scenario("connections forgotten by the network", forget, (others(5), READER)),
    "locked": Scenario("a thread locked for 30 s, 50 others", lock_row, (LOCKED, others(50))),
    "switchover": Scenario("switchover, old primary read-only", switch_over, (others(5),)),
    "transaction": pooled("defaults", 2, mode="transaction"),
    "transaction-off": pooled("not prepared", 2, prepared=False, mode="transaction"),
    "session": pooled("defaults", mode="session"),
    "session-off": pooled("not prepared", prepared=False, mode="session"),
    "transaction-2": pooled("a pool of 2", 2, mode="transaction", pool_size=2),
    "session-2": pooled("a pool of 2", mode="session", pool_size=2),
    "large": large(300, 4),
    "medium": large(500, 1),
    "close": Scenario("SIGTERM while the database is silent", silence, (others(10), READER)),
    "full": Scenario(
        "folder full for 10 s, 90 uploads", fill_folder, (UPLOADS, others(3)), small_folder=True
    ),
    "flood": Scenario(
        "20,000 writes of one session", partial(flood, who="flood"), (FLOOD, others(1))
    ),
    "far-50": far(50),
    "far-200": far(200),
}


# Running one


@contextmanager
def staged(scenario: Scenario, checkout: Path) -> Iterator[Stage]:
    """Start the servers and the sessions of a scenario; nothing of them stays."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="faults-")))
        cluster = LocalCluster(find_binaries() or sys.exit("No PostgreSQL here; install it."))
        stack.callback(cluster.stop)
        server = PostgresServer(cluster.url, "binaries")
        direct = server.create_database()
        create_tables(OURS, Target("postgresql", direct, str(folder), str(checkout)))
        proxy = stack.enter_context(FlakyProxy(*server.address))
        stage = Stage(folder, cluster, server, proxy, direct, stack)
        settings = {f"CHAINLIT_SQLA_{name}": value for name, value in scenario.settings.items()}
        if scenario.small_folder:
            files = folder / "files"
            files.mkdir()
            command = ["mount", "-t", "tmpfs", "-o", "size=32m", "tmpfs", str(files)]
            subprocess.run(command, check=True)
            stack.callback(lambda: subprocess.run(["umount", "--lazy", files], check=True))
            settings["CHAINLIT_SQLA_STORAGE"] = f"file://{files}"
        url = proxy.url(direct)
        if scenario.pooler is not None:
            pooler = stack.enter_context(start_pgbouncer(server.url, **scenario.pooler))
            url = pooler.reach(direct)
        plan = {"url": url, "roles": scenario.roles, "checkout": str(checkout)}
        for _ in range(scenario.processes):
            stage.start(plan, settings)
            stack.callback(stage.processes[-1].kill)
        number = sum(role[2] for role in scenario.roles) * scenario.processes
        if not stage.wait(60, lambda: len({e.thread_id for e in stage.entries}) >= number):
            stage.notes.append("not all sessions began")
        proxy.delay(scenario.delay)
        stage.wait(2)
        yield stage


def run(scenario: Scenario, checkout: Path) -> str:
    """Run a scenario and return its row."""
    with staged(scenario, checkout) as stage:
        stage.began = time.monotonic()
        scenario.fault(stage)
        ended = time.monotonic()
        stage.end()
        return row(scenario.title, stage, ended)


def row(title: str, stage: Stage, ended: float) -> str:
    """Compare the journal with the database and say what the sessions got."""
    writes = [entry for entry in stage.entries if entry.table != "reads"]
    refused = Counter(entry.error for entry in writes if entry.error)
    acknowledged = stage.acknowledged()
    recovery = ""
    if stage.over:
        seconds = [e.ended - stage.over for e in acknowledged if e.began > stage.over]
        recovery = f"{min(seconds):.1f} s" if seconds else "never"
    moments = [e.ended for e in acknowledged if e.who == "others" and stage.began < e.ended < ended]
    moments = sorted([stage.began, *moments, ended])
    notes = [*stage.notes, *(f"{name} {number}" for name, number in refused.most_common())]
    if reads := [e for e in stage.entries if e.table == "reads" and e.ended > stage.began]:
        failed = sum(bool(entry.error) for entry in reads)
        longest = max(entry.ended - entry.began for entry in reads)
        notes.append(f"{len(reads)} pages, {failed} failed, longest {longest:.1f} s")
    if stage.blocked > 1:
        notes.append(f"event loop blocked for {stage.blocked:.1f} s")
    logs = [path.read_text(errors="replace") for path in stage.folder.glob("*.log")]
    values = (
        *(title, f"{len(acknowledged):,}", f"{refused.total():,}", lost(stage)),
        *(out_of_order(stage), recovery, f"{max(b - a for a, b in pairwise(moments)):.1f} s"),
        *(f"{stage.memory:,.0f} MB", sum(log.count("\n") for log in logs), "; ".join(notes)),
    )
    return f"| {' | '.join(map(str, values))} |"


def lost(stage: Stage) -> int:
    """Count the rows that do not have what was acknowledged last, or exist once deleted."""
    url = stage.compared or stage.url
    stored = {
        (table, thread_id, id): int(text.split()[0])
        for table, (thread, key, value) in TABLES.items()
        for thread_id, id, text in stage.server.execute(
            f"SELECT {thread}, {key}, left({value}, 20) FROM {table}", url=url
        )
    }
    deleted = {entry.id for entry in stage.entries if entry.version == DELETED}
    due: dict[tuple[str, str, str], int] = {}
    for entry in sorted(stage.entries, key=lambda entry: entry.began):
        key = entry[1:4]
        if not entry.error and entry.table != "reads":
            due[key] = entry.version
        elif entry.version == DELETED:
            due.pop(key, None)  # It may be deleted.
    return sum(
        key in stored if version == DELETED else stored.get(key, DELETED) < version
        for key, version in due.items()
        # What belongs to a deleted message or thread goes with it.
        if version == DELETED or not deleted & {*key[1:]}
    )


def out_of_order(stage: Stage) -> int:
    """Count the messages that stand before an earlier one of their session."""
    sql = 'SELECT "threadId", id FROM steps ORDER BY ordinal'
    rows = stage.server.execute(sql, url=stage.compared or stage.url)
    places = {(thread_id, id): place for place, (thread_id, id) in enumerate(rows)}
    saves = [e for e in stage.acknowledged() if e.table == "steps" and e.version == 0]
    saves.sort(key=lambda entry: (entry.thread_id, entry.began))
    found = [(e.thread_id, places[e[2:4]]) for e in saves if e[2:4] in places]
    return sum(a[0] == b[0] and a[1] > b[1] for a, b in pairwise(found))


def main() -> None:
    """Run the scenarios and print a row for each."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.faults", description=__doc__)
    parser.add_argument("scenario", nargs="*", choices=[[], *SCENARIOS], help="which (all)")
    parser.add_argument("--before", type=Path, help="measure the package of another checkout")
    options = parser.parse_args()
    print(f"| {' | '.join(HEADS)} |\n|{'---|' * len(HEADS)}", flush=True)
    for name in options.scenario or SCENARIOS:
        print(run(SCENARIOS[name], options.before or ROOT), flush=True)


if __name__ == "__main__":
    main()
