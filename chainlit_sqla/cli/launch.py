"""Starting Chainlit in this process with our data layer.

Chainlit makes folders and reads ``.env`` when it is imported: so it is imported here, late,
when the database is known to work.
"""

from __future__ import annotations

import os
import socket
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Any

import typer

from ..errors import ChainlitSqlaError, ConfigurationError
from ..settings import Settings


def launch(arguments: Sequence[str], settings: Settings, announcement: str) -> None:
    """Run ``chainlit run`` with our layer for an app that brings none.

    Args:
        arguments: The app and all options of ``chainlit run``.
        settings: Those that were checked; the layer gets the same.
        announcement: Printed when the app is loaded and uses our layer.
    """
    import chainlit.cli
    from chainlit.config import config

    def make_layer() -> Any:
        from ..data_layer import SQLADataLayer

        return SQLADataLayer(settings=settings)

    cli: Any = chainlit.cli
    load_module: Callable[..., None] = cli.load_module

    def load_app(target: str, *args: Any, **kwargs: Any) -> None:
        # Its options are in the environment by now.
        check_address(
            os.environ.get("CHAINLIT_HOST", cli.DEFAULT_HOST),
            os.environ.get("CHAINLIT_PORT", str(cli.DEFAULT_PORT)),
        )
        _load(load_module, target, *args, **kwargs)
        _settle(make_layer, announcement)

    # An app's own @cl.data_layer replaces this one when the app is loaded; and DATABASE_URL
    # makes Chainlit take a layer of its own only where there is none here.
    config.code.data_layer = make_layer
    cli.load_module = load_app
    cli.cli.main(args=["run", *arguments], prog_name="chainlit-sqla")


def check_address(host: str, port: str) -> None:
    """See whether the server will be able to listen: Chainlit ends with 0 where it is not.

    Args:
        host: As it was given to Chainlit.
        port: The same.

    Raises:
        ConfigurationError: It cannot; says why.
    """
    try:
        found = socket.getaddrinfo(
            host or None, int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        for family, kind, protocol, _, address in found:
            with socket.socket(family, kind, protocol) as probe:
                if os.name == "posix":  # As the server does: a port that was just left is free.
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                probe.bind(address)
    except (OSError, OverflowError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigurationError(
            f"The app cannot listen on port {port} of {host} ({reason}); stop what uses it, or "
            "choose others by --port and --host"
        ) from None


def _settle(make_layer: Callable[[], Any], announcement: str) -> None:
    """Decide on the data layer once the app is loaded.

    Ours is made now: at a reload (``--watch``) Chainlit forgets what is registered, but
    keeps the layer that is in use.
    """
    from chainlit.config import config
    from chainlit.data import get_data_layer

    if config.code.data_layer is not make_layer:
        typer.echo("The app brings its own @cl.data_layer, which is used.", err=True)
        if "chainlit_sqla.data_layer" in sys.modules:
            get_data_layer()  # type: ignore[no-untyped-call]  # What is wrong with it shows now.
        return
    get_data_layer()  # type: ignore[no-untyped-call]
    typer.echo(announcement, err=True)


def _load(load_module: Callable[..., None], target: str, *args: Any, **kwargs: Any) -> None:
    """Load the app; an error in it is shown as Python shows it, for its author."""
    try:
        load_module(target, *args, **kwargs)
    except ChainlitSqlaError:
        raise
    except Exception:
        traceback.print_exc()
        raise SystemExit(1) from None
