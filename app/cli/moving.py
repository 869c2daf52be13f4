"""`urbanos export` and `urbanos import`: all that an organisation owns, out of a platform and into
another. They decide nothing: what may leave at a shell is what is internal at most."""

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli.shell import Shell, run
from app.cli.words import Json, note, said, show_json, show_one
from app.kit.errors import AppError, Kind

if TYPE_CHECKING:
    from app.moving.requests import Made
    from app.tasks.owner_import import Report

CHECK_FAILED = 4


class OnlyByTwo(AppError):
    """At a shell there is one person, and personal data takes two."""

    kind = Kind.FORBIDDEN
    code = "export_needs_two_people"
    ja = (
        "{classes} までの書き出しには目的・宛先の鍵・二人目の承認が必要です。"
        "POST /v1/organizations/{organization}/exports で求めてください。"
    )
    en = (
        "An export up to {classes} needs a purpose, a recipient's key and a second person's word:"
        " ask for it at POST /v1/organizations/{organization}/exports."
    )


def export(
    organization: Annotated[str, typer.Argument(help="Whose; with all below it. 組織のid")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The archive. 書き出し先")],
    up_to: Annotated[
        str, typer.Option(help="The highest class of a dataset that goes: public, internal")
    ] = "internal",
    as_json: Json = False,
) -> None:
    """Write all that an organisation owns into one archive. 組織の所有データを書き出す。"""
    if up_to not in ("public", "internal"):
        raise OnlyByTwo(classes=up_to, organization=organization)

    async def act(shell: Shell) -> "Made":
        return await _export(shell, organization, output, up_to)

    made = run(act)
    told = {"file": str(output), "size": made.size, "sha256": made.sha256, "kid": made.kid}
    show_one({**told, "counts": dict(made.counts)}, as_json)
    note(f"取り込みには --trust {made.kid} が必要です。",
         f"Whoever imports it gives --trust {made.kid}.")  # fmt: skip


async def _export(shell: Shell, organization: str, output: Path, up_to: str) -> "Made":
    from app.audit import log  # noqa: PLC0415
    from app.audit.events import Event  # noqa: PLC0415
    from app.kit.folders import keep_names  # noqa: PLC0415
    from app.oauth.keys import ensure_keys, open_sealer  # noqa: PLC0415
    from app.parties import organizations  # noqa: PLC0415
    from app.tasks.owner_export import Mover, new_export  # noqa: PLC0415

    sealer = await open_sealer(shell.database.pool, shell.settings.secret_key)
    async with shell.database.writing() as session:
        await ensure_keys(session, sealer)  # no server may have run yet
        body = await organizations.get(session, organization)
    what = new_export(body.id, up_to)
    part = output.with_name(f"{output.name}.part")
    try:
        part.unlink(missing_ok=True)  # a killed one's, or whoever's: its mode is not ours
        part.touch(mode=0o600, exist_ok=False)
        made = await Mover(shell.database, lambda: sealer, shell.settings.issuer).write(
            what, part, _silent
        )
        part.replace(output)  # only what is whole has the name
        keep_names(output.parent)
    except ConnectionError:
        raise
    except OSError as exc:
        told = said(f"{output} に書き込めません", f"{output} cannot be written")
        raise typer.BadParameter(f"{told} ({exc.strerror})", param_hint="--output") from exc
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)
    async with shell.database.writing() as session:
        await log.append(
            session, Event.EXPORT_MADE, export=str(what.export_id), organization=body.id,
            sha256=made.sha256, size=made.size, datasets=made.counts.get("datasets"),
            rows=made.counts.get("rows"), classes_up_to=up_to, by=shell.by,
        )  # fmt: skip
    return made


async def _silent(_members: int) -> None:
    """Nobody waits for a word between."""


def import_(
    archive: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="書き出したZIP")],
    trust: Annotated[
        list[str] | None,
        typer.Option(help="The key (kid) that its former platform told you. 信頼する署名鍵"),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be made. 試行")
    ] = False,
    identity: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="The age key that opens it. 復号する鍵"),
    ] = None,
    most_gb: Annotated[int, typer.Option(min=1, help="Refuse what unpacks to more")] = 64,
    as_json: Json = False,
) -> None:
    """Take an archive into this platform, whole or not at all. アーカイブを取り込む。"""

    async def act(shell: Shell) -> "Report":
        from app.tasks.opening import in_the_clear  # noqa: PLC0415
        from app.tasks.owner_import import import_archive  # noqa: PLC0415

        with in_the_clear(archive, identity) as plain:
            return await import_archive(
                shell.database, plain, frozenset(trust or ()), by=shell.by, dry_run=dry_run,
                most_bytes=most_gb << 30,
            )  # fmt: skip

    report = run(act)
    _show(report, as_json)
    if dry_run:
        note("試行のため、何も書き込んでいません。", "A dry run: nothing was written.")
    elif not report.is_equal:
        raise typer.Exit(CHECK_FAILED)


def _show(report: "Report", as_json: bool) -> None:
    from dataclasses import asdict  # noqa: PLC0415

    if as_json:
        show_json({**asdict(report), "is_equal": report.is_equal})
        return
    for line in report.lines:
        told: list[Any] = [line.name, line.announced, line.made, line.here, line.sha256 or ""]
        typer.echo("\t".join(map(str, told)))
    for each in report.left_out:
        note(f"含まれていません: {each['id']}（{each['reason']}）",
             f"Not in the archive: {each['id']} ({each['reason']})")  # fmt: skip
