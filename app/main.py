"""The server: makes the objects of one process and mounts the doors. Holds no rule of its own."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Final

from fastapi import FastAPI
from starlette.types import ASGIApp

from app import doors
from app.agents.desk import Desk
from app.agents.relay import Relays
from app.api.entrance import Entrance
from app.api.envelope import Envelope, Traffic
from app.api.handlers import install
from app.api.number_guard import NumberGuard
from app.api.operations import Metrics
from app.api.other_origins import let_pages_ask
from app.api.records import ReadLane
from app.api.state import Platform
from app.audit.checkpoints import LogKeeper, origin_of
from app.audit.cosignatures import witnesses_of
from app.audit.log import Log
from app.audit.subjects import Subjects
from app.audit.usage import Usage
from app.broker.aggregate import Aggregator
from app.broker.answer import Broker
from app.broker.asked import Asked
from app.broker.changes import ChangeFeed
from app.broker.decide import Decider
from app.broker.diff import Differ
from app.broker.files import Files
from app.broker.following import Following
from app.broker.limits import Limits, Rates
from app.broker.people import People
from app.broker.recording import Recorder
from app.broker.rights import Rights
from app.broker.snapshot import Snapshot
from app.broker.sources import Sources
from app.broker.write import Writer
from app.connectors.kinds import Kinds
from app.connectors.preview import Previews
from app.kit.db import Database, plain_dsn
from app.kit.edge import Edge
from app.kit.limits import Limiter
from app.kit.live import Live, LiveCache
from app.kit.outbound import Allowed, Outbound
from app.kit.settings import Settings
from app.kit.store import open_store
from app.live.reader import LiveReader
from app.live.sources import LiveSources
from app.oauth import code_grant, exchange
from app.oauth.authority import Authority
from app.oauth.codes import Answers
from app.oauth.grants import TokenEndpoint
from app.oauth.introspection import Introspection
from app.oauth.keys import KeyRing, open_sealer
from app.oauth.new_keys import NewKeys
from app.oauth.proofs import Proofs
from app.oauth.pushed import PushedRequests
from app.oauth.revocation import Revocation
from app.oauth.speaking import Speaking
from app.oauth.tokens import TokenVerifier, load_is_revoked
from app.parties.clients import load_client_facts
from app.parties.people import load_person_facts
from app.parties.quotas import Quotas, load_quotas
from app.policy.assurance import Level
from app.signin.accounts import Accounts
from app.signin.citizens import CitizenSessions, CitizenSignIn
from app.signin.discovery import Discovery
from app.signin.federation import Federation
from app.signin.sessions import Sessions
from app.subjects.linker import Linker

_SHARE_OF_AGGREGATES: Final = 4  # of the room for answers
_DESCRIPTION: Final = """\
都市OS・広域データ連携基盤。自治体のデータセットを、OAuthのスコープと利用協定のもとで仲介します。

