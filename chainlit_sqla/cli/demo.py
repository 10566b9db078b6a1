"""``demo``: a bundled app whose conversations last, with no set-up."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Annotated

import typer

from ..demo import place
from ..errors import ConfigurationError
from .launch import launch
from .run import prepare
from .runtime import run_async

_LOOPBACK = {"127.0.0.1", "::1", "localhost"}


def demo(
    port: Annotated[int, typer.Option("--port", min=1, max=65535, help="The port.")] = 8000,
    host: Annotated[
        str, typer.Option("--host", help="The address to listen on; 0.0.0.0 for all.")
    ] = "127.0.0.1",
    headless: Annotated[bool, typer.Option("--headless", help="Open no browser.")] = False,
) -> None:
    """Run a small bundled app.

    It keeps its conversations in a SQLite file and local files. Everything it writes lies
    below .chainlit_sqla/demo in the current folder; nothing is taken from the environment but
    CHAINLIT_AUTH_SECRET.
    """
    _refuse_taken_port(host, port)
    root = place.make(Path.cwd())
    settings = place.settings(root)
    place.enter(root)
    run_async(prepare(settings))
    arguments = [str(place.APP), "--host", host, "--port", str(port)]
    launch(arguments + ["--headless"] * headless, settings, _announcement(host, port, root))


def _announcement(host: str, port: int, root: Path) -> str:
    shown = "localhost" if host in _LOOPBACK | {"0.0.0.0", "::"} else host  # noqa: S104
    lines = [
        f"Open    http://{shown}:{port}",
        f"Log in  with any name; the password is: {place.PASSWORD}",
        f"Data    {root} (delete this folder to start over)",
        "Stop    Ctrl+C; the conversations are there again at the next start",
    ]
    if host not in _LOOPBACK:
        lines.append(f"Note    everybody who reaches port {port} can log in")
    return "\n".join(lines)


def _refuse_taken_port(host: str, port: int) -> None:
    """Say that the port is taken before anything is written."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        raise ConfigurationError(
            f"Port {port} of {host} cannot be used ({error.strerror}); "
            f"take another one: chainlit-sqla demo --port {port + 1 if port < 65535 else 8000}"
        ) from None
