"""Asking on the terminal before something is changed that nobody can take back."""

from __future__ import annotations

import sys

import typer

from ..errors import ConfigurationError


def agreed(question: str, *facts: str, refusal: str) -> bool:
    """Ask, and say whether the answer is yes.

    Args:
        question: Ends with a question mark.
        *facts: Lines to print before it.
        refusal: What to say where there is no terminal to ask on; ends with the repair.

    Raises:
        ConfigurationError: There is no terminal.
        KeyboardInterrupt: Ctrl+C, or the terminal went away.
    """
    if not sys.stdin.isatty():
        raise ConfigurationError(refusal)
    for fact in facts:
        typer.echo(fact)
    try:
        return typer.confirm(question)
    except typer.Abort:
        raise KeyboardInterrupt from None
