"""`urbanos agent`: the agent in a closed network, and the register of agents beside the platform.

The agent's side needs the platform's address and a folder, and no database; it listens to nobody.
"""

from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final
from uuid import UUID

import typer

from app.cli.shell import Shell, members, run
from app.cli.words import Json, language, note, said, show_many, show_one
from app.kit.errors import AppError, Kind

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from joserfc.jwk import ECKey

    from app.kit.outbound import Outbound
    from app.outpost.allowance import Allowance
    from app.outpost.answering import Answerer
    from app.outpost.folder import Folder

app = typer.Typer(no_args_is_help=True, help="Agents in closed networks. 閉域網のエージェント。")
Place = Annotated[
    Path, typer.Option("--folder", help="The agent's own folder", envvar="URBANOS_AGENT_FOLDER")
]
_DEFAULT: Final = Path(".urbanos-agent")
_COLUMNS: Final = ("id", "organization_id", "name", "sources", "enrolled_at", "revoked_at")
_HIDDEN: Final = ("sealed_code", "sealed_bundle_key", "public_jwk", "bundle_jwk", "last_bundle")
_LOCAL: Final = ("127.0.0.1", "::1", "localhost")


class CodeMalformed(AppError):
    """It is no enrolment code."""

    kind = Kind.INVALID
    code = "agent_code_malformed"
    ja = "登録コードの形ではありません。POST /v1/agents の応答の code をそのまま指定してください。"
    en = "It is no enrolment code. Give the code of POST /v1/agents as it is."


# --- in the closed network -----------------------------------------------------------------------


@app.command()
def enrol(
    url: Annotated[str, typer.Argument(help="The platform's address, https://data.example.jp")],
    code: Annotated[str, typer.Argument(help="The one-time code; - reads it from standard input")],
    folder: Place = _DEFAULT,
    ca: Annotated[Path | None, typer.Option(help="The platform's own authority (PEM)")] = None,
    plain: Annotated[bool, typer.Option("--plain", help="Let it be http")] = False,
) -> None:
    """Make a key pair here and have the platform keep its public half. エージェントを登録する。"""
    import asyncio  # noqa: PLC0415
    import sys  # noqa: PLC0415
    from urllib.parse import urlsplit  # noqa: PLC0415

    from app.cli.key_files import new_key, read_key  # noqa: PLC0415
    from app.outpost.folder import Folder  # noqa: PLC0415
    from app.outpost.link import PlainHttp  # noqa: PLC0415

    if not plain and urlsplit(url).scheme != "https" and urlsplit(url).hostname not in _LOCAL:
        raise PlainHttp(url=url)
    parts = (sys.stdin.readline() if code == "-" else code).strip().split(".")
    if len(parts) != 3:
        raise CodeMalformed
    its = Folder(folder)
    if ca is not None:
        its.keep_authority(ca.read_bytes())
    key = read_key(its.key) if its.key.exists() else new_key(its.key)
    asyncio.run(_enrol(its, url, key, parts))
    note(
        f"登録しました。{its.sources} に提供するデータを書き、urbanos agent allow を実行してください。",
        f"Enrolled. Write what may be served into {its.sources}, then run urbanos agent allow.",
    )


async def _enrol(folder: "Folder", url: str, key: "ECKey", parts: list[str]) -> None:
    from app.outpost.enrolment import enrol as ask  # noqa: PLC0415

    async with _way_to(folder, url) as outbound:
        pinned = await ask(outbound, url, key, *parts, language=language())
    folder.keep_platform(url, pinned)
    folder.begin_sources()


@app.command()
def allow(folder: Place = _DEFAULT, as_json: Json = False) -> None:
    """Say yes to what sources.json lets the platform have. 提供するデータを確認し、署名する。"""
    import asyncio  # noqa: PLC0415

    from app.cli.key_files import read_key  # noqa: PLC0415
    from app.outpost.allowance import Allowance, signature  # noqa: PLC0415
    from app.outpost.folder import Folder  # noqa: PLC0415

    its = Folder(folder)
    _, pinned = its.platform()
    told, key = its.told(), read_key(its.key)
    allowance = Allowance.read(its.sources, told)
    asyncio.run(_check(its, allowance))
    its.sources.chmod(0o600)  # it holds passwords
    its.keep_yes(signature(key, pinned.agent_id, told))
    rows = [
        {"source": name, "kind": source.kind, **each.model_dump(mode="json")}
        for name, source in allowance.sources.items()
        for each in source.serves
    ]
    show_many(rows, as_json, ("source", "kind", "agreement", "select", "until"))


async def _check(folder: "Folder", allowance: "Allowance") -> None:
    async with _means(allowance) as (kinds, means):
        allowance.check(folder.sources, kinds, means)


