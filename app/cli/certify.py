"""`urbanos certify`: any server against the Linkage Interface, seen from outside only."""

import asyncio
import difflib
import json
import re
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from app.cli import lending
from app.cli.words import note, said

if TYPE_CHECKING:
    from app.certify.client import Server
    from app.certify.judge import Report
    from app.certify.layouts import Layout

_NOT_PASSED: Final = 4
_UNREACHABLE: Final = 1


def certify(  # noqa: PLR0913, PLR0917 - one option each
    url: Annotated[str, typer.Argument(metavar="URL", help="The address before /v1")],
    classes: Annotated[
        str,
        typer.Option(
            "--class",
            help="Parted by commas: core,query,changes,write,push,secure. core is in all;"
            " changes, write: see Writing; push: see Notices; secure: see Tokens",
        ),
    ] = "core",
    dataset: Annotated[
        str | None, typer.Option(help="The public dataset that is judged; else one that is listed")
    ] = None,
    form: Annotated[
        str, typer.Option("--format", help="text, json, junit, sarif or html")
    ] = "text",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Where the report goes")
    ] = None,
    seed: Annotated[int, typer.Option(help="The same seed asks the same")] = 0,
    per_second: Annotated[float, typer.Option(min=0.1, max=1000, help="Requests a second")] = 20.0,
    token_file: lending.TokenFile = None,
    prefix: Annotated[
        str | None,
        typer.Option(
            "--sandbox-prefix",
            rich_help_panel=lending.WRITING,
            help="Keys of all that is written begin so; with --dataset, and a token or client",
        ),
    ] = None,
    profile: Annotated[
        str | None, typer.Option(help="A standard layout that the records are held to: aed/2")
    ] = None,
    bundle: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="linkage-v1.zip with other layouts"),
    ] = None,
    clean: Annotated[
        bool,
        typer.Option(
            "--clean",
            rich_help_panel=lending.WRITING,
            help="First remove what another run left under the prefix",
        ),
    ] = False,
    client_id: lending.ClientId = None,
    client_key: lending.ClientKey = None,
    client_secret: lending.SecretFile = None,
    authorization_server: lending.AuthorizationServer = None,
    guarded: lending.Guarded = None,
    hidden_field: lending.HiddenField = None,
    hidden: lending.Hidden = None,
    purpose: lending.Purpose = "own-duty",
    other_purpose: lending.OtherPurpose = None,
    expired_token: lending.ExpiredToken = None,
    callback: lending.CallbackUrl = None,
    listen: lending.Listen = "127.0.0.1:8711",
    patience: lending.Patience = 120.0,
) -> None:
    """Judge a server; exit 4 if a rule is broken. サーバの適合を試験する。"""
    from app.certify import reports  # noqa: PLC0415
    from app.certify.client import NoAnswer  # noqa: PLC0415

    if form not in reports.FORMS:
        raise typer.BadParameter(", ".join(reports.FORMS), param_hint="--format")
    files = lending.Files(client_id, client_key, client_secret, expired_token, callback, listen)
    wanted = [name.strip() for name in classes.split(",") if name.strip()]
    try:
        lent = {
            "token": lending.read_text(token_file), "prefix": prefix, "clean": clean,
            "per_second": per_second,
            "lent": lending.read_lent(
                files, authorization_server=authorization_server, guarded=guarded,
                hidden_field=hidden_field, hidden=hidden, purpose=purpose,
                other_purpose=other_purpose, patience_s=patience,
            ),
        }  # fmt: skip
        layout = _layout(profile, bundle) if profile is not None else None
        report = asyncio.run(_judged(url, wanted, dataset, seed, lent, layout))
    except NoAnswer as none:
        told = (none.exchange.error or str(none), none.exchange.error_ja or str(none))
        error, error_ja, curl = (reports.plain(each) for each in (*told, none.exchange.curl()))
        note(
            f"判定できません。{error_ja}。\n  {curl}", f"This cannot be judged: {error}.\n  {curl}"
        )
        raise typer.Exit(_UNREACHABLE) from None
    text = reports.written(report, form)
    if output is None:
        typer.echo(text, nl=False)
    else:
        output.write_text(text, "utf-8")
        for told in (*reports.made(report), reports.summary(report)):
            note(*map(reports.plain, told))
    if not report.passed:
        raise typer.Exit(_NOT_PASSED)


def _layout(name: str, bundle: Path | None) -> "Layout":
    """A layout of the bundle that was downloaded, else one that is built in."""
    from app.catalogue.profile_schema import record_schema  # noqa: PLC0415
    from app.certify.layouts import Layout  # noqa: PLC0415
    from app.formats.profiles.municipal import built_in  # noqa: PLC0415

    if bundle is not None:
        schemas = _packed_schemas(bundle)
    else:
        layouts = [each.layout for each in built_in()]
        schemas = {f"{each.name}/{each.version}": record_schema(each, "") for each in layouts}
    if name not in schemas:
        near = difflib.get_close_matches(name, schemas, 3) or sorted(schemas)[:3]
        names = ", ".join(near)
        words = said(f"{name} というレイアウトはありません（近いもの: {names}）。",
                     f"There is no layout {name}. The nearest are {names}.")  # fmt: skip
        raise typer.BadParameter(words, param_hint="--profile")
    return Layout(name, schemas[name])


def _packed_schemas(bundle: Path) -> dict[str, Any]:
    found = {}
    try:
        with zipfile.ZipFile(bundle) as archive:
            for member in archive.namelist():
                if told := re.fullmatch(r"profiles/(.+)-(\d+)\.schema\.json", member):
                    found[f"{told[1]}/{told[2]}"] = json.loads(archive.read(member))
    except (zipfile.BadZipFile, ValueError) as exc:
        raise typer.BadParameter(str(exc), param_hint="--bundle") from None
    return found


async def _judged(
    url: str, classes: list[str], dataset: str | None, seed: int, lent: dict[str, Any],
    layout: "Layout | None",
) -> "Report":  # fmt: skip
    import httpx  # noqa: PLC0415
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import Progress  # noqa: PLC0415

    from app.certify.client import NoAnswer, Server  # noqa: PLC0415
    from app.certify.judge import judge  # noqa: PLC0415
    from app.certify.lint import Standard  # noqa: PLC0415

    with Progress(console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task(said("試験中", "Judging"), total=None)

        def seen(done: int, of: int) -> None:
            progress.update(bar, completed=done, total=of)

        async with httpx.AsyncClient(follow_redirects=False, trust_env=False) as http:
            server = Server(url, http, **lent)
            try:
                return await judge(
                    server, Standard.read(), classes, dataset=dataset, seed=seed, seen=seen,
                    layout=layout,
                )  # fmt: skip
            except asyncio.CancelledError:
                _say_left(server)
                raise
            except NoAnswer as none:
                _say_left(server)
                raise NoAnswer(none.exchange.trimmed(server.hidden)) from None


def _say_left(server: "Server") -> None:
    """What a run that ended early could not remove."""
    from app.certify import reports  # noqa: PLC0415
    from app.certify.judge import Report, accounted  # noqa: PLC0415

    ended = accounted(Report(server.base, "", (), 0, (), server.asked), server)
    if ended.left or ended.subscriptions:
        for told in reports.made(ended):
            note(*map(reports.plain, told))
