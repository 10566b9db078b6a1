"""Writes docs/cli.md from what ``--help`` knows: ``python -m tests.cli.reference``."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from chainlit_sqla.cli.app import app

FILE = Path(__file__).parents[2] / "docs" / "cli.md"

INTRODUCTION = """# The command line

<!-- Made by `python -m tests.cli.reference` from the commands' own help. -->

`chainlit-sqla` and `python -m chainlit_sqla` are the same. Settings come from the environment and
from `.env` in the current folder ([settings.md](settings.md)); an option wins over them.

Exit codes: 0 done, 1 not done (one sentence on stderr says why and what to do), 2 wrong usage.
`--debug` before the command, or `CHAINLIT_SQLA_DEBUG=1`, shows the traceback of an error as well.
A password in `--url` can be seen in the list of processes: prefer `DATABASE_URL`.
"""


def commands() -> dict[str, Any]:
    """The commands by name; one of a group by both: ``storage check``."""
    return dict(_flat(typer.main.get_command(app)))


def reference() -> str:
    """The whole page."""
    parts = [INTRODUCTION]
    for name, command in commands().items():
        parts.append("\n".join(_section(name, command)))
    return "\n".join(parts)


def _flat(group: Any) -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from ((f"{name} {inner}", found) for inner, found in _flat(command))
        else:
            yield name, command


def _section(name: str, command: Any) -> Iterator[str]:
    arguments = [
        _placeholder(p) if p.param_type_name == "argument" else _names(p)
        for p in command.params
        if p.param_type_name == "argument" or p.required
    ]
    yield f"## {name}\n"
    yield f"```\nchainlit-sqla {' '.join([name, *arguments])}\n```\n"
    yield f"{inspect.cleandoc(command.help)}\n"
    rows = [(_names(p), p.help, _default(p)) for p in command.params if p.help]
    if rows:
        yield "| | | default |\n|---|---|---|"
        for names, text, default in rows:
            cells = (cell.replace("|", "\\|") for cell in (f"`{names}`", text, default))
            yield f"| {' | '.join(cells)} |"
        yield ""


def _names(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return str(parameter.metavar or parameter.name.upper())
    value = "" if parameter.is_flag else f" {parameter.metavar or parameter.name.upper()}"
    return ", ".join(reversed(parameter.opts)) + value


def _placeholder(parameter: Any) -> str:
    shown = str(parameter.metavar or parameter.name.upper())
    return shown if parameter.required or parameter.metavar else f"[{shown}]"


def _default(parameter: Any) -> str:
    return (
        "" if parameter.default in (None, False) or parameter.required else f"`{parameter.default}`"
    )


if __name__ == "__main__":
    FILE.write_text(reference(), encoding="utf-8")
