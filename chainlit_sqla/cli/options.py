"""Options that several commands share, and the settings they make."""

from __future__ import annotations

from typing import Annotated

import typer

from ..database import parse_url
from ..dialects import dialect_named
from ..errors import ConfigurationError
from ..settings import Settings

Url = Annotated[
    str | None,
    typer.Option(
        "--url",
        metavar="URL",
        help="The database; instead of CHAINLIT_DATABASE_URL or DATABASE_URL.",
    ),
]
Schema = Annotated[
    str | None,
    typer.Option(
        "--schema",
        metavar="NAME",
        help="The PostgreSQL schema of the tables; instead of CHAINLIT_SQLA_SCHEMA.",
    ),
]


def given_options(url: str | None, schema: str | None) -> dict[str, str]:
    """The options given on the command line, by the name of their setting.

    Raises:
        ConfigurationError: One is empty, as ``--url "$UNSET"`` is.
    """
    given = {"database_url": url, "db_schema": schema}
    options = {name: value for name, value in given.items() if value is not None}
    for name, value in options.items():
        if not value.strip():
            option = "--url" if name == "database_url" else "--schema"
            raise ConfigurationError(f"{option} is empty; give it a value or leave it out")
    return options


def settings_for(url: str | None, schema: str | None) -> Settings:
    """The settings of a command: its options win over the environment.

    Raises:
        ConfigurationError: An option cannot be used.
    """
    settings = Settings.load(**given_options(url, schema))
    if schema is not None:
        dialect = dialect_named(parse_url(settings.database).get_backend_name())
        if not dialect.has_schemas:
            raise ConfigurationError(f"{dialect.title} has no schemas; leave --schema out")
    return settings
