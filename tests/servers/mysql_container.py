"""MySQL or MariaDB in a container, by testcontainers, where a Docker engine answers."""

from __future__ import annotations

import atexit
import os
import secrets
from collections.abc import Mapping
from typing import Any

from .docker import _engine, _ensure_image, _wait_until
from .ports import free_port

IMAGES = {"mysql": "mysql:8.4", "mariadb": "mariadb:10.11"}


class MySQLContainer:
    """A server in a container of its own.

    Args:
        kind: ``mysql`` or ``mariadb``.
        settings: Options of the server.

    Raises:
        NoEngineError: No engine answers.
        NoImageError: The engine has no such image and cannot pull it.
    """

    def __init__(self, kind: str, settings: Mapping[str, object]) -> None:
        self._kind = kind
        image = os.environ.get(f"TEST_{kind.upper()}_IMAGE") or IMAGES[kind]
        client = _engine()
        _ensure_image(client, image)
        from testcontainers.core.container import DockerContainer

        self._password = secrets.token_urlsafe(12)
        # A fixed port, so that it is the same after a restart.
        self._port = free_port()
        self._container: Any = DockerContainer(image=image)
        self._container.with_env(f"{kind.upper()}_ROOT_PASSWORD", self._password)
        self._container.with_command([f"--{name}={value}" for name, value in settings.items()])
        local = client.api.base_url.startswith("http+docker:")
        self._container.ports["3306"] = ("127.0.0.1", self._port) if local else self._port
        # Also when starting fails half-way or the run is interrupted.
        atexit.register(self.stop)
        self._container.start()
        self._wait()

    @property
    def url(self) -> str:
        """The URL of the administration database."""
        host = self._container.get_container_host_ip()
        return f"{self._kind}://root:{self._password}@{host}:{self._port}/mysql"

    def start(self) -> None:
        """Start the killed container again and wait until it takes logins."""
        self._container.get_wrapped_container().start()
        self._wait()

    def kill(self) -> None:
        """End the server at once, as a crash does; `start` recovers what was committed."""
        self._container.get_wrapped_container().kill()

    def stop(self) -> None:
        """Remove the container and its data; may be called twice."""
        atexit.unregister(self.stop)
        self._container.stop(force=True, delete_volume=True)

    def _wait(self) -> None:
        program = "mariadb" if self._kind == "mariadb" else "mysql"
        # By TCP: while it sets itself up, the server listens on its socket only.
        ask = [program, "-h127.0.0.1", "-uroot", f"-p{self._password}", "-e", "SELECT 1"]
        _wait_until(lambda: self._container.exec(ask)[0] == 0)
