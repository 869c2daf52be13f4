"""`urbanos client`: OAuth clients, by the same service as /v1/admin/clients."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli.key_files import KeyFileUnusable, new_key, public_jwks
from app.cli.shell import Shell, members, one_of, run
from app.cli.words import Json, note, said, show_many, show_one

if TYPE_CHECKING:
    from app.models.parties import Client
    from app.parties.registrations import MadeToken

app = typer.Typer(no_args_is_help=True, help="OAuth clients. OAuthクライアント。")
Id = Annotated[str, typer.Argument(metavar="CLIENT")]
RedirectUris = Annotated[
    list[str] | None, typer.Option(help="Where people are sent back to; several times")
]
StaffOf = Annotated[
    list[str] | None, typer.Option(help="Whose staff may sign in to it; several times")
]
Citizens = Annotated[
    bool, typer.Option("--citizens", help="Citizens may sign in to it, at providers of their own")
]
_COLUMNS = ("id", "organization_id", "name", "roles", "auth_method", "revoked_at")


def _shown(client: "Client") -> dict[str, Any]:
    return members(client, "secret_hash")


@app.command("list")
def list_all(
    organization: Annotated[str | None, typer.Option(help="Only of this organisation")] = None,
    as_json: Json = False,
) -> None:
    """List clients, revoked ones too. クライアントを一覧する。"""

    async def act(shell: Shell) -> list[dict[str, Any]]:
        from app.parties import clients  # noqa: PLC0415

        async with shell.database.reading() as session:
            found = await clients.list_clients(session, organization_id=organization, limit=10_000)
        return [_shown(each) for each in found]

    show_many(run(act), as_json, _COLUMNS)


@app.command()
def show(client: Id, as_json: Json = False) -> None:
    """Show one. クライアントを表示する。"""

    async def act(shell: Shell) -> "Client":
        from app.parties import clients  # noqa: PLC0415

        async with shell.database.reading() as session:
            return await clients.get(session, client)

    show_one(_shown(run(act)), as_json)


@app.command()
def add(  # noqa: PLR0913, PLR0917 - what a client is
    organization: Annotated[str, typer.Option(help="271004-kenko")],
    name: Annotated[str, typer.Option()],
    client_id: Annotated[str | None, typer.Option("--id", help="Made if absent")] = None,
    role: Annotated[list[str] | None, typer.Option(help="May be given several times")] = None,
    zone: Annotated[str, typer.Option(help="internet, lgwan or mynumber")] = "internet",
    system: Annotated[str | None, typer.Option(help="The system that it is")] = None,
    new_key_file: Annotated[
        Path | None, typer.Option("--new-key", help="Make a key pair; the private half goes here")
    ] = None,
    jwks: Annotated[Path | None, typer.Option(help="File with the client's public keys")] = None,
    secret: Annotated[
        bool, typer.Option("--secret", help="Make a secret (client_secret_basic)")
    ] = False,
    redirect_uri: RedirectUris = None,
    staff_of: StaffOf = None,
    citizens: Citizens = False,
    tls_subject: Annotated[
        str | None,
        typer.Option(help="tls_client_auth: CN=app.city.example.jp,O=Sakai City,C=JP"),
    ] = None,
    certificate_bound: Annotated[
        bool | None,
        typer.Option("--certificate-bound/--not-certificate-bound", help="Bind its tokens (mTLS)"),
    ] = None,
    as_json: Json = False,
) -> None:
    """Add a client: one of --new-key, --jwks, --secret, --tls-subject. クライアントを登録する。"""
    if [bool(new_key_file), bool(jwks), secret, bool(tls_subject)].count(True) != 1:
        raise typer.BadParameter(
            said(
                "--new-key、--jwks、--secret、--tls-subject のどれか一つを指定してください。",
                "Give exactly one of --new-key, --jwks, --secret, --tls-subject.",
            )
        )
    _check_who(redirect_uri, staff_of, citizens)
    public = public_jwks(new_key(new_key_file)) if new_key_file else _read_jwks(jwks)

    async def act(shell: Shell) -> tuple["Client", str | None]:
        from app.models.parties import AuthMethod, Role, Zone  # noqa: PLC0415
        from app.parties import clients  # noqa: PLC0415

        method = AuthMethod.PRIVATE_KEY_JWT if public else AuthMethod.TLS_CLIENT_AUTH
        if secret:
            method = AuthMethod.CLIENT_SECRET_BASIC
        new = clients.NewClient(
            organization_id=organization,
            name=name,
            auth_method=method,
            roles=[one_of(Role, each, "--role") for each in role or ()],
            zone=one_of(Zone, zone, "--zone"),
            jwks=public,
            tls_subject=tls_subject,
            certificate_bound=certificate_bound,
            system=system,
            id=client_id,
            redirect_uris=redirect_uri or (),
            staff_of=staff_of or (),
            citizens=citizens,
        )
        async with shell.database.writing() as session:
            added = await clients.add(session, new, by=shell.by)
        return added.client, added.secret

    try:
        made, shown_once = run(act)
    except BaseException:
        if new_key_file:
            new_key_file.unlink(missing_ok=True)  # the key of a client that was not added
        raise
    if shown_once:
        note("secret は今だけ表示されます。", "The secret is shown now and never again.")
    show_one({**_shown(made), **({"secret": shown_once} if shown_once else {})}, as_json)


@app.command("sign-in")
def sign_in(
    client: Id,
    redirect_uri: RedirectUris = None,
    staff_of: StaffOf = None,
    citizens: Citizens = False,
    as_json: Json = False,
) -> None:
    """Say anew who signs in to a client, and where they are sent back to. サインインの設定を置き換える。"""

    async def act(shell: Shell) -> "Client":
        from app.parties import clients  # noqa: PLC0415

        told = {"redirect_uris": redirect_uri or (), "staff_of": staff_of or ()}
        async with shell.database.writing() as session:
            return await clients.set_sign_in(
                session, client, **told, citizens=citizens, by=shell.by
            )

    _check_who(redirect_uri, staff_of, citizens)
    show_one(_shown(run(act)), as_json)


@app.command("registration-token")
def registration_token(
    organization: Annotated[str, typer.Argument(help="271004-kenko")],
    uses: Annotated[int, typer.Option(min=1, max=20, help="So many clients may register")] = 1,
    days: Annotated[int, typer.Option(min=1, max=30, help="So long it opens anything")] = 7,
    role: Annotated[list[str] | None, typer.Option(help="steward or developer")] = None,
    as_json: Json = False,
) -> None:
    """Let clients register themselves at /oauth/register. クライアントの自己登録を許す。"""

    async def act(shell: Shell) -> "MadeToken":
        from app.models.parties import Role  # noqa: PLC0415
        from app.parties import registrations  # noqa: PLC0415

        roles = [one_of(Role, each, "--role") for each in role or ()]
        new = registrations.NewToken(organization, uses, days, roles)
        async with shell.database.writing() as session:
            return await registrations.make_token(session, new, by=shell.by)

    made = run(act)
    show_one({"token": made.token, **members(made.registration_token, "secret_sha256")}, as_json)
    note(
        "トークンは今だけ表示されます。登録されたクライアントは、職員が承認するまで使えません。",
        "The token is shown only now. What registers with it waits until a person approves it.",
    )


def _check_who(redirect_uris: list[str] | None, staff_of: list[str] | None, citizens: bool) -> None:
    """A client with an address to send people back to, and nobody who may sign in, is a slip."""
    if redirect_uris and not staff_of and not citizens:
        raise typer.BadParameter(
            said(
                "--redirect-uri には --staff-of（サインインできる職員の組織）か --citizens も必要です。",
                "With --redirect-uri say who may sign in: --staff-of, or --citizens.",
            )
        )


def _read_jwks(path: Path | None) -> dict[str, Any] | None:
    if path is None:
        return None
    import orjson  # noqa: PLC0415

    try:
        found = orjson.loads(path.read_bytes())
    except (OSError, ValueError) as exc:
        raise KeyFileUnusable(path=path, why=str(exc)) from exc
    if not isinstance(found, dict):
        raise KeyFileUnusable(path=path, why="no JWK set")
    return found


@app.command()
def revoke(
    client: Id,
    reason: Annotated[str | None, typer.Option(help="Kept in the log")] = None,
    as_json: Json = False,
) -> None:
    """End a client for good; its tokens are refused at once. 失効させる（取消不可）。"""

    async def act(shell: Shell) -> "Client":
        from app.parties import clients  # noqa: PLC0415

        async with shell.database.writing() as session:
            return await clients.revoke(session, client, by=shell.by, reason=reason)

    show_one(_shown(run(act)), as_json)
