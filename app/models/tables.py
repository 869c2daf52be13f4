"""All tables in one import, for migrations and tests."""

from app.models import (
    agreements,
    authorization,
    citizens,
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
    views,
)
from app.models.base import Base

__all__ = [
    "Base",
    "agreements",
    "authorization",
    "citizens",
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
    "views",
]
