"""Database servers in containers, by testcontainers, where a Docker engine answers."""

from __future__ import annotations

import atexit
import time
from collections.abc import Mapping, Sequence
from typing import Any

from tests.until import PATIENCE

from .ports import free_port


class NoEngineError(Exception):
    """No Docker engine answers, or the Python packages to talk to it are missing."""


class NoImageError(Exception):
    """A Docker engine answers, but has no such image and cannot pull it."""


class DatabaseContainer:
    """A database server in a container of its own."""

    def __init__(
        self,
        image: str,
        port: int,
        environment: Mapping[str, str],
        command: str | list[str],
        ready: Sequence[str],
    ) -> None:
        """Start a server and wait until `ready`, a command inside, succeeds.

        It must connect by TCP: while a server sets itself up, it listens on its socket only.
        """
        client = _engine()
        _ensure_image(client, image)
        # Imported late: testcontainers reads its environment when it is imported.
        from testcontainers.core.config import testcontainers_config
        from testcontainers.core.container import DockerContainer

        if not testcontainers_config.ryuk_disabled:
            try:
                _ensure_image(client, testcontainers_config.ryuk_image)
            except NoImageError:
                testcontainers_config.ryuk_disabled = True
        self._ready = list(ready)
        # A fixed port, so that it is the same after a restart.
        self._port = free_port()
        self._container: Any = DockerContainer(image=image).with_command(command)
        self._container.with_envs(**environment)
        local = client.api.base_url.startswith("http+docker:")
        self._container.ports[str(port)] = ("127.0.0.1", self._port) if local else self._port
        # Also when starting fails half-way or the run is interrupted.
        atexit.register(self.stop)
        self._container.start()
        self._wait()

    @property
    def address(self) -> str:
        return f"{self._container.get_container_host_ip()}:{self._port}"

    def start(self) -> None:
        """Start the killed container again and wait until it takes connections."""
        self._container.get_wrapped_container().start()
        self._wait()

    def kill(self) -> None:
        """End the server at once, as a crash does; `start` recovers what was committed."""
        self._container.get_wrapped_container().kill()

    def stop(self) -> None:
        atexit.unregister(self.stop)
        self._container.stop(force=True, delete_volume=True)

    def _wait(self) -> None:
        deadline = time.monotonic() + PATIENCE
        while self._container.exec(self._ready)[0] != 0:
            if time.monotonic() > deadline:
                raise TimeoutError(f"the server did not answer within {PATIENCE} s")
            time.sleep(0.1)


def _engine() -> Any:
    try:
        from testcontainers.core.docker_client import DockerClient
    except ImportError as error:
        raise NoEngineError("the package testcontainers is not installed") from error
    from docker.errors import DockerException

    try:
        client = DockerClient().client
        client.ping()
    except (DockerException, OSError) as error:
        raise NoEngineError("no Docker engine answers") from error
    return client


def _ensure_image(client: Any, name: str) -> None:
    from docker.errors import DockerException, ImageNotFound

    try:
        client.images.get(name)
    except ImageNotFound:
        try:
            client.images.pull(name)
        except (DockerException, OSError) as error:
            raise NoImageError(
                f"the Docker engine has no image {name} and cannot pull it"
            ) from error
