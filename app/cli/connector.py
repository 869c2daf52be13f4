"""`urbanos connector`: sources and their harvests, as /v1/connectors has them. Shows no secret."""

import asyncio
import time
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final
from uuid import UUID

import typer

from app.cli.connector_words import as_read, as_run
from app.cli.shell import Shell, members, run, told_in
from app.cli.words import Json, note, show_many, show_one
from app.kit.errors import AppError, Kind

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from app.connectors.frame import Means
    from app.models.connectors import ConnectorEntry
    from app.models.datasets import Dataset

app = typer.Typer(no_args_is_help=True, help="Sources that feed datasets. コネクタ（連携元）。")
_UNSHOWN: Final = (  # of a stream
    "former_sha256", "holder", "made_for", "position", "secret_sha256", "tried_of",
)  # fmt: skip
Id = Annotated[UUID, typer.Argument(metavar="CONNECTOR")]
_COLUMNS: Final = ("id", "organization_id", "kind", "name", "zone", "paused")
_RUN_COLUMNS: Final = (
    "id",
    "dataset_id",
    "state",
    "rows",
    "version_number",
    "error_code",
    "ended_at",
)
_WELL: Final = ("ok", "degraded", "unchanged")
_LOOK_S: Final = 0.5


class ConnectorFileWrong(AppError):
    """The file does not describe a connector."""

    kind = Kind.INVALID
    code = "connector_file_wrong"
    ja = "{path} の内容に誤りがあります。"
    en = "{path} does not describe a connector."


class NotOfOrganization(AppError):
    """A connector feeds datasets of its own organisation; members of a group are the API's."""

    kind = Kind.INVALID
    code = "connector_not_of_organization"
    ja = "データセット {dataset} は {organization} のものではありません。"
    en = "The dataset {dataset} is none of {organization}."


@app.command("list")
def list_all(as_json: Json = False) -> None:
    """List connectors of every organisation. コネクタを一覧する。"""

    async def act(shell: Shell) -> list[dict[str, Any]]:
        from app.catalogue import connectors  # noqa: PLC0415

        async with shell.database.reading() as session:
            found = await connectors.list_connectors(session, None, limit=10_000)
        return [members(each.entry, "sealed") for each in found]

    show_many(run(act), as_json, _COLUMNS)


@app.command()
def show(connector: Id, as_json: Json = False) -> None:
    """Show one, with what it feeds and its last run. コネクタを表示する。"""

    async def act(shell: Shell) -> dict[str, Any]:
        from app.catalogue import connectors, harvests, streams  # noqa: PLC0415

        async with shell.database.reading() as session:
            kept = await connectors.kept(session, await _entry(session, connector))
            last = await harvests.list_harvests(session, connector, limit=1)
            going = await streams.of_feeds(session, kept.feeds)
        return {
            **members(kept.entry, "sealed"),
            "has_secrets": kept.entry.sealed is not None,
            "feeds": [members(each) for each in kept.feeds],
            "last_run": members(last[0], "attempt") if last else None,
            "streams": [members(each, *_UNSHOWN) for each in going.values()],
        }

    found = run(act)
    show_one(found if as_json else as_read(found), as_json)


@app.command()
def history(
    connector: Id,
    limit: Annotated[int, typer.Option(min=1, max=1_000, help="So many")] = 20,
    as_json: Json = False,
) -> None:
    """List its runs, newest first. 収集の履歴を一覧する。"""

    async def act(shell: Shell) -> list[dict[str, Any]]:
        from app.catalogue import harvests  # noqa: PLC0415

        async with shell.database.reading() as session:
            await _entry(session, connector)
            found = await harvests.list_harvests(session, connector, limit=limit)
        return [members(each, "attempt", "validators") for each in found]

    show_many(run(act), as_json, _RUN_COLUMNS)


@app.command()
def add(
    organization: Annotated[str, typer.Option("--org", help="Whose connector it is")],
    file: Annotated[Path, typer.Argument(help="JSON: the body of POST /v1/connectors")],
    as_json: Json = False,
) -> None:
    """Add a connector. Secrets stand in the file, and nowhere else. コネクタを登録する。"""
    from pydantic import ValidationError  # noqa: PLC0415

    from app.api.connector_shapes import ConnectorIn  # noqa: PLC0415
    from app.api.input_words import faults_of  # noqa: PLC0415

    try:
        body = ConnectorIn.model_validate_json(told_in(file))
    except OSError as exc:
        raise typer.BadParameter(f"{file}: {exc.strerror}") from exc
    except ValidationError as exc:
        located = [{**each, "loc": ("body", *each["loc"])} for each in exc.errors()]
        raise ConnectorFileWrong(path=file, faults=faults_of(located)) from None

    async def act(shell: Shell) -> dict[str, Any]:
        from app.catalogue import connectors, datasets, mapping_examples  # noqa: PLC0415
        from app.connectors.kinds import Kinds  # noqa: PLC0415
        from app.connectors.preview import Previews  # noqa: PLC0415
        from app.oauth.keys import open_sealer  # noqa: PLC0415

        sealer = await open_sealer(shell.database.pool, shell.settings.secret_key)
        new = connectors.NewConnector(
            organization, body.kind, body.name, body.zone, body.settings,
            [each.told() for each in body.feeds], body.paused,
        )  # fmt: skip
        zone, database = body.zone, shell.database
        async with _means(shell, organization, zone) as means, database.writing() as session:
            for each in body.feeds:
                dataset: Dataset = await datasets.get(session, each.dataset)
                if dataset.publisher_id != organization:
                    raise NotOfOrganization(dataset=dataset.id, organization=organization)
            tried = await mapping_examples.of_feeds(session, new.feeds)
            await mapping_examples.check_feeds(Previews(), tried)
            kept = await connectors.add(session, sealer, Kinds(), means, new, by=shell.by)
            return members(kept.entry, "sealed")

    show_one(run(act), as_json)


