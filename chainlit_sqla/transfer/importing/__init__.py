"""Sources of conversations: what was stored elsewhere, as records of ours."""

from ..sources.base import Chunk, Misfit, Source
from ..sources.detect import LAYERS, open_source
from ..sources.misfit_lines import kind_of, line_of
from ..sources.native import OurSource
from .comparison import Comparison, Difference
from .deletions import Missing
from .run import Import, Result
from .target import alive

__all__ = [
    "LAYERS",
    "Chunk",
    "Comparison",
    "Difference",
    "Import",
    "Misfit",
    "Missing",
    "OurSource",
    "Result",
    "Source",
    "alive",
    "kind_of",
    "line_of",
    "open_source",
]
