"""Sources of conversations: databases and files, read as chunks of records."""

from .base import BATCH, Chunk, Source
from .detect import LAYERS, open_source
from .native import NativeSource, thread_column
from .quarantine import ADOPTION, FOREIGN_THREAD, QUARANTINED, QuarantinedRow, write_quarantine
from .sqlalchemy_layer import SqlAlchemyLayerSource

__all__ = [
    "ADOPTION",
    "BATCH",
    "FOREIGN_THREAD",
    "LAYERS",
    "QUARANTINED",
    "Chunk",
    "NativeSource",
    "QuarantinedRow",
    "Source",
    "SqlAlchemyLayerSource",
    "open_source",
    "thread_column",
    "write_quarantine",
]
