"""Which form an export has: in words, or by the name of a file."""

from __future__ import annotations

from pathlib import PurePath

from ..errors import ConfigurationError
from ..transfer.exporting.run import CHAT, HTML, JSONL, MARKDOWN
from ..transfer.record_file import GZIP_SUFFIX
from .export_target import Target

_BY_SUFFIX = {
    ".jsonl": JSONL,
    ".ndjson": JSONL,
    ".md": MARKDOWN,
    ".markdown": MARKDOWN,
    ".html": HTML,
    ".htm": HTML,
}


def chosen_form(given: str | None, target: Target) -> str:
    """The form that was asked for.

    Args:
        given: By ``--format``.
        target: Where it goes; its name tells the form where none is given.

    Raises:
        ConfigurationError: Nothing tells it, or the two contradict each other.
    """
    if given is not None:
        _refuse_other_name(given, target)
        if target.is_folder and given in (JSONL, CHAT):
            raise ConfigurationError(
                f"--format {given} makes one file, and {target} is a folder; name a file"
            )
        return given
    if target.path is None:
        return JSONL
    suffix = _suffix(target.path)
    if target.is_folder or suffix not in _BY_SUFFIX:
        raise ConfigurationError(
            f"{target} does not tell which form is wanted; add --format markdown or another one"
        )
    return _BY_SUFFIX[suffix]


def _refuse_other_name(given: str, target: Target) -> None:
    """What a file is must not contradict its name: whoever opens it goes by that."""
    if target.path is None or target.is_folder:
        return
    named = _BY_SUFFIX.get(_suffix(target.path))
    form = JSONL if given == CHAT else given  # Both are lines of JSON.
    if named is None or named == form:
        return
    right = next(suffix for suffix, value in _BY_SUFFIX.items() if value == form)
    raise ConfigurationError(
        f"{target} has the name of {named}, and --format {given} is another form; "
        f"name a file that ends with {right}, or correct --format"
    )


def _suffix(path: PurePath) -> str:
    """What the name of a file ends with, below the packing."""
    return PurePath(path.name.removesuffix(GZIP_SUFFIX)).suffix.lower()
