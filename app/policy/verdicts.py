"""What the rules say: what may be done, or why not. It is judged elsewhere."""

from dataclasses import dataclass, field
from enum import StrEnum


class Reason(StrEnum):
    """Why a rule refused. Stable: stands in answers and in the log."""

    WITHDRAWN = "dataset_withdrawn"
    NEVER_BROKERED = "never_brokered"
    ZONE = "zone_not_allowed"
    TOKEN_REQUIRED = "token_required"  # noqa: S105 - a reason, not a secret
    CLIENT_REVOKED = "client_revoked"
    SCOPE = "insufficient_scope"
    CLIENT_TOO_WEAK = "client_authentication_too_weak"
    TOKEN_NOT_BOUND = "token_not_bound"  # noqa: S105
    PURPOSE_REQUIRED = "purpose_required"
    PURPOSE_UNKNOWN = "purpose_unknown"
    NO_AGREEMENT = "no_agreement"
    AGREEMENT_NOT_NAMED = "agreement_not_named"
    PURPOSE_NOT_AGREED = "purpose_not_agreed"
    ACTION_NOT_AGREED = "action_not_agreed"
    AGREEMENT_NOT_STARTED = "agreement_not_started"
    AGREEMENT_EXPIRED = "agreement_expired"
    AGREEMENT_SUSPENDED = "agreement_suspended"
    AGREEMENT_REVOKED = "agreement_revoked"
    EXCLUDED = "excluded_from_agreement"
    NO_COLUMNS = "no_columns_agreed"
    AGGREGATE_ONLY = "aggregate_only"
    NOT_FOR_PURPOSE = "not_for_purpose"
    SUBJECT_UNTOLD = "subject_not_declared"
    FACTS_TOO_OLD = "facts_too_old"  # found before the rules: app/policy/staleness.py


@dataclass(frozen=True, slots=True)
class ByConsent:
    """Whose records alone may leave: of those who consent, at the moment that they would leave.

    `subject` is the field that names the person whom a record is about.
    """

    subject: str
    consumer_id: str
    purpose: str


@dataclass(frozen=True, slots=True)
class Allow:
    """What may be done: the columns that may leave or be named, and on which ground.

    `rows` are conditions in CQL2 Text, all of which a row must meet to leave, to be counted and to
    be written; none: every row. They may name columns that the caller may not.
    """

    columns: frozenset[str]
    ground: str  # public, own, body, agreement
    agreement_id: str | None = None
    rows: tuple[str, ...] = ()
    per_day: int | None = None  # uses that the agreement allows its consumer in a day
    consent: ByConsent | None = None  # None: nobody is asked

    @property
    def bounds(self) -> tuple[str, ...]:
        """All that bounds the rows, in words: who is bounded otherwise sees something else."""
        return self.rows if self.consent is None else (*self.rows, repr(self.consent))


@dataclass(frozen=True, slots=True)
class Deny:
    """A refusal. `named` fills the words that explain it; `rule` is the name of what refused."""

    reason: Reason
    named: dict[str, str] = field(default_factory=dict)
    rule: str = field(default="", compare=False)


Decision = Allow | Deny
