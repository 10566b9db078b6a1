"""Conversations as files: complete, for people, or for training and evaluation."""

from .conversation import Conversation, Conversations, Entry
from .html import HtmlExport
from .jsonl import JsonlExport
from .markdown import MarkdownExport
from .openai import ChatExport
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
