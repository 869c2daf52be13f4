"""The names of what the log records. A name, once used, is never given another meaning."""

from enum import StrEnum


class Event(StrEnum):
    """Stable names of log entries."""

    RECORDS_READ = "records.read"
    RECORDS_WRITTEN = "records.written"
    RECORDS_REFUSED = "records.refused"
    CALL_REFUSED = "call.refused"
    DECISION_EXPLAINED = "decision.explained"
    TOKEN_ISSUED = "token.issued"  # noqa: S105 - a name, not a secret
    TOKEN_REFUSED = "token.refused"  # noqa: S105
    TOKEN_REVOKED = "token.revoked"  # noqa: S105
    TOKEN_NOT_REVOKED = "token.not_revoked"  # noqa: S105
    TOKEN_INTROSPECTED = "token.introspected"  # noqa: S105
    ORGANIZATION_ADDED = "organization.added"
    ORGANIZATION_CHANGED = "organization.changed"
    CLIENT_ADDED = "client.added"
    CLIENT_CHANGED = "client.changed"
    CLIENT_REVOKED = "client.revoked"
    KEY_ROTATED = "key.rotated"
    PURPOSE_ADDED = "purpose.added"
    PROFILE_ADDED = "profile.added"
    PROFILE_CHANGED = "profile.changed"
    DATASET_ADDED = "dataset.added"
    DATASET_CHANGED = "dataset.changed"
    DATASET_WITHDRAWN = "dataset.withdrawn"
    DATASET_REINSTATED = "dataset.reinstated"
    RUN_STARTED = "run.started"
    RUN_FINISHED = "run.finished"
    RUN_CANCEL_ASKED = "run.cancel_asked"
    UPLOAD_BEGUN = "upload.begun"
    UPLOAD_REMOVED = "upload.removed"
    VERSION_PUBLISHED = "version.published"
    VERSION_ROLLED_BACK = "version.rolled_back"
    VERSION_DROPPED = "version.dropped"
    SOURCE_READ = "source.read"
    REPAIRS_READ = "repairs.read"
    REPAIR_DECIDED = "repair.decided"
    NEED_RAISED = "need.raised"
    NEED_ANSWERED = "need.answered"
    NEED_CLOSED = "need.closed"
    ACCESS_REQUESTED = "access.requested"
    ACCESS_DECIDED = "access.decided"
    AGREEMENT_CHANGED = "agreement.changed"
    INVITATION_MADE = "invitation.made"
    INVITATION_ACCEPTED = "invitation.accepted"
    INVITATION_ENDED = "invitation.ended"
    TERMS_PUBLISHED = "terms.published"
    TERMS_ACCEPTED = "terms.accepted"
    GROUP_ADDED = "group.added"
    GROUP_CHANGED = "group.changed"
    QUOTA_SET = "quota.set"
    QUOTA_REMOVED = "quota.removed"
    MANAGED_FOR_MEMBER = "dataset.managed_for_member"
