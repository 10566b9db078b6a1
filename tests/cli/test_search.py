"""`search enable`, `disable` and `status` on the command line."""

from __future__ import annotations

from pathlib import Path

from tests.cli.conftest import Command


def test_each_says_in_one_line_what_there_is(cli: Command, folder: Path) -> None:
    where = f"sqlite:///{folder}/.chainlit_sqla/chainlit.db"
    missing = cli("search", "enable")
    assert missing.code == 1
    assert "has no tables yet" in missing.err
    assert "run: chainlit-sqla upgrade" in missing.err
    cli("upgrade")
    none = (0, f"{where}: no search index; searches read the user's messages\n", "")
    assert cli("search", "status") == none
    built = cli("search", "enable")
    assert built.code == 0
    assert built.out.startswith(f"{where}: search index of 0.0 MB in use, built 20")
    assert cli("search", "status") == built
    assert cli("search", "disable") == none
