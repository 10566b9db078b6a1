"""A new process: from the import of the layer, after Chainlit's, to its first answer."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ..contenders import ASYNCPG, CONTENDERS, OURS, SQLALCHEMY
from ..record import Metric

if TYPE_CHECKING:
    from ..contenders import Place
    from ..context import Context, Figures

METRICS = (
    Metric("time", "ms"),
    Metric("CPU", "ms"),
    Metric("modules", ""),
    Metric("unwanted modules", ""),
)
CASE = "import to first query"
UNWANTED = ("alembic", "aiobotocore", "botocore", "boto3", "google.cloud", "azure")
"""Migrations and the SDKs of stores: nothing that a chat without attachments needs."""

OPEN = {
    OURS: "from chainlit_sqla import SQLADataLayer as Layer",
    ASYNCPG: "from chainlit.data.chainlit_data_layer import ChainlitDataLayer as Layer",
    SQLALCHEMY: "from chainlit.data.sql_alchemy import SQLAlchemyDataLayer as Layer",
}
DRIVERS = {"postgresql": "postgresql+asyncpg", "sqlite": "sqlite+aiosqlite"}

# Chainlit as its server has it: what that has imported costs the layer nothing.
PROGRAM = """
import asyncio, json, logging, sys, time
import chainlit, chainlit.server
logging.disable()
before = set(sys.modules)
began, ran = time.perf_counter(), time.process_time()
{open}
async def ask():
    layer = Layer(sys.argv[1])
    assert await layer.get_user("nobody") is None
    took = time.perf_counter() - began, time.process_time() - ran
    await layer.close()
    return took
took = asyncio.run(ask())
print(json.dumps([*took, sorted(set(sys.modules) - before)]))
"""


async def run(context: Context) -> None:
    """Measure cold starts, the contenders in turn, one process after the other."""
    for kind in context.kinds:
        names = [name for name in OPEN if kind in CONTENDERS[name].databases]
        names = [name for name in names if name in (context.contenders or names)]
        places = {}
        try:
            for name in names:
                contender = CONTENDERS[name]
                places[name] = await asyncio.to_thread(context.databases.make, contender, kind)
            await _interleave(context, kind, places)
        finally:
            for place in places.values():
                context.databases.drop(place)


async def _interleave(context: Context, kind: str, places: dict[str, Place]) -> None:
    bar = context.progress.add_task(f"cold, {kind}", total=(context.rounds + 1) * len(places))
    values = {
        (name, metric.name): context.add("cold", CASE, name, kind, metric)
        for name in places
        for metric in METRICS
    }
    for number in range(-1, context.rounds):  # The first one fills the disk cache.
        for name, place in places.items():
            figures = await asyncio.to_thread(start, name, place)
            context.progress.advance(bar)
            if number >= 0:
                for metric in METRICS:
                    values[name, metric.name].append(figures[metric.name])


def start(name: str, place: Place) -> Figures:
    """Start a process and have it report."""
    url = place.url
    if name == SQLALCHEMY:
        url = url.replace(place.database, DRIVERS[place.database], 1)
    here = os.pathsep.join(filter(None, [str(Path.cwd()), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(open=OPEN[name]), url],
        capture_output=True,
        text=True,
        cwd=place.folder,
        env=os.environ | {"CHAINLIT_APP_ROOT": str(place.folder), "PYTHONPATH": here},
    )
    if done.returncode:
        raise RuntimeError(f"A new process with {name} failed:\n{done.stderr}")
    seconds, cpu, modules = json.loads(done.stdout.splitlines()[-1])
    unwanted = [m for m in modules if any(m == u or m.startswith(u + ".") for u in UNWANTED)]
    return {
        "time": seconds * 1000,
        "CPU": cpu * 1000,
        "modules": len(modules),
        "unwanted modules": len(unwanted),
    }