@app.command()
def test(connector: Id, as_json: Json = False) -> None:
    """Ask a source whether it would answer; exit 1 where it would not. 接続を確認する。"""

    async def act(shell: Shell) -> list[dict[str, Any]]:
        from dataclasses import asdict  # noqa: PLC0415

        from app.catalogue import connectors  # noqa: PLC0415
        from app.connectors.checking import check_all  # noqa: PLC0415
        from app.connectors.kinds import Kinds  # noqa: PLC0415
        from app.oauth.keys import open_sealer  # noqa: PLC0415

        sealer, kinds = (
            await open_sealer(shell.database.pool, shell.settings.secret_key),
            Kinds(),
        )
        async with shell.database.reading() as session:
            kept = await connectors.kept(session, await _entry(session, connector))
        async with _means(shell, kept.entry.organization_id, kept.entry.zone) as means:
            made = await connectors.open_connector(kept.entry, sealer, kinds, means)
            selections = {
                each.dataset_id: connectors.selection_of(kinds, kept.entry, each.selection)
                for each in kept.feeds
            }
            return [asdict(each) for each in await check_all(made, selections)]

    found = run(act)
    show_many(found, as_json, ("dataset", "ok", "error_class", "at", "en"))
    if not all(each["ok"] for each in found):
        raise typer.Exit(1)


@app.command("run")
def run_now(
    connector: Id,
    dataset: Annotated[str | None, typer.Option(help="Which, where it feeds several")] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="All of it, changed or not")] = False,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait for its end; exit 1 if it fails")
    ] = False,
    as_json: Json = False,
) -> None:
    """Put a harvest in the queue; a worker makes it. 収集を実行する。"""

    async def act(shell: Shell) -> dict[str, Any]:
        from app.catalogue import connectors, harvests  # noqa: PLC0415

        async with shell.database.writing() as session:
            kept = await connectors.kept(session, await _entry(session, connector))
            feed = kept.feed(dataset)
            made = await harvests.ask(
                session, kept.entry, feed.dataset_id, by=shell.by, fresh=fresh
            )
            asked = members(made, "attempt", "validators")
        return await _ended(shell, asked["id"]) if wait else asked

    made = run(act)
    show_one(made if as_json else as_run(made), as_json)
    if made["ended_at"] is None:
        note(
            f"urbanos run show {made['id']} で結果を確認できます。ワーカーが実行します。",
            f"A worker makes it. See how it goes: urbanos run show {made['id']}",
        )
    if wait and made["state"] not in _WELL:
        raise typer.Exit(1)


async def _ended(shell: Shell, harvest_id: UUID) -> dict[str, Any]:
    """A harvest once it has ended, or as it is when nobody would wait any longer."""
    from app.connectors.frame import MOST_SECONDS  # noqa: PLC0415
    from app.models.connectors import Harvest  # noqa: PLC0415

    until = time.monotonic() + MOST_SECONDS
    while True:
        async with shell.database.reading() as session:
            found = members(await session.get_one(Harvest, harvest_id), "attempt", "validators")
        if found["ended_at"] is not None or time.monotonic() > until:
            return found
        await asyncio.sleep(_LOOK_S)


async def _entry(session: Any, connector_id: UUID) -> "ConnectorEntry":
    from app.catalogue.connectors import ConnectorNotFound  # noqa: PLC0415
    from app.models.connectors import ConnectorEntry  # noqa: PLC0415

    found: ConnectorEntry | None = await session.get(ConnectorEntry, connector_id)
    if found is None:
        raise ConnectorNotFound(id=connector_id)
    return found


@asynccontextmanager
async def _means(shell: Shell, organization: str, zone: str) -> "AsyncIterator[Means]":
    """What a connector of an organisation may use in a zone, for as long as the command needs it."""
    from app.agents.relay import Relays  # noqa: PLC0415
    from app.connectors.frame import Means  # noqa: PLC0415
    from app.kit.crypto import load_sealer  # noqa: PLC0415
    from app.kit.outbound import Allowed, Outbound  # noqa: PLC0415

    outbound = Outbound(Allowed.parse(shell.settings.outbound_allow))
    lent = shell.settings.lent_folders.get(organization, ())
    relays = Relays(shell.database, lambda: load_sealer(shell.settings.secret_key))
    try:
        yield Means(outbound, lent, relay=relays.of(organization, zone))
    finally:
        await outbound.close()
