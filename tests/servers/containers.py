"""Database servers in containers, by testcontainers, where a Docker engine answers."""

from __future__ import annotations

import atexit
import os
import secrets
import time
from collections.abc import Callable, Mapping
from typing import Any

from tests.until import PATIENCE

from .ports import free_port

DEFAULT_IMAGE = "postgres:17"
IMAGES = {"mysql": "mysql:8.4", "mariadb": "mariadb:10.11"}


class NoEngineError(Exception):
    """No Docker engine answers, or the Python packages to talk to it are missing."""


class NoImageError(Exception):
    """A Docker engine answers, but has no such image and cannot pull it."""


class PostgresContainer:
    """A PostgreSQL server in a container of its own."""

    def __init__(self, image: str | None = None) -> None:
        self.image = image or os.environ.get("TEST_POSTGRES_IMAGE") or DEFAULT_IMAGE
        client = _engine()
        _ensure_image(client, self.image)
        self._container = self._configured(client)
        # Also when starting fails half-way or the run is interrupted.
        atexit.register(self.stop)
        self._container.start()

    def _configured(self, client: Any) -> Any:
        # Imported late: testcontainers reads its environment when it is imported.
        from testcontainers.core.config import testcontainers_config

        try:
            from testcontainers.community.postgres import PostgresContainer as Container
        except ImportError:
            from testcontainers.postgres import PostgresContainer as Container

        if not testcontainers_config.ryuk_disabled:
            try:
                _ensure_image(client, testcontainers_config.ryuk_image)
            except NoImageError:
                testcontainers_config.ryuk_disabled = True
        container: Any = Container(
            image=self.image, username="postgres", password="postgres", dbname="postgres"
        )
        container.with_env("POSTGRES_INITDB_ARGS", "--no-locale --encoding=UTF8 --no-sync")
        container.with_command(
            "postgres -c fsync=off -c full_page_writes=off -c max_connections=200"
        )
        # A fixed port, so that it is the same after a restart.
        port = free_port()
        local = client.api.base_url.startswith("http+docker:")
        container.ports[str(container.port)] = ("127.0.0.1", port) if local else port
        return container

    @property
    def url(self) -> str:
        return str(self._container.get_connection_url(driver=None))

    def start(self) -> None:
        self._container.get_wrapped_container().start()
        _wait_until(lambda: self._container.exec("pg_isready -h 127.0.0.1")[0] == 0)

    def kill(self) -> None:
        """End the server at once, as a crash does; `start` recovers what was committed."""
        self._container.get_wrapped_container().kill()

    def stop(self) -> None:
        atexit.unregister(self.stop)
        self._container.stop(force=True, delete_volume=True)


class MySQLContainer:
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
        host = self._container.get_container_host_ip()
        return f"{self._kind}://root:{self._password}@{host}:{self._port}/mysql"

    def start(self) -> None:
        self._container.get_wrapped_container().start()
        self._wait()

    def kill(self) -> None:
        """End the server at once, as a crash does; `start` recovers what was committed."""
        self._container.get_wrapped_container().kill()

    def stop(self) -> None:
        atexit.unregister(self.stop)
        self._container.stop(force=True, delete_volume=True)

    def _wait(self) -> None:
        program = "mariadb" if self._kind == "mariadb" else "mysql"
        # By TCP: while it sets itself up, the server listens on its socket only.
        ask = [program, "-h127.0.0.1", "-uroot", f"-p{self._password}", "-e", "SELECT 1"]
        _wait_until(lambda: self._container.exec(ask)[0] == 0)


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


def _wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"PostgreSQL did not answer within {PATIENCE} s")
        time.sleep(0.1)