@app.command("run")
def serve(folder: Place = _DEFAULT) -> None:
    """Ask the platform for jobs and do them, until told to stop. エージェントを実行する。"""
    import asyncio  # noqa: PLC0415

    from app.formats.individual_number import masked_json  # noqa: PLC0415
    from app.kit.logs import set_up_logging  # noqa: PLC0415
    from app.outpost.folder import Folder  # noqa: PLC0415

    set_up_logging("INFO", masked_json)
    its = Folder(folder)
    its.platform()  # it is an agent's
    with its.alone():
        asyncio.run(_serve(its))


async def _serve(folder: "Folder") -> None:
    import asyncio  # noqa: PLC0415
    import signal  # noqa: PLC0415
    from contextlib import suppress  # noqa: PLC0415

    from app.outpost.link import Link  # noqa: PLC0415
    from app.outpost.serving import Serving  # noqa: PLC0415

    url, pinned = folder.platform()
    async with _answerer(folder) as (answerer, key), _way_to(folder, url) as outbound:
        link = Link(outbound, url, key, pinned.issuer, language())
        serving = asyncio.create_task(Serving(link, folder, answerer).run())
        for told in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(told, serving.cancel)
        note(f"{url} に問い合わせています。", f"Asking {url} for jobs.")
        with suppress(asyncio.CancelledError):
            await serving


@app.command()
def export(
    out: Annotated[Path, typer.Argument(metavar="FILE", help="The bundle to be carried")],
    folder: Place = _DEFAULT,
    as_json: Json = False,
) -> None:
    """Harvest all that is allowed into a sealed file. 収集結果を暗号化して書き出す。"""
    import asyncio  # noqa: PLC0415

    from app.outpost.folder import Folder  # noqa: PLC0415

    rows = asyncio.run(_export(Folder(folder), out))
    show_many(rows, as_json, ("source", "agreement", "selection", "pieces"))


async def _export(folder: "Folder", out: Path) -> list[dict[str, Any]]:
    from dataclasses import asdict  # noqa: PLC0415

    from app.outpost import bundles  # noqa: PLC0415

    _, pinned = folder.platform()
    async with _answerer(folder) as (answerer, key):
        items = await bundles.write(out, answerer, pinned, key, folder.next_bundle())
    return [asdict(each) for each in items]


@asynccontextmanager
async def _answerer(folder: "Folder") -> "AsyncIterator[tuple[Answerer, ECKey]]":
    """What does jobs, within what the keeper has said yes to."""
    from app.cli.key_files import read_key  # noqa: PLC0415
    from app.outpost.allowance import Allowance, check_signature  # noqa: PLC0415
    from app.outpost.answering import Answerer  # noqa: PLC0415

    _, pinned = folder.platform()
    key, told = read_key(folder.key), folder.told()
    check_signature(folder.sources, told, folder.yes(), key, pinned.agent_id)
    allowance = Allowance.read(folder.sources, told)
    async with _means(allowance) as (kinds, means):
        allowance.check(folder.sources, kinds, means)
        yield Answerer(allowance, kinds, means), key


@asynccontextmanager
async def _means(allowance: "Allowance") -> "AsyncIterator[tuple[Any, Any]]":
    from app.connectors.frame import Means  # noqa: PLC0415
    from app.connectors.kinds import Kinds  # noqa: PLC0415
    from app.kit.outbound import Allowed, Outbound  # noqa: PLC0415

    outbound = Outbound(Allowed.parse(allowance.outbound_allow))
    try:
        yield Kinds(), Means(outbound, allowance.folders)
    finally:
        await outbound.close()


@asynccontextmanager
async def _way_to(folder: "Folder", url: str) -> "AsyncIterator[Outbound]":
    """The way out to the platform, and to nobody else."""
    import ssl  # noqa: PLC0415
    from urllib.parse import urlsplit  # noqa: PLC0415

    from app.kit.outbound import Allowed, Outbound  # noqa: PLC0415

    ca = folder.authority()
    trusted = ssl.create_default_context(cafile=ca) if ca is not None else None
    outbound = Outbound(Allowed.parse(urlsplit(url).hostname or ""), trusted=trusted)
    try:
        yield outbound
    finally:
        await outbound.close()


# --- beside the platform -------------------------------------------------------------------------


