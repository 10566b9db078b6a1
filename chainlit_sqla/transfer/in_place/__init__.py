"""Taking over the tables of Chainlit's SQLAlchemy layer in place, and giving them back."""

from .adopt import Adoption, BackupRemoval
from .change import InPlaceChange, Report
from .unadopt import Unadoption

__all__ = ["Adoption", "BackupRemoval", "InPlaceChange", "Report", "Unadoption"]
