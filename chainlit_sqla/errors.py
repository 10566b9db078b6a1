"""The exceptions of chainlit-sqla; every message ends with the repair.

::

    ChainlitSqlaError
    ├── ConfigurationError      a setting or URL that cannot work
    │   └── MissingExtraError   an optional dependency is not installed
    ├── DatabaseUnavailable     the server cannot be reached or refuses the login
    ├── SchemaError             the tables are not what this release needs
    │   ├── SchemaOutdated      older: run ``chainlit-sqla upgrade``
    │   ├── SchemaUnknown       newer, or not ours
    │   └── AdoptionRefused     tables that cannot be taken over as they are
    ├── WriteError              a write that did not reach the database
    │   ├── RejectedRow         the database (or the layer) refuses this one row
    │   │   └── NotTheAuthor    a client reached for another user's thread
    │   ├── RetriesExhausted    the database stayed away for too long
    │   └── PipelineClosed      the layer was closed before the write
    ├── InvalidCursor           a page cursor that this layer did not make
    ├── StorageError            a blob could not be written, read or deleted
    │   └── BlobNotFound        there is no blob under this key
    └── ImportSourceError       a source database or file cannot be imported
"""

from __future__ import annotations


class ChainlitSqlaError(Exception):
    """The root of all errors raised on purpose by chainlit-sqla."""


class ConfigurationError(ChainlitSqlaError):
    """A setting, URL or argument that cannot work as given."""


class MissingExtraError(ConfigurationError):
    """An optional dependency is needed and not installed.

    Args:
        feature: What needs it, as the user knows it ("Google Cloud Storage").
        extra: The name of the extra that installs it.

    Example:
        >>> str(MissingExtraError("Azure Blob Storage", "azure"))
        'Azure Blob Storage needs an optional package; run: pip install "chainlit-sqla[azure]"'
    """

    def __init__(self, feature: str, extra: str) -> None:
        super().__init__(
            # In these quotes, Windows takes it as well.
            f'{feature} needs an optional package; run: pip install "chainlit-sqla[{extra}]"'
        )
        self.extra = extra


class DatabaseUnavailable(ChainlitSqlaError):
    """The database cannot be reached, or refuses the login."""


class SchemaError(ChainlitSqlaError):
    """The tables in the database are not those that this release works with."""


class SchemaOutdated(SchemaError):
    """The schema is older than this release, or was never made."""


class SchemaUnknown(SchemaError):
    """The schema is newer than this release, or is not ours."""


class AdoptionRefused(SchemaError):
    """Tables cannot be taken over, or given back, as they are; nothing was changed."""


class WriteError(ChainlitSqlaError):
    """A write that did not reach the database."""


class RejectedRow(WriteError):
    """This one row is refused; what was written beside it is safe."""


class NotTheAuthor(RejectedRow):
    """A client asked for a change in a thread of another user; nothing was changed."""


class RetriesExhausted(WriteError):
    """The database stayed unreachable until the deadline of the write."""


class PipelineClosed(WriteError):
    """The layer was closed; it takes no more writes."""


class InvalidCursor(ChainlitSqlaError, ValueError):
    """A page cursor that was not made by this layer."""


class StorageError(ChainlitSqlaError):
    """A blob could not be written, read or deleted."""


class BlobNotFound(StorageError):
    """There is no blob under this key."""


class StorageUnavailable(StorageError):
    """The store cannot be reached or is overloaded; the same may work in a while."""


class ImportSourceError(ChainlitSqlaError):
    """A source database or file cannot be imported."""
