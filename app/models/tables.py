"""All tables in one import, for migrations and tests."""

from app.models import (
    agreements,
    datasets,
    files,
    log,
    needs,
    onboarding,
    parties,
    people,
    profiles,
    providers,
    quality,
    quotas,
    search,
    uploads,
)
from app.models.base import Base

__all__ = [
    "Base",
    "agreements",
    "datasets",
    "files",
    "log",
    "needs",
    "onboarding",
    "parties",
    "people",
    "profiles",
    "providers",
    "quality",
    "quotas",
    "search",
    "uploads",
]
