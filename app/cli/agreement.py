"""`urbanos agreement`: requests and agreements, decided as a named client under the same rules."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal
from uuid import UUID

import typer

from app.cli.shell import Shell, members, run
from app.cli.words import Json, show_many, show_one

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession

    from app.agreements.terms import DatasetTerms
    from app.models.agreements import AccessRequest, Agreement
    from app.policy.facts import ClientFacts

app = typer.Typer(no_args_is_help=True, help="Access requests and agreements. 利用申請と協定。")
Id = Annotated[UUID, typer.Argument(metavar="AGREEMENT")]
Request = Annotated[UUID, typer.Argument(metavar="REQUEST")]
Acting = Annotated[
    str, typer.Option("--as", help="The client that acts; nobody takes an offer of their own")
]
Rows = Annotated[
    str | None, typer.Option(help="Only the rows that meet this, as \"ward = '北区'\" (CQL2 Text)")
]
PerDay = Annotated[int | None, typer.Option(min=1, help="Requests a day under the agreement")]
Member = Annotated[str, typer.Argument(help="The member of the group, by its code")]
Why = Annotated[str, typer.Option(help="Stands in the log and the agreement")]
_COLUMNS = ("id", "dataset_id", "consumer_id", "purpose", "state", "valid_until")


@app.command("list")
def list_all(
    requests: Annotated[bool, typer.Option("--requests", help="Access requests instead")] = False,
    dataset: Annotated[str | None, typer.Option()] = None,
    as_json: Json = False,
) -> None:
    """List agreements or access requests. 協定または利用申請を一覧する。"""

    async def act(shell: Shell) -> list[dict[str, Any]]:
        from app.agreements import agreements  # noqa: PLC0415
        from app.agreements import requests as asked  # noqa: PLC0415

        async with shell.database.reading() as session:
            if requests:
                rows = await asked.list_requests(
                    session, parties=None, dataset_id=dataset, limit=10_000
                )
                return [_asked(each) for each in rows]
            found = await agreements.list_agreements(
                session, parties=None, dataset_id=dataset, limit=10_000
            )
        return [_shown(each) for each in found]

    show_many(run(act), as_json, (*_COLUMNS, "waiting_for", "due_at") if requests else _COLUMNS)


def _asked(request: "AccessRequest") -> dict[str, Any]:
    from app.agreements.standing import shown_state, waiting  # noqa: PLC0415

    waits = waiting(request)
    return {
        **members(request),
        "state": shown_state(request.state, request.due_at).value,
        "waiting_for": waits and waits.organization,
        "offers": [members(each) for each in request.offers],
    }


def _shown(agreement: "Agreement") -> dict[str, Any]:
    from app.agreements.agreements import shown_state  # noqa: PLC0415

    state = shown_state(agreement.state, agreement.valid_until)
    return {**members(agreement), "state": state}


@app.command()
def show(agreement: Id, as_json: Json = False) -> None:
    """Show one. 協定を表示する。"""

    async def act(shell: Shell) -> "Agreement":
        from app.agreements import agreements  # noqa: PLC0415

        async with shell.database.reading() as session:
            return await agreements.get_agreement(session, agreement)

    show_one(_shown(run(act)), as_json)


@app.command()
def approve(
    request: Request,
    acting: Acting,
    column: Annotated[
        list[str] | None, typer.Option(help="Grant only these; may be given several times")
    ] = None,
    rows: Rows = None,
    per_day: PerDay = None,
    reason: Annotated[str | None, typer.Option()] = None,
    as_json: Json = False,
) -> None:
    """Make an agreement of an access request. 利用申請を承認する。"""

    async def act(shell: Shell) -> "Agreement":
        from app.agreements import requests  # noqa: PLC0415

        by = await acting_client(shell, acting)
        granted = requests.Granted(
            columns=tuple(column) if column else None, rows=rows, per_day=per_day, reason=reason
        )
        async with shell.database.writing() as session:
            asked = await requests.get_request(session, request, lock=True)
            dataset = await terms_of(session, asked.dataset_id)
            return await requests.approve(session, asked, dataset, granted, by=by)

    show_one(_shown(run(act)), as_json)


@app.command()
def counter(  # noqa: PLR0913, PLR0917 - each is an option of the command
    request: Request,
    acting: Acting,
    column: Annotated[
        list[str] | None, typer.Option(help="Offer only these; may be given several times")
    ] = None,
    rows: Rows = None,
    per_day: PerDay = None,
    purpose: Annotated[str | None, typer.Option()] = None,
    valid_until: Annotated[
        datetime | None, typer.Option(help="The new end, in Japanese time")
    ] = None,
    reason: Annotated[str | None, typer.Option()] = None,
    as_json: Json = False,
) -> None:
    """Answer an access request with other terms. 別の条件を提示する。"""

    async def act(shell: Shell) -> dict[str, Any]:
        from app.agreements import negotiation, proposals, requests  # noqa: PLC0415
        from app.kit.clock import TOKYO  # noqa: PLC0415

        by = await acting_client(shell, acting)
        other = proposals.Proposal(
            columns=tuple(column) if column else None,
            rows=rows or proposals.KEEP,
            per_day=per_day or proposals.KEEP,
            purpose=purpose,
            valid_until=valid_until and valid_until.replace(tzinfo=TOKYO),
            reason=reason,
        )
        async with shell.database.writing() as session:
            asked = await requests.get_request(session, request, lock=True)
            dataset = await terms_of(session, asked.dataset_id)
            return _asked(await negotiation.counter(session, asked, dataset, other, by=by))

    show_one(run(act), as_json)


@app.command()
def accept(
    request: Request,
    offer: Annotated[int, typer.Option(help="The number of the offer: the newest")],
    acting: Acting,
    as_json: Json = False,
) -> None:
    """Accept the provider's offer. 提示された条件を受け入れる。"""

    async def act(shell: Shell) -> "Agreement":
        from app.agreements import negotiation, requests  # noqa: PLC0415

        by = await acting_client(shell, acting)
        async with shell.database.writing() as session:
            asked = await requests.get_request(session, request, lock=True)
            dataset = await terms_of(session, asked.dataset_id)
            return await negotiation.accept(session, asked, dataset, offer, by=by)

    show_one(_shown(run(act)), as_json)


