"""Entry point of the ``chainlit-sqla`` command and of ``python -m chainlit_sqla``."""

from __future__ import annotations

import sys
from typing import NoReturn


def main() -> NoReturn:
    """Run the command line interface and exit."""
    try:
        # Imported here so that Ctrl+C during the import exits cleanly, too.
        from .cli.app import main as run

        run()
    except KeyboardInterrupt:
        sys.stderr.write("Interrupted.\n")
        raise SystemExit(130) from None


if __name__ == "__main__":
    main()
