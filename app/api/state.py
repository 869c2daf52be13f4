"""The objects of one process, made in `main` and handed to every door. Holds no behaviour."""

from dataclasses import dataclass
from pathlib import Path

from app.agents.desk import Desk
from app.agents.relay import Relays
from app.audit.checkpoints import LogKeeper
from app.audit.log import Log
from app.broker.aggregate import Aggregator
from app.broker.answer import Broker
from app.broker.changes import ChangeFeed
from app.broker.decide import Decider
from app.broker.diff import Differ
from app.broker.files import Files
from app.broker.following import Following
from app.broker.limits import Limits
from app.broker.rights import Rights
from app.broker.snapshot import Snapshot
from app.broker.sources import Sources
from app.broker.write import Writer
from app.connectors.kinds import Kinds
from app.connectors.preview import Previews
from app.kit.crypto import Sealer
from app.kit.db import Database
from app.kit.edge import Edge
from app.kit.live import Live, LiveCache
from app.kit.outbound import Outbound
from app.kit.store import Store
from app.live.reader import LiveReader
from app.oauth.authority import Authority
from app.oauth.codes import Answers
from app.oauth.grants import TokenEndpoint
from app.oauth.introspection import Introspection
from app.oauth.keys import KeyRing
from app.oauth.new_keys import NewKeys
from app.oauth.proofs import Proofs
from app.oauth.pushed import PushedRequests
from app.oauth.revocation import Revocation
from app.oauth.tokens import TokenVerifier
from app.policy.assurance import Level
from app.policy.facts import ClientFacts, PersonFacts
from app.signin.accounts import Accounts
from app.signin.citizens import CitizenSessions, CitizenSignIn
from app.signin.federation import Federation
from app.signin.sessions import Sessions
from app.subjects.linker import Linker


@dataclass(slots=True)
class Platform:
    """What a door needs. `issuer` is the base of every link."""

    issuer: str
    zone: str
    edge: Edge
    mutual_tls: bool  # whether clients of this zone can show a certificate
    mtls_url: str | None  # where they are asked for one, where that is another address
    max_upload_bytes: int
    database: Database
    live: Live
    log: Log
    log_keeper: LogKeeper
    sealer: Sealer
    outbound: Outbound
    sends_mail: bool
    kinds: Kinds
    live_reader: LiveReader
    lent_folders: dict[str, tuple[Path, ...]]
    previews: Previews
    desk: Desk
    relays: Relays
    clients: LiveCache[ClientFacts]
    people: LiveCache[PersonFacts]
    linker: Linker
    sign_ins: Sessions
    federation: Federation
    accounts: Accounts
    citizen_sign_in: CitizenSignIn
    citizen_sessions: CitizenSessions
    citizen_assurance: Level  # what the doors of citizens demand
    keys: KeyRing
    tokens: TokenVerifier
    authority: Authority
    proofs: Proofs
    token_endpoint: TokenEndpoint
    revocation: Revocation
    introspection: Introspection
    new_keys: NewKeys
    pushed: PushedRequests
    answers: Answers
    snapshot: Snapshot
    decider: Decider
    rights: Rights
    limits: Limits
    broker: Broker
    aggregator: Aggregator
    writer: Writer
    feed: ChangeFeed
    following: Following
    differ: Differ
    sources: Sources
    files: Files
    store: Store
    accel_prefix: str | None
