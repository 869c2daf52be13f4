"""What `urbanos certify` is lent, read from the files that hold it. Shows nothing of it."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli.key_files import read_key

if TYPE_CHECKING:
    from app.certify.lent import Callback, Client, Lent

_FILE: Any = {"exists": True, "dir_okay": False}
TokenFile = Annotated[Path | None, typer.Option(**_FILE, help="An access token of the sandbox")]
ClientId = Annotated[
    str | None, typer.Option(help="A client of the sandbox, with a key or a secret")
]
ClientKey = Annotated[Path | None, typer.Option(**_FILE, help="Its private key (JWK), P-256")]
SecretFile = Annotated[
    Path | None, typer.Option("--client-secret-file", **_FILE, help="Its secret")
]
AuthorizationServer = Annotated[
    str | None, typer.Option(help="Who gives tokens, if it is not the server itself")
]
Guarded = Annotated[str | None, typer.Option(help="A dataset above public that it may read")]
HiddenField = Annotated[str | None, typer.Option(help="A field of it that it may not see")]
Hidden = Annotated[str | None, typer.Option(help="A dataset that it may not know of")]
Purpose = Annotated[str, typer.Option(help="The purpose that was agreed")]
OtherPurpose = Annotated[str | None, typer.Option(help="A purpose that was not")]
ExpiredToken = Annotated[
    Path | None, typer.Option("--expired-token-file", **_FILE, help="A token that has expired")
]
CallbackUrl = Annotated[
    str | None, typer.Option("--callback", help="The https address at which the server calls back")
]
Listen = Annotated[str, typer.Option(metavar="HOST:PORT", help="Where the judge hears it")]
Patience = Annotated[float, typer.Option(min=1, max=900, help="Seconds to wait for a notice")]


@dataclass(frozen=True, slots=True)
class Files:
    """The options that name files and places."""

    client_id: str | None
    client_key: Path | None
    client_secret: Path | None
    expired_token: Path | None
    callback: str | None
    listen: str


def read_lent(files: Files, **more: Any) -> "Lent":
    """What they hold. Raises `KeyFileUnusable` and `typer.BadParameter`."""
    from app.certify.lent import Lent  # noqa: PLC0415

    return Lent(
        client=_client(files), callback=_callback(files),
        expired_token=read_text(files.expired_token), **more,
    )  # fmt: skip


def read_text(path: Path | None) -> str | None:
    """One word of a file."""
    return path.read_text("utf-8").strip() if path else None


def _client(files: Files) -> "Client | None":
    from app.certify.lent import Client  # noqa: PLC0415

    if files.client_id is None:
        return None
    key, secret = files.client_key, files.client_secret
    if (key is None) == (secret is None):
        raise typer.BadParameter("--client-key / --client-secret-file", param_hint="--client-id")
    return Client(files.client_id, read_key(key) if key else None, read_text(secret))


def _callback(files: Files) -> "Callback | None":
    from app.certify.lent import Callback  # noqa: PLC0415

    if files.callback is None:
        return None
    if not files.callback.startswith("https://"):
        raise typer.BadParameter("https://…", param_hint="--callback")  # PUSH-06
    host, _, port = files.listen.rpartition(":")
    if not (port.isascii() and port.isdigit()) or int(port) > 65535:
        raise typer.BadParameter("HOST:PORT", param_hint="--listen")
    return Callback(files.callback, host.strip("[]") or "127.0.0.1", int(port))
