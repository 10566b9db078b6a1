"""Where the demo keeps what it writes: one folder, apart from that of a real app."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from ..errors import ConfigurationError
from ..settings import Settings

APP = Path(__file__).with_name("app.py")
PASSWORD = "demo"  # noqa: S105 - everybody shall know it
_SECRET_FILE = "auth_secret"  # noqa: S105 - the name of a file
_WELCOME = """# A demo of chainlit-sqla

Write something, rate the answer, try the button and the **Picture** command, attach a file.
Then stop the server, start it again, and continue any conversation from the list on the left.
"""


def make(base: Path) -> Path:
    """Make the folder of the demo.

    Args:
        base: The folder to make it below.

    Returns:
        Its absolute path.

    Raises:
        ConfigurationError: It cannot be made or written.
    """
    root = (base / ".chainlit_sqla" / "demo").absolute()
    try:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        (root.parent / ".gitignore").write_text("*\n")
        welcome = root / "chainlit.md"
        if not welcome.exists():
            welcome.write_text(_WELCOME, encoding="utf-8")
        _make_secret(root / _SECRET_FILE)
    except OSError as error:
        raise ConfigurationError(
            f"The folder {root} cannot be written ({error.strerror}); "
            "change to a folder that this user may write in"
        ) from None
    return root


def settings(root: Path) -> Settings:
    """The settings of the demo: the defaults, whatever the environment says.

    A demo shall not write into the database that a ``DATABASE_URL`` happens to name.

    Args:
        root: What `make` returned.
    """
    defaults = {
        name: field.get_default(call_default_factory=True)
        for name, field in Settings.model_fields.items()
    }
    own = {"app_root": root, "data_dir": Path(), "auth_secret": _secret(root)}
    return Settings.load(**defaults | own)


def enter(root: Path) -> None:
    """Point Chainlit to the folder; must come before Chainlit is imported.

    Args:
        root: What `make` returned.
    """
    os.environ["CHAINLIT_APP_ROOT"] = str(root)
    os.environ["CHAINLIT_AUTH_SECRET"] = _secret(root)
    # The .env of the folder belongs to another app: it could start that one's Slack bot.
    os.environ["CHAINLIT_ENV_FILE"] = os.devnull


def _secret(root: Path) -> str:
    given = os.environ.get("CHAINLIT_AUTH_SECRET")
    return given or (root / _SECRET_FILE).read_text(encoding="utf-8")


def _make_secret(path: Path) -> None:
    """Keep one secret, so that who is logged in stays so over a restart."""
    if not path.exists():
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(48))
