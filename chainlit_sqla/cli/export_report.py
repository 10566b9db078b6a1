"""What an export did, as lines for people."""

from __future__ import annotations

from rich.filesize import decimal

from ..transfer.exporting import Selection
from ..transfer.exporting.run import CHAT, Done
from .export_target import Target


def left_behind(target: Target) -> str:
    """What there is of an export that was interrupted, and what to do.

    Args:
        target: Where it was to go.
    """
    if target.path is None:
        return ""
    kept = "Files that were complete stay" if target.is_folder else "Nothing was written"
    return f" {kept}. Run the same command again for all."


def summary(done: Done, form: str, selection: Selection, target: Target) -> str:
    """What an export did, in a sentence or two.

    Args:
        done: It.
        form: One of `FORMATS`.
        selection: What was asked for.
        target: Where it went.
    """
    if not done.selected and done.is_empty:
        asked = " ".join(f"--{name}" for name in selection.shown)
        which = f" for {asked}" if asked else ""
        return f"There is no conversation{which} in {done.label}: nothing was exported."
    refused = "no thumb up" if selection.feedback == "up" else "thumbs down"
    reasons = (
        (done.unanswered, "without an answer"),
        (done.unlearnt, f"without an answer to learn from ({refused})"),
    )
    left = ", ".join(f"{number:,} {reason}" for number, reason in reasons if number)
    if done.is_empty:
        return f"Nothing was exported from {done.label}. Left out: {left}."
    parts = _count(done.parts, "message" if form == CHAT else "step")
    return (
        f"Exported {_count(done.conversations, 'conversation')} ({parts}) from {done.label} "
        f"to {target} ({decimal(target.written)})." + (f" Left out: {left}." if left else "")
    )


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
