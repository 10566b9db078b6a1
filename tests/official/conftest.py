"""Chainlit's own layers: the tests of the contract that show a difference, and no others."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from chainlit.context import ChainlitContext, context_var
from chainlit.session import HTTPSession

from tests.contract.backends import Backend, Databases, Server, empty_database
from tests.contract.fixtures import *  # noqa: F403
from tests.frozen.catalog import CATALOG
from tests.official.backends import (
    OnAsyncpg,
    OnSqlAlchemy,
    postgres_databases,
    sqlite_template,
)
from tests.official.differences import DIFFERENCES, expected_failure


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep the tests that show a difference, as expected failures."""
    here = Path(__file__).parent
    dropped = []
    for item in items:
        if here in item.path.parents and "backend" in getattr(item, "fixturenames", ()):
            if mark := _mark(item):
                item.add_marker(mark)
            else:
                dropped.append(item)
    if dropped:
        config.hook.pytest_deselected(items=dropped)
        items[:] = [item for item in items if item not in set(dropped)]


def _mark(item: pytest.Item) -> pytest.MarkDecorator | None:
    """Find the mark of a test by its function and parameters, of which the layer is the first."""
    assert isinstance(item, pytest.Function)
    parameters = item.name.removesuffix("]").partition("[")[2]
    for layer in DIFFERENCES:
        if parameters == layer or parameters.startswith(f"{layer}-"):
            return expected_failure(item.function, layer, parameters[len(layer) + 1 :])
    return None


@pytest.fixture(scope="session")
def quiet_collector() -> Iterator[None]:
    """Collect garbage only between tests.

    These layers leak connections. One that is collected while pytest parses the source of a
    traceback switches greenlets there, and the parser fails with a SystemError.
    """
    gc.collect()
    gc.freeze()
    gc.disable()
    yield
    gc.unfreeze()
    gc.enable()


@pytest.fixture(autouse=True)
def collected(quiet_collector: None) -> Iterator[None]:
    yield
    gc.collect()


@pytest.fixture(scope="session")
def sa_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sqlite_template(tmp_path_factory.mktemp("template"), CATALOG["sqlite_v8"].statements)


@pytest.fixture(scope="session")
def sa_postgresql(postgres: Server) -> Databases:
    return postgres_databases(postgres, CATALOG["postgres_v8"].statements)


@pytest.fixture(scope="session")
def cd(postgres: Server) -> Databases:
    return postgres_databases(postgres, CATALOG["postgres_prisma"].statements)


@pytest.fixture(params=list(DIFFERENCES))
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Backend]:
    source = request.getfixturevalue(request.param.replace("-", "_"))
    with empty_database(source, tmp_path) as url:
        yield (OnAsyncpg if request.param == "cd" else OnSqlAlchemy)(tmp_path, url)


@pytest.fixture
async def layer(backend: Backend) -> AsyncIterator[Any]:
    """A layer inside a session: outside of one these layers raise, whatever is called."""
    session = HTTPSession(id="session", client_type="webapp", thread_id="thread")
    token = context_var.set(ChainlitContext(session))
    yield backend.open()
    context_var.reset(token)
    await backend.close()
