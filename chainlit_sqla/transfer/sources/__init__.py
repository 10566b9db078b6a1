"""Sources of conversations: databases and files, read as chunks of records."""

from .asyncpg_layer import AsyncpgLayerSource
from .base import BATCH, Chunk, Source
from .detect import LAYERS, open_source
from .jsonl import JsonlSource
from .native import NativeSource, thread_column
from .quarantine import ADOPTION, FOREIGN_THREAD, QUARANTINED, QuarantinedRow, write_quarantine
from .sqlalchemy_layer import SqlAlchemyLayerSource

__all__ = [
    "ADOPTION",
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
    "open_source",
    "thread_column",
    "write_quarantine",
]
