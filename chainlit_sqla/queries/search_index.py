"""Building, dropping and describing the index of ``chainlit-sqla search``."""

from __future__ import annotations

from ..database import Database
from ..database.revision import current_revision, revision_mismatch
from ..dialects.search_index import SearchIndex
from ..errors import ConfigurationError
from .search import read_state


async def enable(database: Database) -> str:
    """Build the index, or complete and repair an interrupted build; return the `status`."""
    index = _index(database)
    revision = await database.read(lambda c: current_revision(c, database.schema))
    if mismatch := revision_mismatch(database.label, revision):
        raise mismatch
    if not (await read_state(database)).usable:
        with database.translated_errors():
            await index.build(database.engine, database.schema)
    return await status(database)


async def disable(database: Database) -> str:
    """Drop the index; nothing happens where there is none."""
    with database.translated_errors():
        await _index(database).drop(database.engine, database.schema)
    return await status(database)


async def status(database: Database) -> str:
    """Describe the index in one sentence: its size, its age and whether searches use it."""
    index, label = database.dialect.search_index, database.label
    if index is None:
        return f"{label}: no search index; {_no_index(database)}"
    state = await read_state(database)
    if not state.exists:
        return f"{label}: no search index; searches read the user's messages"
    if not state.usable:
        return (
            f"{label}: the search index is incomplete and not used; "
            "run: chainlit-sqla search enable"
        )
    [[[size]]] = await database.fetch(index.size_query(database.schema))
    text = f"{label}: search index of {size / 1e6:.1f} MB in use, built {state.built_at}"
    if not state.indexes_unicode:
        text += "; the database's locale is C, so it serves ASCII letters and digits only"
    return text


async def case_warning(database: Database) -> str:
    """Return what ``doctor`` reports of searches that distinguish cases, empty if none do."""
    if (await read_state(database)).folds_unicode:
        return ""
    return (
        "this PostgreSQL has no ICU collations, so searches ignore the case of letters only as "
        "far as the database's locale does; use a server built with ICU to ignore all"
    )


def _index(database: Database) -> SearchIndex:
    if (index := database.dialect.search_index) is None:
        raise ConfigurationError(f"No index was built: {_no_index(database)}")
    return index


def _no_index(database: Database) -> str:
    return (
        f"{database.dialect.title} has no index that finds text faster than reading one user's "
        "messages does; searches work without one"
    )
