"""The door to connectors: what kinds there are, and an organisation's own. Shows no secret.

Sources are asked here to be tested and looked at, and while one thinks no session is held.
"""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any
from uuid import UUID

from fastapi import APIRouter, Request

from app.api.access import SCOPED_CODES, CatalogueWriter, PlatformDep, Reading, Writing
from app.api.connector_shapes import (
    ConnectorIn,
    ConnectorOut,
    ConnectorPatch,
    FeedIn,
    FeedOut,
    HarvestOut,
    KindOut,
    PreviewIn,
    PreviewOut,
    ProposalOut,
    RunIn,
    SourceTestOut,
    StreamOut,
    steps_of,
)
from app.api.ownership import TERMS_CODE, Owned, owner_code
from app.api.paging import Cursor, Limit, PageOut, after_id, page
from app.api.problem import problems
from app.api.sessions import reading_in, writing_in
from app.api.shapes import LONGEST_BODY
from app.api.state import Platform
from app.audit import log
from app.audit.events import Event
from app.catalogue import connectors, harvests, mapping_examples, streams
from app.catalogue.connectors import ConnectorInvalid, Kept, NewConnector
from app.connectors.checking import check_all, discovered
from app.connectors.frame import AnyConnector, Means
from app.connectors.kinds import schema_of
from app.connectors.preview import Reading as HowRead
from app.models.connectors import Feed, Harvest, Stream
from app.models.datasets import Dataset
from app.policy.facts import Caller

kinds_router = APIRouter(prefix="/v1/connector-kinds", tags=["Connectors"])
router = APIRouter(prefix="/v1/connectors", tags=["Connectors"], max_body_size=LONGEST_BODY)
_MINE = (*SCOPED_CODES, "connector_not_found")
_DATASETS = (owner_code(), TERMS_CODE, "dataset_not_found")
_SETTINGS = (
    "connector_invalid", "connector_kind_unknown", "outbound_refused", "folder_not_lent",
    "soap_signing_not_installed", "sql_driver_not_installed",
)  # fmt: skip
_TRIED = ("preview_failed",)  # examples are read as previews are
_SOURCE = (
    "source_unreachable", "source_broken", "source_refused", "source_slow", "source_changed",
    "connector_kind_broken", "secret_key_unusable",
)  # fmt: skip


@kinds_router.get(
    "", response_model=list[KindOut], summary="List kinds of connectors",
    responses=problems(*SCOPED_CODES),
)  # fmt: skip
async def list_kinds(caller: CatalogueWriter, platform: PlatformDep) -> list[dict[str, Any]]:
    """Each with the JSON Schema of its settings, and of what it selects for one dataset."""
    return [
        {
            "kind": kind.kind,
            "title_ja": kind.title_ja,
            "title_en": kind.title_en,
            "capabilities": asdict(kind.capabilities),
            "settings": schema_of(kind.settings_shape),
            "selection": schema_of(kind.selection_shape),
        }
        for kind in platform.kinds.every()
    ]


@router.post(
    "", status_code=201, response_model=ConnectorOut, summary="Add a connector",
    responses=problems(*SCOPED_CODES, *_DATASETS, *_SETTINGS, *_TRIED),
)  # fmt: skip
async def add_connector(
    body: ConnectorIn,
    request: Request,
    caller: CatalogueWriter,
    session: Writing,
    platform: PlatformDep,
) -> dict[str, Any]:
    """For datasets that you manage. Nothing is asked of the source yet: test it next."""
    await _check_feeds(request, platform, body.feeds, caller)
    new = NewConnector(
        caller.client.organization_id, body.kind, body.name, body.zone, body.settings,
        [each.told() for each in body.feeds], body.paused,
    )  # fmt: skip
    kept = await connectors.add(
        session, platform.sealer, platform.kinds, means_of(platform, caller), new,
        by=caller.client.actor, via=caller.client.client_id,
    )  # fmt: skip
    return shown(kept, {})


@router.get(
    "", response_model=PageOut[ConnectorOut], summary="List connectors",
    responses=problems(*SCOPED_CODES, "invalid_cursor"),
)  # fmt: skip
async def list_connectors(
    caller: CatalogueWriter, session: Reading, limit: Limit = 100, cursor: Cursor = None
) -> dict[str, Any]:
    """Those of your organisation."""
    found = await connectors.list_connectors(
        session, caller.client.organization_id, after=after_id(cursor), limit=limit + 1
    )
    listed = page(found, limit, lambda kept: kept.entry.id)
    feeds = [feed for kept in listed["items"] for feed in kept.feeds]
    going = await streams.of_feeds(session, feeds)
    return {**listed, "items": [shown(kept, going) for kept in listed["items"]]}


@router.get(
    "/{connector_id}", response_model=ConnectorOut, summary="Show a connector",
    responses=problems(*_MINE),
)  # fmt: skip
async def show_connector(
    connector_id: UUID, caller: CatalogueWriter, session: Reading
) -> dict[str, Any]:
    """With what it feeds, when next, and how its streams go."""
    kept = await connectors.get(session, connector_id, caller.client.organization_id)
    return shown(kept, await streams.of_feeds(session, kept.feeds))


