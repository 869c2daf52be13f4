"""`urbanos provider`: organisations' identity providers, as /v1/admin/identity-providers has them."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from app.cli.shell import Shell, run, told_in
from app.cli.words import Json, show_many, show_one
from app.kit.errors import AppError, Kind

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from pydantic import BaseModel

    from app.signin.providers import Entry

    Shape = TypeVar("Shape", bound=BaseModel)

app = typer.Typer(
    no_args_is_help=True, help="Identity providers of organisations. 組織の認証プロバイダー。"
)
Id = Annotated[str, typer.Argument(metavar="PROVIDER")]
_COLUMNS = ("id", "organization_id", "name", "issuer", "domains", "disabled_at")


class ProviderFileWrong(AppError):
    """The file does not describe a provider."""

    kind = Kind.INVALID
    code = "provider_file_wrong"
    ja = "{path} の内容に誤りがあります。"
    en = "{path} does not describe an identity provider."


@app.command("list")
def list_all(as_json: Json = False) -> None:
    """List providers, disabled ones too. 認証プロバイダーを一覧する。"""

    async def act(shell: Shell) -> list[dict[str, Any]]:
        from app.api.identity_providers import shown  # noqa: PLC0415
        from app.signin import providers  # noqa: PLC0415

        async with shell.database.reading() as session:
            found = await providers.list_providers(session, limit=10_000)
        return [shown(shell.settings.issuer, each) for each in found]

    show_many(run(act), as_json, _COLUMNS)


@app.command()
def show(provider: Id, as_json: Json = False) -> None:
    """Show one, with what is to be entered on its side. 認証プロバイダーを表示する。"""

    async def act(shell: Shell) -> "Entry":
        from app.signin import providers  # noqa: PLC0415

        async with shell.database.reading() as session:
            return await providers.entry_of(session, await providers.get(session, provider))

    _show(act, as_json)


@app.command()
def add(
    file: Annotated[
        Path, typer.Argument(help="JSON: the body of POST /v1/admin/identity-providers")
    ],
    as_json: Json = False,
) -> None:
    """Add a provider. 認証プロバイダーを登録する。"""
    from app.api.identity_providers import ProviderIn  # noqa: PLC0415

    new = _read(file, ProviderIn)

    async def act(shell: Shell) -> "Entry":
        from app.kit.outbound import Allowed, Outbound  # noqa: PLC0415
        from app.oauth.keys import open_sealer  # noqa: PLC0415
        from app.signin import providers  # noqa: PLC0415

        Outbound(Allowed.parse(shell.settings.outbound_allow)).check(new.issuer)
        sealer = await open_sealer(shell.database.pool, shell.settings.secret_key)
        async with shell.database.writing() as session:
            return await providers.add(session, sealer, new.new(), by=shell.by)

    _show(act, as_json)


@app.command()
def vouch(
    provider: Id,
    file: Annotated[Path, typer.Argument(help="JSON: the body of PUT …/{id}/vouching")],
    as_json: Json = False,
) -> None:
    """Say anew for whom a provider vouches. 対象のドメインとグループを定め直す。"""
    from app.api.identity_providers import VouchingIn  # noqa: PLC0415

    told = _read(file, VouchingIn).told()

    async def act(shell: Shell) -> "Entry":
        from app.signin import providers  # noqa: PLC0415

        async with shell.database.writing() as session:
            return await providers.vouch(session, provider, told, by=shell.by)

    _show(act, as_json)


@app.command()
def disable(provider: Id, as_json: Json = False) -> None:
    """Take a provider's word no more, and end its people's sessions. 停止する。"""

    async def act(shell: Shell) -> "Entry":
        from app.signin import providers  # noqa: PLC0415

        async with shell.database.writing() as session:
            return await providers.disable(session, provider, by=shell.by)

    _show(act, as_json)


@app.command()
def enable(provider: Id, as_json: Json = False) -> None:
    """Take a provider's word again. 再開する。"""

    async def act(shell: Shell) -> "Entry":
        from app.signin import providers  # noqa: PLC0415

        async with shell.database.writing() as session:
            return await providers.enable(session, provider, by=shell.by)

    _show(act, as_json)


def _show(act: "Callable[[Shell], Awaitable[Entry]]", as_json: bool) -> None:
    async def told(shell: Shell) -> dict[str, Any]:
        from app.api.identity_providers import shown  # noqa: PLC0415

        return shown(shell.settings.issuer, await act(shell))

    show_one(run(told), as_json)


def _read(path: Path, shape: "type[Shape]") -> "Shape":
    """What a file says, checked by the shape of the API."""
    from pydantic import ValidationError  # noqa: PLC0415

    from app.api.input_words import faults_of  # noqa: PLC0415

    try:
        return shape.model_validate_json(told_in(path))
    except OSError as exc:
        raise typer.BadParameter(f"{path}: {exc.strerror}") from exc
    except ValidationError as exc:
        located = [{**each, "loc": ("body", *each["loc"])} for each in exc.errors()]
        raise ProviderFileWrong(path=path, faults=faults_of(located)) from exc
