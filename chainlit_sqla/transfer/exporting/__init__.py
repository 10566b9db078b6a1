"""Exports conversations: as a complete backup, as transcripts, or as lines for chat models."""

from .conversation import Conversation, ConversationReader, TranscriptEntry
from .html import HtmlExport
from .markdown import MarkdownExport
from .openai import ChatOptions, OpenAIExport
from .run import CHAT, FORMATS, HTML, JSONL, MARKDOWN, Export, ExportResult, ExportTarget
from .selection import Selection

__all__ = [
    "CHAT",
    "FORMATS",
    "HTML",
    "JSONL",
    "MARKDOWN",
    "ChatOptions",
    "Conversation",
    "ConversationReader",
    "Export",
    "ExportResult",
    "ExportTarget",
    "HtmlExport",
    "MarkdownExport",
    "OpenAIExport",
    "Selection",
    "TranscriptEntry",
]
