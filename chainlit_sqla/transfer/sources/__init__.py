"""Sources of conversations: databases and files, read as chunks of records."""

from .asyncpg_layer import AsyncpgLayerSource
from .base import BATCH, Chunk, Source
from .bounded_fetch import fetch_portions
from .detect import LAYERS, open_source
from .jsonl import BAD_LINE, JsonlSource
from .native import NativeSource, thread_column
from .quarantine import ADOPTION, FOREIGN_THREAD, QUARANTINED, QuarantinedRow, write_quarantine
from .sqlalchemy_layer import SqlAlchemyLayerSource

__all__ = [
    "ADOPTION",
    "BAD_LINE",
    "BATCH",
    "FOREIGN_THREAD",
    "LAYERS",
    "QUARANTINED",
    "AsyncpgLayerSource",
    "Chunk",
    "JsonlSource",
    "NativeSource",
    "QuarantinedRow",
    "Source",
    "SqlAlchemyLayerSource",
    "fetch_portions",
    "open_source",
    "thread_column",
    "write_quarantine",
]
