"""Sources of conversations: what was stored elsewhere, as records of ours."""

from .base import Chunk, Misfit, Source
from .ours import OurSource

__all__ = ["Chunk", "Misfit", "OurSource", "Source"]