@router.patch(
    "/{connector_id}", response_model=ConnectorOut, summary="Change a connector",
    responses=problems(*_MINE, *_DATASETS, *_SETTINGS, *_TRIED),
)  # fmt: skip
async def change_connector(
    connector_id: UUID, body: ConnectorPatch, request: Request, caller: CatalogueWriter,
    session: Writing, platform: PlatformDep,
) -> dict[str, Any]:  # fmt: skip
    """Settings are given whole, secrets too: none goes to another place than it was given for."""
    mine = caller.client.organization_id
    await _check_feeds(request, platform, body.feeds or [], caller)
    kept = await connectors.get(session, connector_id, mine, lock=True)
    changed = await connectors.change(
        session, platform.sealer, platform.kinds, means_of(platform, caller), kept,
        body.changes(), by=caller.client.actor, via=caller.client.client_id,
    )  # fmt: skip
    return shown(changed, await streams.of_feeds(session, changed.feeds))


@router.delete(
    "/{connector_id}", status_code=204, summary="Remove a connector", responses=problems(*_MINE)
)
async def remove_connector(connector_id: UUID, caller: CatalogueWriter, session: Writing) -> None:
    """With its secrets and its history. What it has loaded stays."""
    mine = caller.client.organization_id
    kept = await connectors.get(session, connector_id, mine, lock=True)
    await connectors.remove(session, kept, by=caller.client.actor)


@router.post(
    "/{connector_id}/test", response_model=SourceTestOut, summary="Test a connector",
    responses=problems(*_MINE, *_SETTINGS, "secret_key_unusable"),
)  # fmt: skip
async def test_connector(
    connector_id: UUID, request: Request, caller: CatalogueWriter, platform: PlatformDep
) -> dict[str, Any]:
    """Ask the source, and for each dataset what feeds it: name, TLS, credentials, permission and
    shape are told apart."""
    kept = await _asked(request, platform, connector_id, caller, "test")
    connector = await open_of(platform, kept)
    selections = {
        each.dataset_id: connectors.selection_of(platform.kinds, kept.entry, each.selection)
        for each in kept.feeds
    }
    checks = await check_all(connector, selections)
    return {"ok": all(each.ok for each in checks), "checks": checks}


@router.post(
    "/{connector_id}/discover", response_model=list[ProposalOut],
    summary="Find what a source could feed", responses=problems(*_MINE, *_SETTINGS, *_SOURCE),
)  # fmt: skip
async def discover(
    connector_id: UUID, request: Request, caller: CatalogueWriter, platform: PlatformDep
) -> list[dict[str, Any]]:
    """Its tables, lists or files, each with the selection that names it; empty where it tells
    nothing."""
    kept = await _asked(request, platform, connector_id, caller, "discover")
    connector = await open_of(platform, kept)
    return [asdict(each) for each in await discovered(connector)]


@router.post(
    "/{connector_id}/preview", response_model=PreviewOut, summary="Preview a connector's rows",
    responses=problems(
        *_MINE, *_DATASETS, *_SETTINGS, *_SOURCE, "connector_feed_not_found", "preview_refused",
        "preview_too_large", "preview_failed",
    ),
)  # fmt: skip
async def preview(
    connector_id: UUID, body: PreviewIn, request: Request, caller: CatalogueWriter,
    platform: PlatformDep,
) -> dict[str, Any]:  # fmt: skip
    """The first 20 rows before and after the mapping. A selection or mapping that is given here is
    tried, and not kept; with a selection, for a dataset that something else feeds, too."""
    kept = await _asked(request, platform, connector_id, caller, "preview")
    dataset, asked, mapping = await _tried(request, platform, kept, body, caller)
    if faults := connectors.check_steps(dataset, mapping, "/mapping"):
        raise ConnectorInvalid(faults=faults)
    selection = connectors.selection_of(platform.kinds, kept.entry, asked)
    how = HowRead(dataset.fields, mapping or dataset.mapping, dataset.reading)
    return await platform.previews.make(await open_of(platform, kept), selection, how)


@router.post(
    "/{connector_id}/runs", status_code=202, response_model=HarvestOut,
    summary="Harvest now",
    responses=problems(
        *_MINE, "connector_feed_not_found", "connector_run_under_way", "connector_feed_streams",
        "feed_is_live",
    ),
)  # fmt: skip
async def run_connector(
    connector_id: UUID, body: RunIn, caller: CatalogueWriter, session: Writing
) -> Harvest:
    """Puts a harvest in the queue; the answer is to be looked at again until it has ended."""
    kept = await connectors.get(session, connector_id, caller.client.organization_id, lock=True)
    feed, by = kept.feed(body.dataset), caller.client.actor
    return await harvests.ask(session, kept.entry, feed.dataset_id, by=by, fresh=body.fresh)


