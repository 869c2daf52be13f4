"""`urbanos verify-certificate`: whether a conformance certificate is genuine and in force."""

import json
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli.shell import Shell, run
from app.cli.words import Json, note, show_one

if TYPE_CHECKING:
    from collections.abc import Mapping

_File = Annotated[Path, typer.Argument(metavar="FILE", exists=True, dir_okay=False)]


def verify_certificate(
    file: _File,
    jwks: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="The issuer's /v1/conformance/keys, kept"),
    ] = None,
    revocations: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="Its /v1/conformance/revocations, kept"),
    ] = None,
    as_json: Json = False,
) -> None:
    """Verify a certificate; exit 4 if it is not valid. 適合証明書を検証する。

    With --jwks no network and no database is asked; else those of this platform's database.
    """
    from app.conformance import signed  # noqa: PLC0415
    from app.kit import clock  # noqa: PLC0415

    if jwks is not None:
        key_set: Mapping[str, Any] = _read_keys(jwks)
        listed: frozenset[str] | None = None
    else:
        key_set, listed = run(_known_here)
    if revocations is not None:
        told = signed.opened(signed.REVOCATIONS, _read(revocations), key_set)
        listed = signed.revoked_in(told, clock.now())
    claims = signed.opened(signed.CERTIFICATE, _read(file), key_set)
    signed.check_in_force(claims, clock.now(), listed)
    if listed is None:
        note("失効の有無は確認していません（--revocations を指定してください）。",
             "Whether it was revoked is not known: give --revocations.")  # fmt: skip
    show_one(_shown(claims), as_json)


async def _known_here(shell: Shell) -> "tuple[Mapping[str, Any], frozenset[str]]":
    from app.conformance import certificates  # noqa: PLC0415
    from app.oauth.keys import lasting_keys  # noqa: PLC0415

    async with shell.database.reading() as session:
        keys = await lasting_keys(session, certificates.LIFETIME)
        told = await certificates.revocations(session, issuer="")
    return keys, frozenset(each["id"] for each in told["revoked"])


def _read_keys(file: Path) -> dict[str, Any]:
    try:
        told = json.loads(file.read_bytes())
    except ValueError:
        told = None
    if not isinstance(told, dict) or not isinstance(told.get("keys"), list):
        raise typer.BadParameter("no JWK set / JWKセットではありません", param_hint="--jwks")
    return told


def _read(file: Path) -> str:
    """The file as it came; an editor may have ended its line."""
    text = file.read_bytes().decode("utf-8", "replace")
    return text.removesuffix("\n").removesuffix("\r")


def _shown(claims: dict[str, Any]) -> dict[str, Any]:
    from app.kit.clock import TOKYO  # noqa: PLC0415

    day = datetime.fromtimestamp(claims["exp"], TOKYO).date()
    return {
        "certificate": claims.get("jti"), "issuer": claims.get("iss"),
        "service": claims["service"]["name"], "vendor": claims["vendor"]["name"],
        "classes": " ".join(claims["classes"]), "standard": claims["standard"],
        "profiles": " ".join(claims["profiles"]), "expires": day.isoformat(),
        "run": claims["run"], "report_sha256": claims["report_sha256"],
    }  # fmt: skip
