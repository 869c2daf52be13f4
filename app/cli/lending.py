"""What `urbanos certify` is lent, read from the files that hold it. Shows nothing of it."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli.key_files import read_key

if TYPE_CHECKING:
    from app.certify.lent import Callback, Client, Lent

WRITING, TOKENS, NOTICES = "Writing (changes, write)", "Tokens (secure)", "Notices (push)"
_FILE: Any = {"exists": True, "dir_okay": False}
_TOKENS: Any = {"rich_help_panel": TOKENS}
_NOTICES: Any = {"rich_help_panel": NOTICES}
TokenFile = Annotated[
    Path | None,
    typer.Option(**_FILE, **_TOKENS, help="An access token of the sandbox; or give a client"),
]
ClientId = Annotated[
    str | None,
    typer.Option(**_TOKENS, help="A client of the sandbox, with one of the two that follow"),
]
ClientKey = Annotated[
    Path | None, typer.Option(**_FILE, **_TOKENS, help="Its private key (JWK), P-256")
]
SecretFile = Annotated[
    Path | None, typer.Option("--client-secret-file", **_FILE, **_TOKENS, help="Its secret")
]
AuthorizationServer = Annotated[
    str | None, typer.Option(**_TOKENS, help="Who gives tokens, if it is not the server itself")
]
Guarded = Annotated[
    str | None, typer.Option(**_TOKENS, help="A dataset above public that the client may read")
]
HiddenField = Annotated[
    str | None, typer.Option(**_TOKENS, help="A field of it that the client may not see")
]
Hidden = Annotated[
    str | None, typer.Option(**_TOKENS, help="A dataset that the client may not know of")
]
Purpose = Annotated[
    str, typer.Option(**_TOKENS, help="The purpose that was agreed for the guarded dataset")
]
OtherPurpose = Annotated[
    str | None, typer.Option(**_TOKENS, help="A purpose that was not agreed for it")
]
ExpiredToken = Annotated[
    Path | None,
    typer.Option("--expired-token-file", **_FILE, **_TOKENS, help="A token that has expired"),
]
CallbackUrl = Annotated[
    str | None,
    typer.Option(
        "--callback", **_NOTICES, help="The public https address at which the server calls back"
    ),
]
Listen = Annotated[
    str,
    typer.Option(
        metavar="HOST:PORT", **_NOTICES, help="Where that address leads to: the judge listens there"
    ),
]
Patience = Annotated[
    float, typer.Option(min=1, max=900, **_NOTICES, help="Seconds to wait for a notice")
]


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

    key, secret = files.client_key, files.client_secret
    if files.client_id is None and key is None and secret is None:
        return None
    if files.client_id is None or (key is None) == (secret is None):
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