@app.command()
def suspend(agreement: Id, acting: Acting, reason: Why, as_json: Json = False) -> None:
    """Stop an agreement for the time being. 停止する。"""
    show_one(_change("suspend", agreement, acting, reason), as_json)


@app.command()
def resume(agreement: Id, acting: Acting, reason: Why, as_json: Json = False) -> None:
    """Let a suspended agreement go on. 再開する。"""
    show_one(_change("resume", agreement, acting, reason), as_json)


@app.command()
def revoke(agreement: Id, acting: Acting, reason: Why, as_json: Json = False) -> None:
    """End an agreement for good. 取り消す（元に戻せない）。"""
    show_one(_change("revoke", agreement, acting, reason), as_json)


@app.command()
def exclude(
    agreement: Id, member: Member, acting: Acting, reason: Why, as_json: Json = False
) -> None:
    """Stop one member's use of a group's agreement. 参加団体を除外する。"""
    show_one(_leave_out("exclude", agreement, member, acting, reason), as_json)


@app.command()
def include(
    agreement: Id, member: Member, acting: Acting, reason: Why, as_json: Json = False
) -> None:
    """Let a member use it again. 参加団体の除外を解く。"""
    show_one(_leave_out("include", agreement, member, acting, reason), as_json)


def _leave_out(
    what: Literal["exclude", "include"], agreement_id: UUID, member: str, acting: str, reason: str
) -> dict[str, Any]:
    async def act(shell: Shell) -> dict[str, Any]:
        from app.agreements import agreements, exclusions  # noqa: PLC0415

        changes = {"exclude": exclusions.exclude, "include": exclusions.include}
        by = await acting_client(shell, acting)
        async with shell.database.writing() as session:
            found = await agreements.get_agreement(session, agreement_id, lock=True)
            dataset = await terms_of(session, found.dataset_id)
            done = await changes[what](session, found, dataset, member, reason=reason, by=by)
            return {**_shown(done), "excluded": done.excluded}

    return run(act)


def _change(
    what: Literal["suspend", "resume", "revoke"], agreement_id: UUID, acting: str, reason: str
) -> dict[str, Any]:
    async def act(shell: Shell) -> "Agreement":
        from app.agreements import agreements  # noqa: PLC0415

        changes = {
            "suspend": agreements.suspend,
            "resume": agreements.resume,
            "revoke": agreements.revoke,
        }
        by = await acting_client(shell, acting)
        async with shell.database.writing() as session:
            found = await agreements.get_agreement(session, agreement_id, lock=True)
            dataset = await terms_of(session, found.dataset_id)
            return await changes[what](session, found, dataset, reason=reason, by=by)

    return _shown(run(act))


async def acting_client(shell: Shell, client_id: str) -> "ClientFacts":
    """The client in whose name a decision is made. Raises `ClientNotFound`, `ClientRevoked`."""
    from app.parties.clients import ClientRevoked, load_client_facts  # noqa: PLC0415

    facts = await load_client_facts(shell.database.pool, client_id)
    if facts.revoked:
        raise ClientRevoked(client=client_id)
    return facts


async def terms_of(session: "AsyncSession", dataset_id: str) -> "DatasetTerms":
    """The dataset as agreements speak of it. Raises `DatasetNotFound`."""
    from app.agreements.terms import DatasetTerms  # noqa: PLC0415
    from app.catalogue.entries import load_entry  # noqa: PLC0415
    from app.parties.organizations import line_of  # noqa: PLC0415

    entry = await load_entry(session, dataset_id)
    return DatasetTerms(
        id=entry.id,
        publisher_id=entry.facts.publisher_id,
        publisher_line=await line_of(session, entry.facts.publisher_id),
        data_class=entry.facts.data_class,
        zone=entry.facts.zone,
        fields=entry.fields,
        hidden=entry.hidden or entry.facts.withdrawn,
    )
