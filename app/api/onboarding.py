"""The ten steps of a body that joins, each with the call to make. Told from facts; keeps no state."""

from collections.abc import Iterator
from typing import Any

from fastapi import APIRouter
from sqlalchemy.ext.asyncio import AsyncSession

from app.api.access import CALLER_CODES, CallerDep, Reading
from app.api.problem import problems
from app.api.shapes import OutShape
from app.catalogue.progress import Progress, progress_of
from app.kit.errors import AppError, Kind
from app.parties import groups, organizations
from app.parties.arrival import Arrival, arrival_of
from app.policy.facts import Caller

router = APIRouter(prefix="/v1/organizations", tags=["Onboarding"])


class NotYourOrganization(AppError):
    """The steps of another organisation."""

    kind = Kind.FORBIDDEN
    code = "not_your_organization"
    ja = "{organization} の導入状況は、その組織・共同利用の運営組織・運営者だけが閲覧できます。"
    en = "The steps of {organization} are for itself, its group's operator and the platform's."


class CallOut(OutShape):
    """The call that does a step. What stands in braces is not known yet."""

    method: str
    path: str


class StepOut(OutShape):
    """One step."""

    number: int
    name: str
    ja: str
    en: str
    done: bool
    call: CallOut


class OnboardingOut(OutShape):
    """How far the organisation has come; `next` is absent when nothing is left."""

    organization_id: str
    dataset: str | None
    next: int | None
    steps: list[StepOut]


@router.get(
    "/{organization_id}/onboarding",
    response_model=OnboardingOut,
    summary="The steps of a body that joins",
    responses=problems(
        *CALLER_CODES, "not_your_organization", "organization_not_found", "organization_invalid"
    ),
)
async def show_onboarding(
    organization_id: str, caller: CallerDep, session: Reading
) -> dict[str, Any]:
    """From the invitation to the public address, in ten steps: what is done and what comes next."""
    organization = await organizations.get(session, organization_id)
    await _check_may_see(session, organization.id, caller)
    arrival = await arrival_of(session, organization.id)
    progress = await progress_of(session, organization.id)
    steps = list(_steps(arrival, progress))
    following = next((step["number"] for step in steps if not step["done"]), None)
    return {
        "organization_id": organization.id,
        "dataset": progress.dataset_id,
        "next": following,
        "steps": steps,
    }


async def _check_may_see(session: AsyncSession, organization_id: str, caller: Caller) -> None:
    mine = caller.client.organization_id
    if organization_id == mine or "admin:read" in caller.scope:
        return
    if await groups.managing_group(session, operator_id=mine, member_id=organization_id) is None:
        raise NotYourOrganization(organization=organization_id)


# name, ja, en: in the order of the steps
_WORDS = (
    ("invitation", "招待を受諾する", "Accept the invitation"),
    ("terms", "利用規約に同意する", "Accept the terms of use"),
    (
        "layout",
        "標準様式を選んでデータセットを登録する",
        "Choose a standard layout: register a dataset",
    ),
    ("template", "空の様式（Excel）をダウンロードする", "Download the empty workbook"),
    ("upload", "ファイルを送る", "Send the file"),
    ("report", "取込結果を読む", "Read the report"),
    ("mend", "受け付けられなかった行を直す", "Mend the rejected rows"),
    ("upload_again", "直したファイルを送る", "Send the mended file"),
    ("approve", "ライセンスを選んで公開を承認する", "Choose a licence and approve publication"),
    ("open", "公開URLを開く", "Open the public address"),
)


def _steps(arrival: Arrival, progress: Progress) -> Iterator[dict[str, Any]]:
    """Reading and downloading leave no trace: such a step is done once what it is for is done."""
    is_sent = progress.run_id is not None
    is_clean = progress.published or (is_sent and progress.rejected == 0)
    done = (
        arrival.has_steward,
        arrival.terms.owed is None,
        progress.dataset_id is not None,
        is_sent,
        is_sent,
        is_clean,
        is_clean,
        is_clean,
        progress.published,
        progress.is_open,
    )
    facts = zip(_WORDS, done, _calls(arrival, progress), strict=True)
    for number, ((name, ja, en), is_done, (method, path)) in enumerate(facts, start=1):
        yield {
            "number": number,
            "name": name,
            "ja": ja,
            "en": en,
            "done": is_done,
            "call": {"method": method, "path": path},
        }


def _calls(arrival: Arrival, progress: Progress) -> Iterator[tuple[str, str]]:
    number = arrival.terms.owed or arrival.terms.in_force or "{number}"
    layout = "/".join(map(str, progress.profile or ("{name}", "{version}")))
    dataset = f"/v1/datasets/{progress.dataset_id or '{dataset_id}'}"
    run = f"/v1/runs/{progress.run_id or '{run_id}'}"
    yield "POST", "/v1/invitations/accept"
    yield "POST", f"/v1/terms/{number}/accept"
    yield "POST", "/v1/datasets"
    yield "GET", f"/v1/profiles/{layout}/template.xlsx"
    yield "POST", f"{dataset}/versions"
    yield "GET", f"{run}/rejects"
    yield "GET", f"{run}/rejects.csv"
    yield "POST", f"{dataset}/versions"
    if progress.dataset_id is not None and not progress.licensed:
        yield "PATCH", dataset
    else:
        yield "POST", f"{dataset}/versions/{progress.version or '{number}'}/publish"
    # The page, once the shelf has it: a public address is for people to open.
    if progress.is_open:
        yield "GET", f"/opendata/datasets/{progress.dataset_id}"
    else:
        yield "GET", f"{dataset}/records?f=csv"
