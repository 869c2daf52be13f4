"""The demo's organisations, clients, datasets and agreement: made by the services, only if missing.

Every step asks what is there first, so a start that was cut off is continued by the next.
"""

from dataclasses import dataclass
from datetime import timedelta
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import orjson

from app.agreements import agreements, requests
from app.agreements.terms import AskedTerms
from app.api.dataset_shapes import DatasetIn
from app.api.datasets import new_dataset
from app.catalogue import datasets
from app.catalogue.refusals import DatasetNotFound
from app.catalogue.runs import How
from app.cli import test_issuer
from app.cli.agreement import terms_of
from app.cli.key_files import kept_key, public_jwks
from app.cli.load import first_rejects, follow, hand_in, publish_run, report
from app.cli.words import note
from app.kit import clock
from app.kit.db import Database
from app.models.agreements import AgreementState
from app.models.parties import AuthMethod, Role
from app.oauth.keys import open_sealer
from app.parties import clients
from app.parties.seed import OPERATOR, seed
from app.policy.assurance import Level
from app.signin import citizen_providers

if TYPE_CHECKING:
    from app.kit.settings import Settings

BY: Final = "demo"
RESTRICTED: Final = "demo-inspections"
_AGREED: Final = ("inspection_no", "shelter_no", "equipment", "inspected_on", "result")


@dataclass(frozen=True, slots=True)
class _Party:
    id: str
    organization_id: str
    name: str
    roles: tuple[Role, ...]


STEWARD: Final = _Party(
    "demo-osaka", "271004-kikikanri", "見本: 大阪市危機管理室", (Role.STEWARD, Role.DEVELOPER)
)
CONSUMER: Final = _Party("demo-sakai", "271403", "見本: 堺市の業務システム", (Role.DEVELOPER,))
_PARTIES: Final = (
    STEWARD,
    CONSUMER,
    _Party("demo-operator", OPERATOR, "見本: 運営者", (Role.OPERATOR, Role.AUDITOR)),
)


async def furnish(settings: "Settings", url: str) -> None:
    """Make what is missing. The worker must be running: samples are loaded by the queue."""
    database = await Database.open(url, connections=4)
    try:
        async with database.writing() as session:
            added = await seed(session)
        if added:
            note(f"組織 {added} 件を登録しました。", f"Registered {added} organisations.")
        for party in _PARTIES:
            await _client(database, party, settings.home / "keys" / f"{party.id}.jwk")
        for sample in orjson.loads(_folder().joinpath("datasets.json").read_bytes()):
            await _dataset(database, sample, settings.max_upload_bytes)
        await _agreement(database)
        await _citizens(database, settings)
    finally:
        await database.close()


def _folder() -> Path:
    return Path(str(resources.files("app.cli").joinpath("samples")))


async def _client(database: Database, party: _Party, key_file: Path) -> None:
    """The registry holds the public half of the file's key, whichever of the two was lost."""
    key = kept_key(key_file)
    jwks = public_jwks(key)
    async with database.writing() as session:
        try:
            known = await clients.get(session, party.id)
        except clients.ClientNotFound:
            await clients.add(
                session,
                clients.NewClient(
                    organization_id=party.organization_id,
                    name=party.name,
                    auth_method=AuthMethod.PRIVATE_KEY_JWT,
                    roles=party.roles,
                    jwks=jwks,
                    id=party.id,
                ),
                by=BY,
            )
            return
        if known.jwks is None or known.jwks["keys"][0]["kid"] != key.thumbprint():
            await clients.replace_keys(session, party.id, jwks, by=BY)


async def _dataset(database: Database, sample: dict[str, Any], most: int) -> None:
    new = new_dataset(DatasetIn.model_validate(sample["dataset"]), None)
    async with database.writing() as session:
        try:
            known = await datasets.get(session, str(new.id))
        except DatasetNotFound:
            known = await datasets.register(session, new, by=STEWARD.id)
    if known.current_version is not None:
        return
    run_id = await hand_in(
        database, known.id, _folder() / sample["file"], how=How(), by=STEWARD.id, most=most
    )
    ended = await follow(database, run_id, quiet=False)
    note(f"{sample['file']} → {known.id}", f"{sample['file']} → {known.id}")
    report(ended, await first_rejects(database, run_id))
    await publish_run(database, ended, by=STEWARD.id)


async def _citizens(database: Database, settings: "Settings") -> None:
    """Made-up citizens, whose provider is `urbanos test-issuer` of this same machine alone."""
    if urlsplit(settings.issuer).hostname not in ("127.0.0.1", "localhost"):
        return
    sealer = await open_sealer(database.pool, settings.secret_key)
    levels = {acr: Level(level) for acr, level in test_issuer.LEVELS.items()}
    issuer = f"http://127.0.0.1:{test_issuer.PORT}"
    new = citizen_providers.NewCitizenProvider(
        "demo-citizens", "見本: 架空の住民", "Sample: made-up citizens", issuer, "urban-os", levels
    )
    async with database.writing() as session:
        try:
            await citizen_providers.get(session, new.id)
        except citizen_providers.CitizenProviderNotFound:
            await citizen_providers.add(session, sealer, new, by=BY)


async def _agreement(database: Database) -> None:
    """Sakai asks, Osaka's steward grants: two clients, as everywhere."""
    pool = database.pool
    consumer = await clients.load_client_facts(pool, CONSUMER.id)
    steward = await clients.load_client_facts(pool, STEWARD.id)
    async with database.writing() as session:
        made = await agreements.list_agreements(
            session, parties=[CONSUMER.organization_id], dataset_id=RESTRICTED
        )
        if any(each.state != AgreementState.REVOKED and each.valid_until > clock.now()
               for each in made):  # fmt: skip
            return
        dataset = await terms_of(session, RESTRICTED)
        asked = await requests.ask(
            session,
            dataset,
            AskedTerms(
                purpose="disaster-response",
                legal_basis="災害対策基本法第49条の7（見本）",
                columns=_AGREED,
                valid_until=clock.now() + timedelta(days=365),
                reason="見本",
            ),
            by=consumer,
        )
        await requests.approve(session, asked, dataset, requests.Granted(reason="見本"), by=steward)
    note("見本の利用協定を結びました。", "Made the sample agreement.")
