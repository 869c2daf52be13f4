"""`urbanos invite`: an organisation is asked in, by the same service as /v1/admin/invitations."""

from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.shell import Shell, members, one_of, run
from app.cli.words import Json, note, show_one

if TYPE_CHECKING:
    from app.parties.invitations import MadeInvitation


def invite(
    organization: Annotated[str, typer.Argument(help="273830, 27383 or 271004-kenko")],
    email: Annotated[str, typer.Option(help="Where you send the code")],
    role: Annotated[list[str] | None, typer.Option(help="steward if absent")] = None,
    as_json: Json = False,
) -> None:
    """Invite an organisation; prints a code that works once. 組織を招待する（コードは一度だけ表示）。"""

    async def act(shell: Shell) -> "MadeInvitation":
        from app.models.parties import Role  # noqa: PLC0415
        from app.parties import invitations  # noqa: PLC0415

        roles = [one_of(Role, each, "--role") for each in role or ["steward"]]
        new = invitations.NewInvitation(organization, email, roles)
        async with shell.database.writing() as session:
            return await invitations.invite(session, new, by=shell.by)

    made = run(act)
    shown = members(made.invitation, "code_sha256", "handle", "wrong_codes")
    show_one({"code": made.code, **shown}, as_json)
    note(
        "コードは今だけ表示されます。14日以内に POST /v1/invitations/accept で受諾します。",
        "The code is shown only now. It is accepted within 14 days at POST /v1/invitations/accept.",
    )
