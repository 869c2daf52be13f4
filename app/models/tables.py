"""All tables in one import, for migrations and tests."""

from app.models import agreements, datasets, log, parties
from app.models.base import Base

__all__ = ["Base", "agreements", "datasets", "log", "parties"]
