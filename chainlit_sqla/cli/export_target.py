"""The output of ``export``: standard output, a file, or a folder of files.

A file is written under a temporary name next to its place and renamed when it is complete, so an
interruption leaves nothing behind. Conversations are private: only the user may read the file.
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
from ..transfer.exporting.formatting import Write
from ..transfer.record_file import GZIP_SUFFIX

STDOUT = "-"
_BUFFER_BYTES = 1 << 20
_REPAIRS = {
    errno.ENOSPC: "free disk space, or ",
    errno.EDQUOT: "free disk space, or ",
    errno.EACCES: "give this user write permission on its folder, or ",
    errno.EPERM: "give this user write permission on its folder, or ",
}


class OutputTarget:
    """Where an export is written.

    Args:
        output: A path, or ``-`` for standard output.
        force: Replace existing files.

    Raises:
        ConfigurationError: The output exists, or its folder does not.

    Example:
        ``with OutputTarget("chats.md", force=False).file() as write: write(b"...")``
    """

    def __init__(self, output: str, *, force: bool) -> None:
        self.path = None if output == STDOUT else Path(output)
        self.is_folder = self.path is not None and (
            output.endswith(("/", os.sep)) or self.path.is_dir()
        )
        self.written = 0
        """The size of the complete files, or the bytes written to standard output."""
        if self.path is not None:
            self._check(self.path, force=force)

    def __str__(self) -> str:
        return "standard output" if self.path is None else str(self.path)

    @contextmanager
    def file(self, name: str | None = None) -> Iterator[Write]:
        """Open a file for the block; it appears if the block succeeds and wrote something.

        Args:
            name: The name of a file in the folder, which is created; None: the target itself.

        Raises:
            ConfigurationError: The file cannot be written; says why.
            BrokenPipeError: The reader of standard output has closed it.
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
            with _explained(path):
                path.mkdir(mode=0o700, parents=True, exist_ok=True)
            path = path / name
        file = _TemporaryFile(path)
        try:
            yield file.write
            self.written += file.commit()
        finally:
            file.discard()

    def _check(self, path: Path, *, force: bool) -> None:
        if self.is_folder:
            if path.is_dir() and any(path.iterdir()) and not force:
                raise ConfigurationError(
                    f"The folder {path} is not empty; name another one, or add --force to "
                    "replace files of the same names in it"
                )
        elif path.is_file():
            if not force:
                raise ConfigurationError(
                    f"{path} already exists; name another file, or add --force to replace it"
                )
        elif not path.parent.exists():
            raise ConfigurationError(
                f"The folder {path.parent} does not exist; create it (mkdir -p), "
                "or name another file with --output"
            )


class _TemporaryFile:
    """A file that replaces another when it is complete; a device or a pipe is written directly."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._temporary: Path | None = None
        with _explained(path):
            self._destination = path.resolve()  # A link stays a link.
            if self._destination.exists() and not self._destination.is_file():
                self._raw: IO[bytes] = self._destination.open("wb")
            else:
                number, name = tempfile.mkstemp(  # Its mode is 0600.
                    prefix=f".{path.name[:40]}.", suffix=".part", dir=self._destination.parent
                )
                self._temporary = Path(name)
                self._raw = os.fdopen(number, "wb", _BUFFER_BYTES)
        compress = path.name.endswith(GZIP_SUFFIX)
        inner_name = path.name.removesuffix(GZIP_SUFFIX)
        self._out = gzip.GzipFile(inner_name, "wb", fileobj=self._raw) if compress else self._raw
        self._bytes = 0

    def write(self, data: bytes) -> None:
        self._bytes += len(data)
        with _explained(self._path):
            self._out.write(data)

    def commit(self) -> int:
        """Rename the file, unless nothing was written.

        Returns:
            Its size in bytes; of a device or a pipe the bytes that were written.
        """
        if not self._bytes:
            return 0
        size = self._bytes
        with _explained(self._path):
            if self._out is not self._raw:
                self._out.close()
            self._raw.flush()
            if self._temporary is not None:
                os.fsync(self._raw.fileno())
                size = os.fstat(self._raw.fileno()).st_size
                self._raw.close()
                self._temporary.replace(self._destination)
                self._temporary = None
        return size

    def discard(self) -> None:
        """Remove the temporary file, if it was not committed."""
        with suppress(OSError):  # A write has already reported a full disk.
            self._raw.close()
        if self._temporary is not None:
            self._temporary.unlink(missing_ok=True)


@contextmanager
def _stdout() -> Iterator[Write]:
    out = sys.stdout.buffer
    try:
        yield out.write
        out.flush()
    except BrokenPipeError:
        # At exit, Python would write the rest of its buffer and complain again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turn an error of the file system into a message with a repair."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        repair = _REPAIRS.get(error.errno or 0, "")
        raise ConfigurationError(
            f"{path} cannot be written ({error.strerror or error}); "
            f"{repair}name another file with --output"
        ) from error