@router.get(
    "/{connector_id}/runs", response_model=PageOut[HarvestOut], summary="List a connector's runs",
    responses=problems(*_MINE, "invalid_cursor"),
)  # fmt: skip
async def list_runs(
    connector_id: UUID, caller: CatalogueWriter, session: Reading, limit: Limit = 100,
    cursor: Cursor = None,
) -> dict[str, Any]:  # fmt: skip
    """Newest first: how each ended, with what, and what was wrong in words."""
    kept = await connectors.get(session, connector_id, caller.client.organization_id)
    last = after_id(cursor)
    found = await harvests.list_harvests(session, kept.entry.id, after=last, limit=limit + 1)
    return page(found, limit, lambda harvest: harvest.id)


@router.get(
    "/{connector_id}/runs/{run_id}", response_model=HarvestOut, summary="Show a connector's run",
    responses=problems(*_MINE, "connector_run_not_found"),
)  # fmt: skip
async def show_run(
    connector_id: UUID, run_id: UUID, caller: CatalogueWriter, session: Reading
) -> Harvest:
    """How far it is, or how it ended."""
    kept = await connectors.get(session, connector_id, caller.client.organization_id)
    return await harvests.get(session, kept, run_id)


@router.post(
    "/{connector_id}/runs/{run_id}/cancel", status_code=202, response_model=HarvestOut,
    summary="Cancel a connector's run",
    responses=problems(*_MINE, "connector_run_not_found", "connector_run_has_ended", "run_has_ended"),
)  # fmt: skip
async def cancel_run(
    connector_id: UUID, run_id: UUID, caller: CatalogueWriter, session: Writing
) -> Harvest:
    """A queued one ends at once, a running one within seconds; readers keep what they have."""
    mine = caller.client.organization_id
    kept = await connectors.get(session, connector_id, mine, lock=True)
    return await harvests.cancel(session, kept, run_id, by=caller.client.actor)


async def _check_feeds(
    request: Request, platform: Platform, feeds: list[FeedIn], caller: Caller
) -> None:
    """That the caller manages the datasets, and that the examples hold."""
    async with writing_in(request, platform) as session:
        for each in feeds:
            await Owned.dataset_to_load(session, each.dataset, caller)
        tried = await mapping_examples.of_feeds(session, [each.told() for each in feeds])
    await mapping_examples.check_feeds(platform.previews, tried)


async def _tried(
    request: Request, platform: Platform, kept: Kept, body: PreviewIn, caller: Caller
) -> tuple[Dataset, dict[str, Any], list[dict[str, Any]] | None]:
    """The dataset that is meant, with the selection and the mapping to try."""
    mapping = steps_of(body.mapping)
    is_fed = body.dataset is None or any(e.dataset_id == body.dataset for e in kept.feeds)
    if not is_fed and body.dataset is not None and body.selection is not None:
        async with writing_in(request, platform) as session:  # it may be noted whose it is
            found = await Owned.dataset_to_load(session, body.dataset, caller)
        return found, body.selection, mapping
    feed = kept.feed(body.dataset)
    async with reading_in(request, platform) as session:
        found = await session.get_one(Dataset, feed.dataset_id)
    selection = body.selection if body.selection is not None else feed.selection
    return found, selection, mapping if mapping is not None else feed.mapping


async def _asked(
    request: Request, platform: Platform, connector_id: UUID, caller: Caller, what: str
) -> Kept:
    """The connector, once it stands in the log that its source is about to be asked."""
    async with writing_in(request, platform) as session:
        kept = await connectors.get(session, connector_id, caller.client.organization_id)
        await log.append(
            session, Event.CONNECTOR_ASKED, connector=str(connector_id), what=what,
            by=caller.client.actor,
        )  # fmt: skip
    return kept


def means_of(platform: Platform, caller: Caller) -> Means:
    """What a connector of the caller's organisation may use."""
    lent = platform.lent_folders.get(caller.client.organization_id, ())
    return Means(platform.outbound, lent)  # settings are looked at, and no agent is asked for it


async def open_of(platform: Platform, kept: Kept) -> AnyConnector:
    """The connector itself."""
    mine = kept.entry.organization_id
    lent = platform.lent_folders.get(mine, ())
    means = Means(platform.outbound, lent, relay=platform.relays.of(mine, kept.entry.zone))
    return await connectors.open_connector(kept.entry, platform.sealer, platform.kinds, means)


def shown(kept: Kept, going: Mapping[str, Stream]) -> dict[str, Any]:
    """A connector as it is shown: its secrets are not. `going`: its streams, by dataset."""
    own = ("feeds", "has_secrets")
    return {
        **{
            name: getattr(kept.entry, name) for name in ConnectorOut.model_fields if name not in own
        },
        "has_secrets": kept.entry.sealed is not None,
        "feeds": [_shown_feed(each, going.get(each.dataset_id), kept) for each in kept.feeds],
    }


def _shown_feed(feed: Feed, stream: Stream | None, kept: Kept) -> dict[str, Any]:
    told = {name: getattr(feed, name) for name in FeedOut.model_fields if name != "stream"}
    if stream is None:
        return {**told, "stream": None}
    state = "paused" if kept.entry.paused else stream.state
    going = {name: getattr(stream, name) for name in StreamOut.model_fields}
    return {**told, "stream": {**going, "state": state}}
