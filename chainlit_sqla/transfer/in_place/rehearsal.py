"""Where a rehearsal is held: in the database itself where it can undo all, else in a copy."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import URL

from ...database import parse_url
from ...dialects import dialect_named
from ...errors import DatabaseUnavailable
from ...settings import Settings


@contextmanager
def rehearsed_at(settings: Settings) -> Iterator[tuple[Settings, URL]]:
    """The settings to rehearse with, and the URL to show for them.

    A SQLite file is copied: to be written, it would have to change its journal mode.

    Args:
        settings: They name the database.

    Raises:
        ConfigurationError: There is no such file.
        DatabaseUnavailable: The file cannot be copied; says why.

    Example:
        >>> with rehearsed_at(Settings.load(database_url="sqlite:///chats.db")) as (own, shown):
        ...     print(own.database, shown)
        sqlite:////tmp/chainlit_sqla_7f/chats.db sqlite:///chats.db
    """
    given = parse_url(settings.database)
    dialect = dialect_named(given.get_backend_name())
    with tempfile.TemporaryDirectory(prefix="chainlit_sqla_") as folder:
        try:
            copy = dialect.copied(given, Path(folder))
        except OSError as error:
            raise DatabaseUnavailable(
                f"{given.database} cannot be copied into {folder} ({error.strerror}), where it is "
                "rehearsed; check that it can be read, and name a folder with room by TMPDIR"
            ) from error
        if copy is not None:
            url = copy.render_as_string(hide_password=False)
            settings = settings.model_copy(update={"database_url": url})
        yield settings, given
