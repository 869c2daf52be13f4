"""The names of what the log records. A name, once used, is never given another meaning."""

from enum import StrEnum


class Event(StrEnum):
    """Stable names of log entries."""

    RECORDS_READ = "records.read"
    RECORDS_WRITTEN = "records.written"
    RECORDS_REFUSED = "records.refused"
    CALL_REFUSED = "call.refused"
    TOKEN_ISSUED = "token.issued"  # noqa: S105 - a name, not a secret
    TOKEN_REFUSED = "token.refused"  # noqa: S105
    ORGANIZATION_ADDED = "organization.added"
    ORGANIZATION_CHANGED = "organization.changed"
    CLIENT_ADDED = "client.added"
    CLIENT_CHANGED = "client.changed"
    CLIENT_REVOKED = "client.revoked"
    KEY_ROTATED = "key.rotated"
    PURPOSE_ADDED = "purpose.added"
    PROFILE_ADDED = "profile.added"
    DATASET_ADDED = "dataset.added"
    DATASET_CHANGED = "dataset.changed"
    DATASET_WITHDRAWN = "dataset.withdrawn"
    RUN_STARTED = "run.started"
    RUN_FINISHED = "run.finished"
    VERSION_PUBLISHED = "version.published"
    ACCESS_REQUESTED = "access.requested"
    ACCESS_DECIDED = "access.decided"
    AGREEMENT_CHANGED = "agreement.changed"