@app.command()
def add(
    organization: Annotated[str, typer.Option("--org", help="Whose agent it is")],
    name: Annotated[str, typer.Option(help="健康課サーバ室")],
    source: Annotated[list[str], typer.Option(help="What it may serve; several times")],
    zone: Annotated[
        str, typer.Option(help="Where it stands: internet, lgwan, mynumber")
    ] = "internet",
    as_json: Json = False,
) -> None:
    """Register an agent; its code is shown once. エージェントを登録し、登録コードを表示する。"""
    from pydantic import ValidationError  # noqa: PLC0415

    from app.api.agents import AgentIn  # noqa: PLC0415

    try:
        body = AgentIn.model_validate({"name": name, "sources": source, "zone": zone})
    except ValidationError as exc:
        hint = "--name, --source, --zone"
        raise typer.BadParameter(exc.errors()[0]["msg"], param_hint=hint) from None

    async def act(shell: Shell) -> dict[str, Any]:
        from app.agents import registry  # noqa: PLC0415
        from app.oauth.keys import ensure_keys, list_keys, open_sealer  # noqa: PLC0415
        from app.parties import organizations  # noqa: PLC0415

        sealer = await open_sealer(shell.database.pool, shell.settings.secret_key)
        async with shell.database.writing() as session:
            await organizations.get(session, organization)
            await ensure_keys(session, sealer)
            await session.flush()
            kid = next(each.kid for each in await list_keys(session) if each.state == "current")
            new = registry.NewAgent(organization, body.name, body.sources, body.zone)
            added = await registry.add(session, sealer, new, signing_kid=kid, by=shell.by)
            return {**members(added.agent, *_HIDDEN), "code": added.code}

    show_one(run(act), as_json)


@app.command("list")
def list_all(as_json: Json = False) -> None:
    """List agents of every organisation. エージェントを一覧する。"""

    async def act(shell: Shell) -> list[dict[str, Any]]:
        from app.agents import registry  # noqa: PLC0415

        async with shell.database.reading() as session:
            found = await registry.list_agents(session, None, limit=10_000)
        return [members(each, *_HIDDEN) for each in found]

    show_many(run(act), as_json, _COLUMNS)


@app.command()
def revoke(agent: Annotated[UUID, typer.Argument(metavar="AGENT")], as_json: Json = False) -> None:
    """End what an agent may, at once. エージェントを失効させる。"""

    async def act(shell: Shell) -> dict[str, Any]:
        from app.agents import registry  # noqa: PLC0415
        from app.models.agents import Agent  # noqa: PLC0415

        async with shell.database.writing() as session:
            found = await session.get(Agent, agent)
            if found is None:
                raise registry.AgentNotFound(id=agent)
            await registry.revoke(session, found, by=shell.by)
            return members(found, *_HIDDEN)

    show_one(run(act), as_json)


@app.command("import")
def take(
    organization: Annotated[str, typer.Option("--org", help="Whose data it brings")],
    file: Annotated[Path, typer.Argument(help="A bundle of urbanos agent export", exists=True)],
    as_json: Json = False,
) -> None:
    """Take a bundle in and have its data loaded. 書き出されたファイルを取り込む。"""

    async def act(shell: Shell) -> list[dict[str, Any]]:
        from app.agents import imports  # noqa: PLC0415

        issuer, by = shell.settings.issuer, shell.by
        async with shell.database.writing() as session:
            items = await imports.take(session, file, organization, issuer, by=by)
            found = [(each, await _feeds_of(session, organization, each)) for each in items]
            return [
                {"source": each.source, "agreement": each.agreement, "selection": each.selection,
                 "datasets": await _harvested(session, feeds, by)}
                for each, feeds in found
            ]  # fmt: skip

    rows = run(act)
    show_many(rows, as_json, ("source", "agreement", "selection", "datasets"))
    if not any(row["datasets"] for row in rows):
        note(
            "これを使うコネクタ（kind: agent、reach: file）はまだありません。",
            "No connector (kind agent, reach file) takes this yet.",
        )


async def _feeds_of(session: Any, organization: str, item: Any) -> list[Any]:
    """(connector, dataset) of what an answer feeds."""
    from app.catalogue import connectors  # noqa: PLC0415

    wanted = {"agreement": item.agreement, "select": item.selection}
    found = await connectors.list_connectors(session, organization, limit=10_000)
    return [
        (kept.entry, feed.dataset_id)
        for kept in found
        if kept.entry.kind == "agent"
        and kept.entry.settings.get("source") == item.source
        and kept.entry.settings.get("reach") == "file"
        for feed in kept.feeds
        if {"select": {}, **feed.selection} == wanted
    ]


async def _harvested(session: Any, feeds: list[Any], by: str) -> list[str]:
    from app.catalogue import harvests  # noqa: PLC0415

    for entry, dataset in feeds:
        try:
            await harvests.ask(session, entry, dataset, by=by)
        except harvests.HarvestUnderWay as busy:
            typer.echo(said(busy.words("ja"), busy.words("en")), err=True)
    return [dataset for _, dataset in feeds]
