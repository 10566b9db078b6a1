"""Taking over the tables of Chainlit's SQLAlchemy layer in place, and giving them back.

Each is one transaction, so a failure or a crash at any point leaves everything as it was.
"""

from .adopt import Adoption
from .report import Report
from .unadopt import Return

__all__ = ["Adoption", "Report", "Return"]