A regional data-linkage platform: municipal datasets, brokered under OAuth scopes and agreements.
Public data needs no token. Errors are RFC 9457 problem documents in Japanese, or in English by
`Accept-Language: en`.
An answer that stands in the log, a refusal too, names its entry: `Linkage-Receipt: n`. That it is
in the signed log, `GET /v1/log/proofs/inclusion?index=n-1` proves within a minute.
"""


@asynccontextmanager
async def open_platform(settings: Settings, url: str) -> AsyncIterator[Platform]:
    """Make and start the objects of one process; stop them in the reverse order."""
    async with AsyncExitStack() as stack:
        database = await Database.open(url, connections=settings.database_connections)
        stack.push_async_callback(database.close)
        entries = Log(plain_dsn(url))
        await entries.start()
        stack.push_async_callback(entries.stop)
        live = Live(plain_dsn(url))
        sealer = await open_sealer(database.pool, settings.secret_key)
        clients = live.cache(partial(load_client_facts, database.pool), kinds=("client", "all"))
        people = live.cache(partial(load_person_facts, database.pool), kinds=("person", "all"))
        ring = KeyRing(database, sealer, live)
        is_revoked = live.cache(partial(load_is_revoked, database.pool), kinds=("token",))
        tokens = TokenVerifier(settings.issuer, settings.zone, ring, is_revoked)
        snapshot = Snapshot(database, live)
        await live.start()
        stack.push_async_callback(live.stop)
        await ring.start()
        origin, witnesses = origin_of(settings.issuer), witnesses_of(settings.log_witnesses)
        keeper = LogKeeper(database.pool, sealer, origin, witnesses)
        await keeper.start()
        stack.push_async_callback(keeper.stop)
        usage = Usage(database.pool)
        await usage.start()
        stack.push_async_callback(usage.stop)
        limiter = Limiter(settings.rate_store_url)
        stack.push_async_callback(limiter.close)
        limits = Limits(limiter, _rates(settings), _quotas(database, live), entries)
        proofs = Proofs(database)
        door = TokenEndpoint(
            database,
            live,
            entries,
            issuer=settings.issuer,
            zone=settings.zone,
            clients=clients,
            ring=ring,
            proofs=proofs,
            admit=limits.token_client,
        )
        door.grants[code_grant.GRANT_TYPE] = code_grant.CodeGrant(
            database, live, ring, people, settings.issuer
        )
        authority = Authority(clients, people)
        outbound = Outbound(Allowed.parse(settings.outbound_allow))
        stack.push_async_callback(outbound.close)
        speaking = _open_exchange(door, database, ring, tokens, authority, outbound)
        decider = Decider(snapshot, entries, settings.zone, limits, lambda: live.seconds_behind)
        recorder = Recorder(entries, usage, Subjects(database.pool))
        sign_ins = Sessions(database)
        await limits.start()
        linker = Linker(plain_dsn(url), sealer)
        stack.push_async_callback(linker.stop)
        named = People(linker, sealer)
        asked = Asked(database, snapshot, decider, named)
        desk = Desk(database)
        stack.push_async_callback(desk.stop)
        kinds, relays = Kinds(), Relays(database, lambda: sealer)
        sources = LiveSources(
            sealer, kinds, outbound, settings.lent_folders, relays.of, speaking.say
        )
        live_reader = LiveReader(sources, cache_bytes=settings.answer_cache_bytes)
        stack.push_async_callback(live_reader.close)
        yield Platform(
            issuer=settings.issuer,
            zone=settings.zone,
            edge=_edge(settings),
            mutual_tls=settings.takes_certificates,
            mtls_url=settings.mtls_url,
            max_upload_bytes=settings.max_upload_bytes,
            database=database,
            live=live,
            log=entries,
            log_keeper=keeper,
            sealer=sealer,
            outbound=outbound,
            sends_mail=settings.smtp_url is not None,
            kinds=kinds,
            live_reader=live_reader,
            lent_folders=settings.lent_folders,
            previews=Previews(),
            desk=desk,
            relays=relays,
            clients=clients,
            people=people,
            linker=linker,
            sign_ins=sign_ins,
            federation=Federation(database, outbound, sealer, issuer=settings.issuer),
            accounts=Accounts(database, sealer, entries, sign_ins),
            citizen_sign_in=CitizenSignIn(database, outbound, sealer, issuer=settings.issuer),
            citizen_sessions=CitizenSessions(database, sealer),
            citizen_assurance=Level(settings.citizen_assurance),
            snapshot=snapshot,
            decider=decider,
            rights=Rights(database, snapshot, settings.zone),
            limits=limits,
            broker=Broker(
                database=database,
                snapshot=snapshot,
                asked=asked,
                recorder=recorder,
                sealer=sealer,
                issuer=settings.issuer,
                cache_bytes=settings.answer_cache_bytes,
                most_exports=settings.rate_exports,
                live=live_reader,
            ),
            aggregator=Aggregator(
                database,
                snapshot,
                asked,
                recorder,
                issuer=settings.issuer,
                cache_bytes=settings.answer_cache_bytes // _SHARE_OF_AGGREGATES,
            ),
            writer=Writer(database, snapshot, decider, named),
            feed=ChangeFeed(database, snapshot, decider, recorder, issuer=settings.issuer),
            following=Following(database, snapshot, decider),
            differ=Differ(database, snapshot, decider, recorder, issuer=settings.issuer),
            sources=Sources(database, entries),
            files=Files(database, snapshot, live, decider, recorder),
            store=open_store(settings.store, settings.home, settings.store_access),
            accel_prefix=settings.accel_prefix,
            keys=ring,
            tokens=tokens,
            authority=authority,
            proofs=proofs,
            token_endpoint=door,
            revocation=Revocation(database, live, entries, door, tokens),
            introspection=Introspection(entries, door, tokens, authority),
            new_keys=NewKeys(door, proofs, settings.issuer),
            pushed=PushedRequests(database, door, proofs, settings.issuer),
            answers=Answers(database),
        )


def _open_exchange(
    door: TokenEndpoint, database: Database, ring: KeyRing, tokens: TokenVerifier,
    authority: Authority, outbound: Outbound,
) -> Speaking:  # fmt: skip
    """Have the token endpoint exchange tokens, and what other platforms say of their readers."""
    keys = Discovery(outbound)
    speaking = Speaking(database, ring, authority, keys.key_of, issuer=door.issuer)
    door.grants[exchange.GRANT_TYPE] = exchange.Exchange(
        database, ring, tokens, authority, speaking, issuer=door.issuer
    ).grant
    return speaking


def _edge(settings: Settings) -> Edge:
    return Edge(
        proxies=settings.trusted_proxies or "",
        header=settings.client_certificate_header,
        gateways=settings.gateway_zones,
    )


def _rates(settings: Settings) -> Rates:
    return Rates(
        address=settings.rate_address,
        client=settings.rate_client,
        client_dataset=settings.rate_client_dataset,
        token_address=settings.rate_token_address,
        token_client=settings.rate_token_client,
        sign_in_address=settings.rate_sign_in,
    )


def _quotas(database: Database, live: Live) -> LiveCache[Quotas]:
    async def load(_key: str) -> Quotas:
        async with database.reading() as session:
            return await load_quotas(session)

    return live.cache(load, kinds=("quota",))


def create_app(settings: Settings, url: str) -> FastAPI:
    """The application. `url` is the database's: the embedded server's address or the setting's."""
    traffic = Traffic()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with open_platform(settings, url) as platform:
            app.state.platform = platform
            app.state.metrics = Metrics(traffic, platform)
            yield

    app = FastAPI(
        title="Urban OS",
        version="1.0.0",
        summary="Regional data-linkage platform for municipalities",
        description=_DESCRIPTION,
        servers=[{"url": settings.issuer}],
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
        dependencies=doors.AT_EACH,
        redirect_slashes=False,
        # Looked up in the environment at each request otherwise; the figures are Prometheus's.
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    install(app)
    app.add_middleware(ReadLane, handlers=app.exception_handlers)
    app.add_middleware(NumberGuard)  # within the envelope, before every door
    if settings.zone == "internet":
        let_pages_ask(app)
    app.add_middleware(Envelope, traffic=traffic, issuer=settings.issuer)
    doors.mount(app)
    return app


def create_entrance(settings: Settings, applications: Mapping[str, ASGIApp]) -> Entrance:
    """What stands at one listener, before the application of each zone."""
    return Entrance(settings.zone, applications, _edge(settings))
