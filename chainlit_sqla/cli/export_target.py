"""Where ``export`` writes: standard output, a file, or a folder of files.

A file is written beside its place under another name, and renamed when it is complete: what is
interrupted leaves nothing behind. Conversations are private, so only this user may read it.
"""

from __future__ import annotations

import errno
import gzip
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from ..errors import ConfigurationError
from ..transfer.exporting.sink import Write
from ..transfer.record_file import GZIP_SUFFIX

STDOUT = "-"
_BUFFER = 1 << 20
_NO_SPACE, _NO_RIGHT = "free disk space, or ", "give this user write permission on its folder, or "
_REPAIRS = {
    errno.ENOSPC: _NO_SPACE,
    errno.EDQUOT: _NO_SPACE,
    errno.EACCES: _NO_RIGHT,
    errno.EPERM: _NO_RIGHT,
}


class Target:
    """Where an export goes.

    Args:
        given: A path, or ``-`` for standard output.
        force: Whether what is there already is replaced.

    Raises:
        ConfigurationError: It cannot be written to, as far as can be told now.

    Example:
        ``with Target("chats.md", force=False).file() as write: write(b"...")``
    """

    def __init__(self, given: str, *, force: bool) -> None:
        self._force = force
        self.path = None if given == STDOUT else Path(given)
        self.is_folder = self.path is not None and (
            given.endswith(("/", os.sep)) or self.path.is_dir()
        )
        self.written = 0
        """Bytes of the files that are there, or that went to standard output."""
        if self.path is not None:
            self._check(self.path)

    def __str__(self) -> str:
        return "standard output" if self.path is None else str(self.path)

    @contextmanager
    def file(self, name: str | None = None) -> Iterator[Write]:
        """Open a file for the block; it is there when the block ends well and wrote something.

        The folder of a file with a name is made for it.

        Args:
            name: Of a file of the folder; None where the target is no folder.

        Raises:
            ConfigurationError: It cannot be written; says why.
            BrokenPipeError: Nobody reads standard output any more.
        """
        if self.path is None:
            with _stdout() as out:

                def write(data: bytes) -> None:
                    self.written += len(data)
                    out(data)

                yield write
            return
        path = self.path
        if name is not None:
            with _told(path):
                path.mkdir(mode=0o700, parents=True, exist_ok=True)
            path = path / name
        part = _Part(path)
        try:
            yield part.write
            self.written += part.finish()
        finally:
            part.discard()

    def _check(self, path: Path) -> None:
        if self.is_folder:
            if path.is_dir() and any(path.iterdir()) and not self._force:
                raise ConfigurationError(
                    f"The folder {path} is not empty; name another one, or add --force to "
                    "replace files of the same names in it"
                )
        elif path.is_file():
            if not self._force:
                raise ConfigurationError(
                    f"{path} is there already; name another file, or add --force to replace it"
                )
        elif not path.parent.exists():
            raise ConfigurationError(
                f"There is no folder {path.parent} for {path.name}; make it (mkdir -p), "
                "or name another place by --output"
            )


class _Part:
    """A file that is not complete; a device or a pipe is written as it is."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._part: Path | None = None
        with _told(path):
            self._real = path.resolve()  # A link stays one.
            if self._real.exists() and not self._real.is_file():
                self._raw: IO[bytes] = self._real.open("wb")
            else:
                number, name = tempfile.mkstemp(  # Its mode is 0600.
                    prefix=f".{path.name[:40]}.", suffix=".part", dir=self._real.parent
                )
                self._part = Path(name)
                self._raw = os.fdopen(number, "wb", _BUFFER)
        packed = path.name.endswith(GZIP_SUFFIX)
        inner = path.name.removesuffix(GZIP_SUFFIX)
        self._out = gzip.GzipFile(inner, "wb", fileobj=self._raw) if packed else self._raw
        self._given = 0

    def write(self, data: bytes) -> None:
        self._given += len(data)
        with _told(self._path):
            self._out.write(data)

    def finish(self) -> int:
        """Put the file in its place, unless nothing was written.

        Returns:
            Its size in bytes; of a device or a pipe what it was given.
        """
        if not self._given:
            return 0
        size = self._given
        with _told(self._path):
            if self._out is not self._raw:
                self._out.close()
            self._raw.flush()
            if self._part is not None:
                os.fsync(self._raw.fileno())
                size = os.fstat(self._raw.fileno()).st_size
                self._raw.close()
                self._part.replace(self._real)
                self._part = None
        return size

    def discard(self) -> None:
        """Leave nothing behind of what was not finished."""
        with suppress(OSError):  # A full disk is told already, by a write.
            self._raw.close()
        if self._part is not None:
            self._part.unlink(missing_ok=True)


@contextmanager
def _stdout() -> Iterator[Write]:
    out = sys.stdout.buffer
    try:
        yield out.write
        out.flush()
    except BrokenPipeError:
        # Python would write what is left once more at its end, and complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Say what cannot be done with a file, and what to do."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        repair = _REPAIRS.get(error.errno or 0, "")
        raise ConfigurationError(
            f"{path} cannot be written ({error.strerror or error}); "
            f"{repair}name another place by --output"
        ) from error
