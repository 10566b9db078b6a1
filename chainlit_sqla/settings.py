"""Settings from the environment and from ``.env``, with the variable names of Chainlit.

Environment variables win over the file. The file is the one that Chainlit itself reads
(``CHAINLIT_ENV_FILE``, default ``.env`` in the current folder), so that the command line and
the application use the same database.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

from dotenv import dotenv_values
from pydantic import AliasChoices, Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from .errors import ConfigurationError

_OURS = "CHAINLIT_SQLA_"
_named = AliasChoices


def env_file() -> str:
    """Return the path of the file with variables that Chainlit reads, too."""
    return os.environ.get("CHAINLIT_ENV_FILE", ".env")


def _given_variables() -> dict[str, str | None]:
    return {**dotenv_values(env_file()), **os.environ}


class Settings(BaseSettings):
    """All settings; read once when a data layer is created or a command starts.

    Example:
        >>> Settings.load(database_url="sqlite:///chats.db").database_url
        'sqlite:///chats.db'
    """

    model_config = SettingsConfigDict(
        # An empty variable, common in compose files, counts as unset. Bare field names are
        # not variables: POOL_SIZE may be the application's own.
        env_file_encoding="utf-8",
        extra="ignore",
        env_ignore_empty=True,
        frozen=True,
    )

    # Database
    database_url: str = Field(
        "", validation_alias=_named("CHAINLIT_DATABASE_URL", "DATABASE_URL"), repr=False
    )
    """The database; empty for a SQLite file below `data_dir`."""
    db_schema: str | None = Field(None, validation_alias=_named(_OURS + "SCHEMA"))
    """A PostgreSQL schema for the tables; None for the default one of the connection."""
    auto_upgrade: bool | None = Field(None, validation_alias=_named(_OURS + "AUTO_UPGRADE"))
    """Whether to create or upgrade the tables on first use; None: on SQLite only."""
    trusted_roles: str = Field("", validation_alias=_named(_OURS + "TRUSTED_ROLES"))
    """Roles of PostgreSQL, separated by commas, that may use the tables beside their owner."""
    pool_size: int = Field(5, ge=1, validation_alias=_named(_OURS + "POOL_SIZE"))
    """The number of connections that stay open."""
    max_overflow: int = Field(10, ge=0, validation_alias=_named(_OURS + "MAX_OVERFLOW"))
    """The number of additional connections under load."""
    connect_timeout: float = Field(10.0, gt=0, validation_alias=_named(_OURS + "CONNECT_TIMEOUT"))
    """Seconds until a connection attempt without answer fails."""
    connection_max_age: float = Field(
        1800.0, ge=0, validation_alias=_named(_OURS + "CONNECTION_MAX_AGE")
    )
    """Seconds after which a connection is replaced, so that changes of DNS are followed; 0: never.
    Has no effect on SQLite."""
    command_timeout: float = Field(30.0, ge=0, validation_alias=_named(_OURS + "COMMAND_TIMEOUT"))
    """Seconds until a statement without answer fails and its connection is replaced; 0: never."""
    lock_timeout: float = Field(2.0, ge=0, validation_alias=_named(_OURS + "LOCK_TIMEOUT"))
    """Seconds for which a statement waits for a locked row; 0: as the server is configured."""
    prepared_statements: bool | None = Field(
        None, validation_alias=_named(_OURS + "PREPARED_STATEMENTS")
    )
    """False behind a transaction pooler such as PgBouncer or Supabase's port 6543; None: unless a
    pooler is noticed."""
    user_cache_seconds: float = Field(
        5.0, ge=0, validation_alias=_named(_OURS + "USER_CACHE_SECONDS")
    )
    """Seconds for which a user is cached; 0 disables the cache."""

    read_seconds: float = Field(10.0, gt=0, validation_alias=_named(_OURS + "READ_SECONDS"))
    """Seconds after which a page, but not a search, is given up."""

    # Writes
    queue_size: int = Field(10_000, ge=1, validation_alias=_named(_OURS + "QUEUE_SIZE"))
    """The capacity of the write queue; further callers wait in line, 50,000 at most."""
    queue_bytes: int = Field(256 * 2**20, ge=1, validation_alias=_named(_OURS + "QUEUE_BYTES"))
    """The capacity of the write queue in bytes; callers in line may hold four times as many."""
    max_row_bytes: int = Field(64 * 2**20, ge=1, validation_alias=_named(_OURS + "MAX_ROW_BYTES"))
    """The size of a step, an element's row, a thread's or a user's metadata at most, about."""
    max_short_text: int = Field(10_000, ge=1, validation_alias=_named(_OURS + "MAX_SHORT_TEXT"))
    """Characters of a thread's name, a comment and a search text at most."""
    batch_size: int = Field(500, ge=1, validation_alias=_named(_OURS + "BATCH_SIZE"))
    """The largest number of writes in one transaction."""
    retry_seconds: float = Field(120.0, ge=0, validation_alias=_named(_OURS + "RETRY_SECONDS"))
    """Seconds for which a write is retried while the database is unavailable."""
    close_seconds: float = Field(20.0, ge=0, validation_alias=_named(_OURS + "CLOSE_SECONDS"))
    """Seconds that closing takes in all: for uploads, writes and connections."""

    # Storage
    data_dir: Path = Field(Path(".chainlit_sqla"), validation_alias=_named(_OURS + "DATA_DIR"))
    """The folder of the SQLite file and of local files, relative to Chainlit's app root."""
    storage_url: str = Field("", validation_alias=_named(_OURS + "STORAGE"))
    """The URL of the store for attachments; empty to use `bucket_name`."""
    bucket_name: str = Field("", validation_alias=_named("BUCKET_NAME"))
    aws_access_key: str = Field("", validation_alias=_named("APP_AWS_ACCESS_KEY"), repr=False)
    aws_secret_key: str = Field("", validation_alias=_named("APP_AWS_SECRET_KEY"), repr=False)
    aws_region: str = Field("", validation_alias=_named("APP_AWS_REGION"))
    aws_endpoint: str = Field("", validation_alias=_named("DEV_AWS_ENDPOINT"))
    gcs_project_id: str = Field("", validation_alias=_named("APP_GCS_PROJECT_ID"))
    gcs_client_email: str = Field("", validation_alias=_named("APP_GCS_CLIENT_EMAIL"))
    gcs_private_key: str = Field("", validation_alias=_named("APP_GCS_PRIVATE_KEY"), repr=False)
    azure_storage_account: str = Field("", validation_alias=_named("APP_AZURE_STORAGE_ACCOUNT"))
    azure_storage_key: str = Field(
        "", validation_alias=_named("APP_AZURE_STORAGE_ACCESS_KEY"), repr=False
    )
    storage_retry_seconds: float | None = Field(
        None, ge=0, validation_alias=_named(_OURS + "STORAGE_RETRY_SECONDS")
    )
    """Seconds for which an upload is retried; None: `retry_seconds`."""
    storage_expiry_time: int = Field(3600, gt=0, validation_alias=_named("STORAGE_EXPIRY_TIME"))
    """Seconds until a signed URL expires."""
    public_endpoint: str = Field("", validation_alias=_named(_OURS + "PUBLIC_ENDPOINT"))
    """The address under which browsers reach an S3 server, where it differs from the app's."""
    public_url: str = Field("", validation_alias=_named(_OURS + "PUBLIC_URL"))
    """The prefix of URLs of local files where the page has another origin (Copilot)."""
    auth_secret: str = Field("", validation_alias=_named("CHAINLIT_AUTH_SECRET"), repr=False)
    """The secret that signs URLs of local files; empty to use a key file in the folder."""
    app_root: Path = Field(default_factory=Path.cwd, validation_alias=_named("CHAINLIT_APP_ROOT"))

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        """Hide all texts: any of them may have got a URL with a password, or a key."""
        for name, value in super().__repr_args__():
            yield name, "***" if isinstance(value, str) and value else value

    @field_validator("data_dir", "app_root", mode="before")
    @classmethod
    def _refuse_url(cls, value: Any) -> Any:
        if "://" in str(value):
            raise ValueError("a folder is needed, not a URL")
        return value

    @classmethod
    def load(cls, **overrides: Any) -> Settings:
        """Read the environment; keyword arguments win over it.

        Args:
            **overrides: Fields of this class by name.

        Raises:
            ConfigurationError: A variable has an invalid value.
        """
        values = {cls.variables(field)[0]: value for field, value in overrides.items()}
        # Of two variables of one setting the first wins, also where it is in the file and the
        # other in the environment: Chainlit copies the file into the environment.
        variables = _given_variables()
        for field in cls.model_fields:
            names = cls.variables(field)
            if len(names) > 1 and (value := next(filter(None, map(variables.get, names)), None)):
                values.setdefault(names[0], value)
        try:
            return cls(_env_file=env_file(), **values)
        except ValidationError as error:
            first = error.errors()[0]
            name = ".".join(str(part) for part in first["loc"])
            # The value is not shown: it may be a secret that belongs elsewhere.
            raise ConfigurationError(
                f"{name} is invalid: {first['msg']}; correct or unset {name}"
            ) from None

    @classmethod
    def variables(cls, field: str) -> tuple[str, ...]:
        """Return the environment variables of a field, in the order of precedence.

        Args:
            field: The name of a field of this class.
        """
        alias = cls.model_fields[field].validation_alias
        assert isinstance(alias, AliasChoices)
        return tuple(str(choice) for choice in alias.choices)

    def empty_variables(self, *fields: str) -> list[str]:
        """Return the variables that are set to nothing, as compose files do, for want of a value.

        Args:
            *fields: Names of fields of this class; those that have a value are left out.
        """
        given = _given_variables()
        unset = (name for name in fields if not getattr(self, name))
        return [name for field in unset for name in self.variables(field) if given.get(name) == ""]

    @cached_property
    def data_path(self) -> Path:
        """`data_dir` as an absolute path."""
        return (self.app_root / self.data_dir).absolute()

    @property
    def upload_retry_seconds(self) -> float:
        """`storage_retry_seconds`, by default those of the writes."""
        seconds = self.storage_retry_seconds
        return self.retry_seconds if seconds is None else seconds

    @property
    def database(self) -> str:
        """The URL of the database, by default that of the SQLite file."""
        return self.database_url or self.embedded_database

    @property
    def embedded_database(self) -> str:
        """The URL of the SQLite file that is used by default."""
        path = str(self.data_path / "chainlit.db").replace("%", "%25").replace("?", "%3F")
        return f"sqlite:///{path}"
