"""The documents say what is there: a command, option or setting without words fails here."""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

import pytest

from chainlit_sqla.cli.runtime import DEBUG_VARIABLE
from chainlit_sqla.settings import Settings
from tests.cli import reference
from tests.cli.conftest import Command
from tests.cli.programs import ROOT, run_program

README = ROOT / "README.md"
VARIABLES = {variable for name in Settings.model_fields for variable in Settings.variables(name)}
SETTINGS = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")


def table(document: str) -> dict[str, str]:
    """The rows of the tables of variables: the default by the variable."""
    rows = {}
    for line in document.splitlines():
        cells = [cell.strip() for cell in line.split("|")]
        for name in re.findall(r"`([A-Z][A-Z_0-9]+)`", cells[1] if len(cells) > 2 else ""):
            rows[name] = cells[2]
    return rows


def test_the_command_line_reference_is_up_to_date() -> None:
    written = reference.FILE.read_text(encoding="utf-8")
    assert written == reference.reference(), "run: python -m tests.cli.reference"


@pytest.mark.parametrize("name", ["", *reference.commands()])
def test_each_command_and_option_has_help(cli: Command, name: str) -> None:
    result = cli(*name.split(), "--help")
    assert result.code == 0
    assert "Usage: chainlit-sqla" in result.out
    if command := reference.commands().get(name):
        assert command.help
        for parameter in command.params:
            assert parameter.help, parameter.name


def test_each_setting_is_documented_with_its_default() -> None:
    documented = table(SETTINGS)
    assert set(documented) == VARIABLES | {DEBUG_VARIABLE}
    assert set(table(README.read_text(encoding="utf-8"))) <= VARIABLES
    for name, field in Settings.model_fields.items():
        if isinstance(field.default, (int, float)):
            written = documented[Settings.variables(name)[0]]
            assert written == (
                str(field.default).lower() if field.default is True else f"{field.default:.12g}"
            )


def test_the_readme_has_its_two_commands() -> None:
    text = README.read_text(encoding="utf-8")
    marked = re.search(r"<!-- test-command -->\n```sh\n(.+)\n```\n<!-- /test-command -->", text)
    assert marked
    assert marked[1] == (
        "python3 -m venv .venv && .venv/bin/pip install -qU pip && "
        ".venv/bin/pip install -q -c constraints.txt -e '.[dev]' && "
        ".venv/bin/pytest -n auto --dist loadfile"
    )
    assert "&& .venv/bin/chainlit-sqla demo\n" in text


def test_links_in_the_documents_lead_somewhere() -> None:
    for document in (README, *(ROOT / "docs").glob("*.md")):
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", document.read_text(encoding="utf-8")):
            if "://" not in target:
                assert (document.parent / target).exists(), f"{document.name}: {target}"


def test_the_sample_of_variables_can_be_used(folder: Path) -> None:
    sample = (ROOT / "examples" / "postgres_s3.env").read_text(encoding="utf-8")
    names = set(re.findall(r"^#? ?([A-Z_]+)=", sample, re.MULTILINE))
    assert names <= VARIABLES
    (folder / ".env").write_text(sample)
    settings = Settings.load()
    assert settings.bucket_name == "attachments"
    assert settings.auth_secret == ""


def test_the_command_is_installed_under_its_name() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    module, _, function = project["scripts"]["chainlit-sqla"].partition(":")
    program = f"from {module} import {function}; {function}()"
    done = run_program([sys.executable, "-c", program, "--version"], ROOT, {})
    assert done.out.startswith("chainlit-sqla "), done.err
