"""Exports conversations: as a complete backup, as transcripts, or as lines for chat models."""

from ..selection import Feedback, Selection
from .files import FileExport
from .run import ExportResult, Format, export_conversations

__all__ = ["ExportResult", "Feedback", "FileExport", "Format", "Selection", "export_conversations"]
