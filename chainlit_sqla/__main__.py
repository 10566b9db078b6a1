"""``python -m chainlit_sqla``: the same as the command ``chainlit-sqla``."""

from __future__ import annotations

import sys
from typing import NoReturn


def main() -> NoReturn:
    """Run the command line and exit; the entry point of ``chainlit-sqla``."""
    try:
        # Half a second in which Ctrl+C may come already.
        from .cli.app import main as run

        run()
    except KeyboardInterrupt:
        sys.stderr.write("Interrupted.\n")
        raise SystemExit(130) from None


if __name__ == "__main__":
    main()
