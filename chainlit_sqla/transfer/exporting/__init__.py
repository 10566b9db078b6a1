"""Exports conversations: as a complete backup, as transcripts, or as lines for chat models."""

from .run import ExportResult, Format, export_conversations
from .selection import Feedback, Selection

__all__ = ["ExportResult", "Feedback", "Format", "Selection", "export_conversations"]
