"""Sources of conversations: what was stored elsewhere, as records of ours."""

from .base import Chunk, Misfit, Source
from .comparison import Comparison, Difference
from .misfit_lines import kind_of, line_of
from .missing import Missing
from .opening import LAYERS, open_source
from .ours import OurSource
from .run import Import, Result

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
    "kind_of",
    "line_of",
    "open_source",
]
