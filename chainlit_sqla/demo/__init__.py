"""The demo: a bundled app, and a folder separate from the data of a real app."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from ..errors import ConfigurationError
from ..settings import Settings
from ..storage.local.folder import open_private

APP = Path(__file__).with_name("app.py")
PASSWORD = "demo"  # noqa: S105 - meant to be public
_SECRET_FILE = "auth_secret"  # noqa: S105 - the name of a file
_WELCOME = """# A demo of chainlit-sqla

Write something, rate the answer, try the button and the **Picture** command, attach a file.
Then stop the server, start it again, and continue any conversation from the list on the left.
"""


def create_folder(base: Path) -> Path:
    """Create the folder of the demo below another, and return its absolute path."""
    root = (base / ".chainlit_sqla" / "demo").absolute()
    try:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        (root.parent / ".gitignore").write_text("*\n")
        welcome = root / "chainlit.md"
        if not welcome.exists():
            welcome.write_text(_WELCOME, encoding="utf-8")
        secret = root / _SECRET_FILE  # Created once, so that logins survive a restart.
        if not secret.exists():
            with open(secret, "x", opener=open_private) as file:
                file.write(secrets.token_urlsafe(48))
    except OSError as error:
        raise ConfigurationError(
            f"Cannot write to the folder {root} ({error.strerror}); "
            "change to a folder in which this user may write"
        ) from None
    return root


def settings(root: Path) -> Settings:
    """Return the settings of the demo: the defaults, regardless of the environment.

    The demo must not write into the database of a ``DATABASE_URL`` for another app.
    """
    defaults = {
        name: field.get_default(call_default_factory=True)
        for name, field in Settings.model_fields.items()
    }
    own = {"app_root": root, "data_dir": Path(), "auth_secret": _secret(root)}
    return Settings.load(**defaults | own)


def enter(root: Path) -> None:
    """Point Chainlit to the folder; call it before Chainlit is imported."""
    os.environ["CHAINLIT_APP_ROOT"] = str(root)
    os.environ["CHAINLIT_AUTH_SECRET"] = _secret(root)
    # The .env of the folder belongs to another app: it could start that one's Slack bot.
    os.environ["CHAINLIT_ENV_FILE"] = os.devnull


def _secret(root: Path) -> str:
    secret = os.environ.get("CHAINLIT_AUTH_SECRET")
    return secret or (root / _SECRET_FILE).read_text(encoding="utf-8")
