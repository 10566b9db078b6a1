"""``python -m chainlit_sqla``: the same as the command ``chainlit-sqla``."""

from __future__ import annotations

from .cli.guard import main

if __name__ == "__main__":
    main()
