"""Imports: the conversations of a source brought into a database of ours."""

from .comparison import LISTED, Comparison, Difference
from .resumable_import import Import, Result
from .writer import ImportTarget

__all__ = [
    "LISTED",
    "Comparison",
    "Difference",
    "Import",
    "ImportTarget",
    "Result",
]
