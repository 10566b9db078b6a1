"""Conversations as files: complete, for people, or for training and evaluation."""

from .chat import ChatExport
from .conversation import Conversation, Conversations, Entry
from .html import HtmlExport
from .jsonl import JsonlExport
from .markdown import MarkdownExport
from .selection import Selection

__all__ = [
    "ChatExport",
    "Conversation",
    "Conversations",
    "Entry",
    "HtmlExport",
    "JsonlExport",
    "MarkdownExport",
    "Selection",
]
