"""Settings from the environment and from ``.env``, under the names users already have.

Real environment variables win over the file. The file is the one that Chainlit reads
itself (``CHAINLIT_ENV_FILE``, default ``.env`` in the current folder), so that the
command line and the application see the same database.
"""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path
from typing import Any

from dotenv import dotenv_values
from pydantic import AliasChoices, Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from .errors import ConfigurationError

_OURS = "CHAINLIT_SQLA_"


def _named(*names: str) -> AliasChoices:
    return AliasChoices(*names)


class Settings(BaseSettings):
    """All settings; read once when a data layer or command is made.

    Example:
        >>> Settings.load(database_url="sqlite:///chats.db").database_url
        'sqlite:///chats.db'
    """

    model_config = SettingsConfigDict(
        # An empty variable, usual in compose files, is an unset one. Bare field names are
        # no variables: POOL_SIZE may be the host application's.
        env_file_encoding="utf-8",
        extra="ignore",
        env_ignore_empty=True,
        frozen=True,
    )

    # Database
    database_url: str = Field(
        "", validation_alias=_named("CHAINLIT_DATABASE_URL", "DATABASE_URL"), repr=False
    )
    """Where the conversations are; empty: a SQLite file below `data_dir`."""
    db_schema: str | None = Field(None, validation_alias=_named(_OURS + "SCHEMA"))
    """A PostgreSQL schema other than the connection's default one."""
    auto_upgrade: bool | None = Field(None, validation_alias=_named(_OURS + "AUTO_UPGRADE"))
    """Make or upgrade the tables on first use; None: on SQLite only."""
    pool_size: int = Field(5, ge=1, validation_alias=_named(_OURS + "POOL_SIZE"))
    """Connections kept open."""
    max_overflow: int = Field(10, ge=0, validation_alias=_named(_OURS + "MAX_OVERFLOW"))
    """Connections opened beyond `pool_size` under load."""
    connect_timeout: float = Field(10.0, gt=0, validation_alias=_named(_OURS + "CONNECT_TIMEOUT"))
    """Seconds until an unanswered connection attempt fails."""
    prepared_statements: bool = Field(True, validation_alias=_named(_OURS + "PREPARED_STATEMENTS"))
    """False behind a transaction pooler such as PgBouncer or Supabase's port 6543."""
    user_cache_seconds: float = Field(
        5.0, ge=0, validation_alias=_named(_OURS + "USER_CACHE_SECONDS")
    )
    """How long a change to a user by another process may stay unseen; 0 asks every time."""

    # Writes
    queue_size: int = Field(10_000, ge=1, validation_alias=_named(_OURS + "QUEUE_SIZE"))
    """Writes waiting at most; further callers wait in order."""
    batch_size: int = Field(500, ge=1, validation_alias=_named(_OURS + "BATCH_SIZE"))
    """Writes in one transaction at most."""
    retry_seconds: float = Field(120.0, ge=0, validation_alias=_named(_OURS + "RETRY_SECONDS"))
    """How long a write is tried again while the database is away."""
    close_seconds: float = Field(20.0, ge=0, validation_alias=_named(_OURS + "CLOSE_SECONDS"))
    """How long closing waits for the writes that are still under way."""

    # Storage
    data_dir: Path = Field(Path(".chainlit_sqla"), validation_alias=_named(_OURS + "DATA_DIR"))
    """The folder of the SQLite file and of local files, below Chainlit's app root."""
    storage_url: str = Field("", validation_alias=_named(_OURS + "STORAGE"))
    """Where blobs go, as a URL that `storage.urls` reads; empty: see `bucket_name`."""
    bucket_name: str = Field("", validation_alias=_named("BUCKET_NAME"))
    aws_access_key: str = Field("", validation_alias=_named("APP_AWS_ACCESS_KEY"))
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
    storage_retry_seconds: float = Field(
        30.0, ge=0, validation_alias=_named(_OURS + "STORAGE_RETRY_SECONDS")
    )
    """How long an upload is tried again while the store is away."""
    storage_expiry_time: int = Field(3600, gt=0, validation_alias=_named("STORAGE_EXPIRY_TIME"))
    """Seconds until a signed URL expires."""
    public_url: str = Field("", validation_alias=_named(_OURS + "PUBLIC_URL"))
    """Put before URLs of local files where the page is on another origin (Copilot)."""
    auth_secret: str = Field("", validation_alias=_named("CHAINLIT_AUTH_SECRET"), repr=False)
    """Signs the URLs of local files; empty: a key of the folder's own."""
    app_root: Path = Field(default_factory=Path.cwd, validation_alias=_named("CHAINLIT_APP_ROOT"))

    @classmethod
    def load(cls, **overrides: Any) -> Settings:
        """Read the environment; keyword arguments win over it.

        Args:
            **overrides: Fields of this class by name.

        Raises:
            ConfigurationError: A variable has an impossible value; names it.
        """
        named = {cls.variables(field)[0]: value for field, value in overrides.items()}
        # Of two names of one setting the stronger wins, wherever it stands: once Chainlit has
        # read the file into the environment, nobody can tell the two places apart.
        known = {**dotenv_values(os.environ.get("CHAINLIT_ENV_FILE", ".env")), **os.environ}
        for field in cls.model_fields:
            strongest, *others = cls.variables(field)
            if others and (found := next(filter(None, map(known.get, (strongest, *others))), None)):
                named.setdefault(strongest, found)
        try:
            return cls(_env_file=os.environ.get("CHAINLIT_ENV_FILE", ".env"), **named)
        except ValidationError as error:
            first = error.errors()[0]
            name = ".".join(str(part) for part in first["loc"])
            raise ConfigurationError(
                f"{name}={first['input']!r} cannot be used: {first['msg']}; correct or unset {name}"
            ) from None

    @classmethod
    def variables(cls, field: str) -> tuple[str, ...]:
        """The environment variables that set a field, the strongest first.

        Args:
            field: The name of a field of this class.
        """
        alias = cls.model_fields[field].validation_alias
        assert isinstance(alias, AliasChoices)
        return tuple(str(choice) for choice in alias.choices)

    @cached_property
    def data_path(self) -> Path:
        """`data_dir` as an absolute path."""
        return (self.app_root / self.data_dir).absolute()

    @property
    def database(self) -> str:
        """The database URL with the embedded default filled in."""
        return self.database_url or self.embedded_database

    @property
    def embedded_database(self) -> str:
        """The URL of the SQLite file used where no other database is named."""
        return f"sqlite:///{self.data_path / 'chainlit.db'}"
