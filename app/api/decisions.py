"""The door that explains decisions to the operator: what would be said, and why. Gives no data."""

from uuid import UUID

from fastapi import APIRouter
from pydantic import AwareDatetime, ConfigDict, Field

from app.api.access import SCOPED_CODES, AdminReader, PlatformDep
from app.api.problem import problems
from app.api.shapes import LONGEST_BODY, InShape, Name, OutShape, Slug
from app.audit.events import Event
from app.broker.decide import Explanation, Supposed
from app.broker.refusals import words_of
from app.broker.snapshot import Known
from app.catalogue.refusals import DatasetNotFound
from app.models.parties import Role, Zone
from app.policy.facts import Action, AgreementFacts, Caller
from app.policy.verdicts import Deny, Reason

router = APIRouter(prefix="/v1/admin/decisions", tags=["Decisions"], max_body_size=LONGEST_BODY)


class SupposedIn(InShape):
    """A request to be judged: made now, by this listener, unless it says otherwise."""

    client: Name
    dataset: Slug
    action: Action = Action.READ
    purpose: Slug | None = None
    zone: Zone | None = Field(default=None, description="the listener's; absent: this one's")
    at: AwareDatetime | None = None
    bound: bool = Field(default=False, description="the token is bound to its sender's key")
    agreement: UUID | None = Field(default=None, description="the one that the token is for")

    model_config = ConfigDict(
        json_schema_extra={
            "example": {"client": "271403-app", "dataset": "shelters", "purpose": "health"}
        }
    )


class ReasonOut(OutShape):
    """A rule that refuses, what it means, and how to mend it."""

    code: str
    ja: str
    en: str


class ConsideredOut(OutShape):
    """An agreement of the client's organisation on the dataset; `refused` absent: it carries."""

    id: str
    purpose: str
    state: str
    refused: ReasonOut | None


class ExplainedOut(OutShape):
    """The verdict. `columns` are those that would leave, in the order of the dataset.

    `rows` are conditions in CQL2 Text, of the agreement and of the purpose view: a row that would
    leave meets them all, and none lets every row leave.
    """

    decision: str
    ground: str | None
    agreement: str | None
    columns: list[str]
    masks: dict[str, str] = Field(description="fields of which less than their values would leave")
    rows: list[str]
    per_day: int | None = Field(description="requests a day that the agreement has room for")
    refused: ReasonOut | None
    rule: str | None = Field(description="the name of the rule that refuses")
    agreements: list[ConsideredOut]
    assumes: list[str] = Field(description="what the supposed token is taken to have")

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "decision": "deny",
                "ground": None,
                "agreement": None,
                "columns": [],
                "masks": {},
                "rows": [],
                "per_day": None,
                "refused": {
                    "code": "no_agreement",
                    "ja": "データセット shelters の利用協定がありません。",
                    "en": "There is no agreement on the dataset shelters.",
                },
                "rule": "agreement",
                "agreements": [],
                "assumes": ["scope dataset:shelters:read"],
            }
        }
    )


@router.post(
    "/explain",
    response_model=ExplainedOut,
    summary="Explain a decision",
    responses=problems(*SCOPED_CODES, "client_not_found", "dataset_not_found"),
)
async def explain_decision(
    asked: SupposedIn, caller: AdminReader, platform: PlatformDep
) -> ExplainedOut:
    """What this client would get of this dataset for this purpose, or what refuses and mends it.

    Judged by the same rules on the same facts as a real request; nothing is read.
    """
    known = await platform.snapshot.dataset(asked.dataset)
    _require_visible(known, caller)
    client = await platform.clients.get(asked.client)
    told = asked.model_dump(exclude={"client", "dataset", "agreement"})
    agreement = str(asked.agreement) if asked.agreement else None
    supposed = Supposed(client, agreement_id=agreement, **told)
    explained = await platform.decider.explain(known, supposed)
    shown = _shown(explained)
    await platform.log.write(
        Event.DECISION_EXPLAINED, by=caller.client.actor, client=asked.client,
        dataset=asked.dataset, purpose=asked.purpose, decision=shown.decision,
    )  # fmt: skip
    return shown


def _require_visible(known: Known, caller: Caller) -> None:
    """A hidden dataset is its own line's and the operator's to know."""
    its_own = known.entry.facts.publisher_id in caller.client.line or (
        known.entry.facts.body_id == caller.client.organization_id
    )
    if known.entry.hidden and not its_own and Role.OPERATOR not in caller.client.roles:
        raise DatasetNotFound(id=known.entry.id)


def _shown(explained: Explanation) -> ExplainedOut:
    facts, verdict = explained.facts, explained.verdict
    assumes = [f"scope dataset:{facts.dataset.id}:{facts.action.needs}"]
    if facts.caller is not None and facts.caller.bound:
        assumes.append("bound to the sender's key")
    if facts.caller is not None and facts.caller.agreement_id is not None:
        assumes.append(f"for the agreement {facts.caller.agreement_id}")
    considered = [_considered(explained, *each) for each in explained.agreements]
    if isinstance(verdict, Deny):
        return ExplainedOut(
            decision="deny", ground=None, agreement=None, columns=[], masks={}, rows=[], per_day=None,
            refused=_reason(verdict.reason, verdict.named), rule=verdict.rule or None,
            agreements=considered, assumes=assumes,
        )  # fmt: skip
    columns = [name for name, _ in facts.dataset.columns if name in verdict.columns]
    return ExplainedOut(
        decision="allow", ground=verdict.ground, agreement=verdict.agreement_id, columns=columns,
        masks=dict(verdict.masks), rows=list(verdict.rows), per_day=verdict.per_day,
        refused=None, rule=None, agreements=considered, assumes=assumes,
    )  # fmt: skip


def _considered(
    explained: Explanation, agreement: AgreementFacts, why: Reason | None
) -> ConsideredOut:
    named = {"purpose": agreement.purpose, "dataset": explained.facts.dataset.id}
    return ConsideredOut(
        id=agreement.id,
        purpose=agreement.purpose,
        state=agreement.state,
        refused=None if why is None else _reason(why, named),
    )


def _reason(reason: Reason, named: dict[str, str]) -> ReasonOut:
    japanese, english = words_of(reason, named)
    return ReasonOut(code=reason.value, ja=japanese, en=english)
