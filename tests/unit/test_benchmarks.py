"""The parts of the benchmarks that figures depend on, and that it runs at all."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from collections.abc import Awaitable, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from benchmarks.contenders import OURS
from benchmarks.goals import Goal, judge
from benchmarks.record import Record, advantage, spread
from benchmarks.table import number
from benchmarks.wire import CountingProxy, Counts, Watch
from tests.servers.postgres import PostgresServer, start_postgres

ROOT = Path(__file__).parents[2]


def record(contender: str, *values: float, more: bool = False) -> Record:
    return Record("turn", "first", contender, "sqlite", "time", "ms", more, list(values))


# Ratios and goals


def test_an_advantage_is_the_median_of_the_ratios_of_each_round() -> None:
    # The machine was ten times slower in the third round: medians first would give 2.5.
    found = advantage(record("a", 1, 2, 20), record("b", 4, 8, 50))
    assert found is not None
    assert found.median == 4


def test_where_more_is_better_the_larger_figure_has_the_advantage() -> None:
    found = advantage(record("a", 30, more=True), record("b", 10, more=True))
    assert found == spread([3])


def test_rounds_without_a_figure_to_divide_by_give_no_ratio() -> None:
    assert advantage(record("a", 0), record("b", 0)) is None


def test_a_goal_is_met_by_the_ratio_to_the_one_it_names() -> None:
    records = [record(OURS, 2, 2, 2), record("other", 8, 8, 8)]
    wanted = [Goal("turn", "sqlite", "first", "time", bound, "other") for bound in (4, 5)]
    assert [verdict.met for verdict in judge(records, wanted)] == [True, False]


def test_a_goal_without_a_reference_bounds_the_figure_itself() -> None:
    wanted = [Goal("turn", "sqlite", "first", "time", bound) for bound in (2, 1)]
    assert [verdict.met for verdict in judge([record(OURS, 2)], wanted)] == [True, False]


def test_a_goal_whose_reference_was_not_measured_is_neither_met_nor_missed() -> None:
    [verdict] = judge([record(OURS, 2)], [Goal("turn", "sqlite", "first", "time", 4, "other")])
    assert verdict.met is None


def test_figures_are_shown_with_three_digits() -> None:
    assert [number(n) for n in (0, 0.012345, 1.2345, 12345.6)] == ["0", "0.0123", "1.23", "12,346"]


# What passes on the wire


def message(kind: bytes, body: bytes = b"") -> bytes:
    return kind + struct.pack("!i", len(body) + 4) + body


STARTUP = struct.pack("!ii", 8 + 7, 196_608) + b"user\0x\0"
WITHOUT_TLS = struct.pack("!ii", 8, 80_877_103)


@pytest.mark.parametrize("size", [1, 3, 1_000])
def test_trips_and_statements_are_counted_however_the_stream_is_cut(size: int) -> None:
    counts = Counts()
    watch = Watch(counts)
    prepare = message(b"P", b"\0SELECT 1\0\0\0") + message(b"D", b"S\0") + message(b"H")
    execute = message(b"B", b"Q" * 50) + message(b"E", b"\0\0\0\0\0") + message(b"S")
    story = [
        (watch.sent, WITHOUT_TLS),
        (watch.answered, b"N"),
        (watch.sent, STARTUP + message(b"p", b"secret\0")),
        (watch.answered, message(b"R", b"\0\0\0\0") + message(b"Z", b"I")),
        (watch.sent, prepare),
        (watch.answered, message(b"1") + message(b"T", b"C" * 30)),
        (watch.sent, execute),
        (watch.answered, message(b"2") + message(b"D", b"C" * 99) + message(b"C", b"SELECT 1\0")),
        (watch.sent, execute),
        (watch.answered, message(b"2") + message(b"s") + message(b"Z", b"I")),
    ]
    for see, data in story:
        for start in range(0, len(data), size):
            see(data[start : start + size])
    assert counts == Counts(statements=2, trips=3)


def test_requests_sent_together_are_one_round_trip() -> None:
    counts = Counts()
    watch = Watch(counts)
    watch.sent(STARTUP)
    watch.sent(message(b"Q", b"BEGIN\0") + message(b"Q", b"SELECT 1\0"))
    watch.answered(message(b"C", b"BEGIN\0") + message(b"Z", b"T"))
    watch.answered(message(b"C", b"SELECT 1\0") + message(b"Z", b"T"))
    assert counts == Counts(statements=2, trips=1)


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    server = start_postgres()
    yield server
    server.stop()


async def test_the_proxy_counts_what_a_driver_asks(postgres: PostgresServer) -> None:
    proxy = CountingProxy(*postgres.address)
    connection = await asyncpg.connect(proxy.url(postgres.url), statement_cache_size=10)
    prepared = "SELECT $1::int"

    async def counted(work: Awaitable[Any]) -> tuple[int, int]:
        before = proxy.counts
        await work
        after = proxy.counts
        return after.statements - before.statements, after.trips - before.trips

    try:
        assert await counted(connection.execute("SELECT 1; SELECT 2")) == (2, 1)
        assert await counted(connection.execute("BEGIN")) == (1, 1)
        assert await counted(connection.fetchval(prepared, 1)) == (1, 2)
        assert await counted(connection.fetchval(prepared, 1)) == (1, 1)
    finally:
        await connection.close()
        proxy.stop()


# The command


def test_a_quick_run_measures_a_turn_on_both_databases(
    tmp_path: Path, postgres: PostgresServer
) -> None:
    output = tmp_path / "figures.json"
    command = [sys.executable, "-m", "benchmarks", "--quick", "--rounds", "1"]
    command += ["--workload", "turn", "--postgres", postgres.url]
    command += ["--contender", f"{OURS},limit", "--json", str(output), "--plots", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    found = json.loads(output.read_text())
    figures = {(r["database"], r["case"], r["contender"], r["metric"]): r for r in found["records"]}
    for database in ("postgresql", "sqlite"):
        for contender in (OURS, "limit"):
            assert all(v > 0 for v in figures[database, "later turn", contender, "time"]["values"])
        assert set(figures[database, "later turn", OURS, "stale steps"]["values"]) == {0}
    assert all(v > 0 for v in figures["postgresql", "later turn", OURS, "round trips"]["values"])
    assert "later turn" in done.stdout
    assert (tmp_path / "turn-sqlite.svg").stat().st_size > 0
    assert (tmp_path / "turn-postgresql.png").stat().st_size > 0
