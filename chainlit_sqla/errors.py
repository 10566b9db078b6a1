"""The exceptions of chainlit-sqla; every message ends with the repair.

::

    ChainlitSqlaError
    ├── ConfigurationError      a setting, URL or argument that cannot work
    │   └── MissingExtraError   an optional dependency is not installed
    ├── DatabaseUnavailable     the server cannot be reached or refuses the login
    ├── SchemaError             the tables do not match this release
    │   ├── SchemaOutdated      older: run ``chainlit-sqla upgrade``
    │   ├── SchemaUnknown       newer, or created by another program
    │   ├── ServerUnsuitable    a version, encoding or character set that loses rows
    │   └── AdoptionRefused     tables that cannot be adopted in their present state
    ├── WriteError              a write that did not reach the database
    │   ├── RejectedRow         the database (or the layer) refuses this one row
    │   │   ├── NotTheAuthor    a client tried to write to another user's thread
    │   │   ├── TooLarge        a text or a row exceeds the limits of the settings
    │   │   └── UnknownOwner    a thread is given to a user who does not exist
    │   ├── ThreadDeleted       the thread was deleted; what came later is dropped
    │   ├── RetriesExhausted    the database stayed unavailable until the deadline
    │   ├── WriteQueueFull      too many writes wait already
    │   └── WriteQueueClosed    the layer was closed before the write
    ├── InvalidCursor           a page cursor that this layer did not issue
    ├── InvalidSearch           a search text exceeds the limit of the settings
    ├── StorageError            a blob could not be written, read or deleted
    │   ├── BlobNotFound        there is no blob under this key
    │   ├── BlobRejected        no store can take this blob: its key, size or source is at fault
    │   └── StorageUnavailable  the store cannot be reached or is overloaded
    └── ImportSourceError       a source database or file cannot be imported
"""

from __future__ import annotations

__all__ = [
    "AdoptionRefused",
    "BlobNotFound",
    "BlobRejected",
    "ChainlitSqlaError",
    "ConfigurationError",
    "DatabaseUnavailable",
    "ImportSourceError",
    "InvalidCursor",
    "InvalidSearch",
    "MissingExtraError",
    "NotTheAuthor",
    "RejectedRow",
    "RetriesExhausted",
    "SchemaError",
    "SchemaOutdated",
    "SchemaUnknown",
    "ServerUnsuitable",
    "StorageError",
    "StorageUnavailable",
    "ThreadDeleted",
    "TooLarge",
    "UnknownOwner",
    "WriteError",
    "WriteQueueClosed",
    "WriteQueueFull",
]


class ChainlitSqlaError(Exception):
    """Base class of all exceptions that chainlit-sqla raises on purpose."""


class ConfigurationError(ChainlitSqlaError):
    """A setting, URL or argument cannot work."""


class MissingExtraError(ConfigurationError):
    """An optional dependency is needed and not installed.

    Args:
        feature: The feature that needs it, by its usual name ("Google Cloud Storage").
        extra: The name of the extra that installs it.

    Example:
        >>> str(MissingExtraError("Azure Blob Storage", "azure"))
        'Azure Blob Storage needs an optional package; run: pip install "chainlit-sqla[azure]"'
    """

    def __init__(self, feature: str, extra: str) -> None:
        super().__init__(
            # Double quotes work in the Windows shell, too.
            f'{feature} needs an optional package; run: pip install "chainlit-sqla[{extra}]"'
        )
        self.extra = extra


class DatabaseUnavailable(ChainlitSqlaError):
    """The database cannot be reached, or refuses the login."""


class SchemaError(ChainlitSqlaError):
    """The tables in the database do not match this release."""


class SchemaOutdated(SchemaError):
    """The schema is older than this release, or does not exist yet."""


class SchemaUnknown(SchemaError):
    """The schema is newer than this release, or another program created it."""


class ServerUnsuitable(SchemaError):
    """The server is too old, or an encoding or character set cannot hold every row."""


class AdoptionRefused(SchemaError):
    """Tables cannot be adopted, or given back, in their present state; nothing was changed."""


class WriteError(ChainlitSqlaError):
    """A write did not reach the database."""


class RejectedRow(WriteError):
    """The database or the layer refuses this row; other rows of its batch are committed."""


class NotTheAuthor(RejectedRow):
    """A client requested a change in another user's thread; nothing was changed."""


class TooLarge(RejectedRow):
    """A text or a row exceeds the limits of the settings; nothing was changed."""


class UnknownOwner(RejectedRow):
    """A thread is given to a user who does not exist, or was deleted."""


class ThreadDeleted(WriteError):
    """The thread was deleted, and what is written to it later is dropped.

    Args:
        message: What was not written.
        thread_id: The deleted thread.
    """

    def __init__(self, message: str, thread_id: str) -> None:
        super().__init__(message)
        self.thread_id = thread_id


class RetriesExhausted(WriteError):
    """The database stayed unavailable until the deadline of the write."""


class WriteQueueClosed(WriteError):
    """The layer is closed and accepts no more writes."""


class WriteQueueFull(WriteError):
    """More writes wait for the database than the queue and the line beyond it may hold."""


class InvalidCursor(ChainlitSqlaError, ValueError):
    """A page cursor that this layer did not issue."""


class InvalidSearch(ChainlitSqlaError, ValueError):
    """A search text exceeds the limit of the settings."""


class StorageError(ChainlitSqlaError):
    """A blob could not be written, read or deleted."""


class BlobNotFound(StorageError):
    """There is no blob under this key."""


class BlobRejected(StorageError):
    """This one blob cannot be stored: its key, its size or the file it is read from is at fault.

    An upload that fails with any other error is repeated until its deadline.
    """


class StorageUnavailable(StorageError):
    """The store cannot be reached or is overloaded; a later attempt may succeed."""


class ImportSourceError(ChainlitSqlaError):
    """A source database or file cannot be imported."""
