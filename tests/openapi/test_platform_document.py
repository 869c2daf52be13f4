"""The platform's generated document: no drift, nothing undescribed, every example request true."""

import base64
import hashlib
import json
import secrets
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import httpx
import pytest
import pytest_asyncio
import yaml  # type: ignore[import-untyped]
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from joserfc.jwk import ECKey
from sqlalchemy import delete

from app.api.state import Platform
from app.audit.notes import WITNESS, Note, Signer
from app.catalogue import runs, streams
from app.certify.document import LOADER, Document
from app.certify.judge import Report
from app.certify.kept import packed
from app.certify.lint import Standard, lint
from app.cli.openapi import document_text
from app.connectors.inbox import SECRET_HEADER
from app.findings.findings import Sighting, report
from app.kit.settings import Settings
from app.models.citizens import CitizenProvider
from app.models.connectors import ConnectorEntry, Stream
from app.models.datasets import Dataset
from app.models.findings import Severity
from app.models.parties import AuthMethod, Role
from app.models.providers import IdentityProvider, ProviderDomain
from app.parties import clients, groups
from app.parties.seed import OPERATOR
from app.tasks.files import make_files
from app.tasks.owner_export import make_export
from tests.agents.staging import agent_with_job, enrolment_of
from tests.citizens.browsing import speaking_for
from tests.conftest import ISSUER
from tests.moving.home import mover
from tests.oauth.people import acting, somebody
from tests.oauth.senders import TOKEN_PATH, proof, sender
from tests.oauth.signing_in import an_app
from tests.stock import stocked
from tests.subjects.consenting import register
from tests.world import KENKO, SAKAI, Party, World

PATH: Final = Path(__file__).parents[2] / "openapi" / "platform-v1.yaml"
DOCUMENT: Final[dict[str, Any]] = yaml.load(PATH.read_text("utf-8"), LOADER)
OPERATIONS: Final = {
    f"{method.upper()} {path}": operation
    for path, operations in DOCUMENT["paths"].items()
    for method, operation in operations.items()
}
_NEW_KEY: Final = ECKey.generate_key("P-256")
_FIELDS: Final = [
    {"name": "no", "label": "番号", "type": "code", "key": True},
    {"name": "name", "label": "名称", "type": "text", "required": True},
    {"name": "address", "label": "所在地", "type": "text"},
    {"name": "capacity", "label": "定員", "type": "integer"},
]
_FILE: Final = "番号,名称,所在地,定員\nP-01,架空第一,架空町1,10\nP-02,架空第二,架空町2,多数\n"


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A deployment that lends a folder with a file in it."""
    drop = tmp_path_factory.mktemp("drop")
    (drop / "shelters.csv").write_text(_FILE, "utf-8")
    home = tmp_path_factory.mktemp("home")
    return Settings(home=home, public_url=ISSUER, file_roots=f"271004-kenko={drop}")


def test_the_committed_document_is_what_the_code_says() -> None:
    assert PATH.read_text("utf-8") == document_text()


async def test_the_document_offers_all_classes_of_the_standard_that_are_served(
    client: httpx.AsyncClient,
) -> None:
    served = (await client.get("/v1/health")).json()["conformance"]

    found = lint(Standard.read(), Document.read(PATH.read_bytes()), served)

    assert [(each.method, each.path, each.words("en")) for each in found] == []


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_operation_is_described(name: str) -> None:
    operation = OPERATIONS[name]

    refusals = [
        response
        for status, response in operation["responses"].items()
        if status >= "400" and "application/problem+json" in response.get("content", {})
    ]

    assert operation["summary"]
    assert operation["tags"]
    assert operation["description"]
    assert refusals
    assert all("`" in response["description"] for response in refusals)
    assert all("example" in r["content"]["application/problem+json"] for r in refusals)


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_body_has_an_example(name: str) -> None:
    bodies = OPERATIONS[name].get("requestBody", {}).get("content", {})

    for media_type, body in bodies.items():
        if media_type != "multipart/form-data":  # a file and its boundary are no text to paste
            assert _example(body) is not None, media_type


def _example(body: dict[str, Any]) -> Any:
    if "example" in body:
        return body["example"]
    reference = body["schema"].get("$ref", "").rpartition("/")[2]
    return DOCUMENT["components"]["schemas"].get(reference, {}).get("example")


# --- every example request is run ----------------------------------------------------------------


@dataclass(slots=True)
class Stage:
    """What the examples speak of, and who calls."""

    world: World
    steward: Party
    asker: Party
    admin: dict[str, str]
    own: dict[str, str]
    other: dict[str, str]
    run: dict[str, Any]
    # Of an invitation and a witness: what no document can hold a true example of.
    code: str = ""
    cosignature: dict[str, Any] = field(default_factory=dict)
    consent: dict[str, Any] = field(default_factory=dict)
    enrolment: dict[str, Any] = field(default_factory=dict)
    replay: dict[str, Any] = field(default_factory=dict)

    async def send(self, path: str, body: Any, headers: dict[str, str]) -> Any:
        response = await self.world.client.post(path, json=body, headers=headers)
        assert response.status_code < 300, response.text
        return response.json()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def stage(
    platform: Platform, client: httpx.AsyncClient, worker: None
) -> AsyncIterator[Stage]:
    world = World(platform, client)
    await world.start()
    operator = await world.party(OPERATOR, Role.OPERATOR, Role.AUDITOR)
    steward = await world.party("271004-kenko", Role.STEWARD)
    asker = await world.party(SAKAI, Role.DEVELOPER)
    admin = await world.token(
        operator, "admin:read admin:write audit:read invitations:write conformance:write"
    )
    writing = await world.token(steward, "catalogue:write")
    for dataset_id in ("shelters", "stock"):
        await _register(world, writing, dataset_id)
    run = await world.load(writing, "shelters", _FILE.encode())
    await world.publish(writing, run)
    scope = (
        "catalogue:write agreements:write organization:write dataset:shelters:read"
        " dataset:stock:read dataset:stock:write findings:read findings:write"
        " systems:read systems:write conformance:write programmes:read programmes:write"
    )
    own = await world.token(steward, scope)
    other = await world.token(asker, "agreements:write")
    yield Stage(world, steward, asker, admin, own, other, run)


async def _register(world: World, headers: dict[str, str], dataset_id: str) -> str:
    body = {
        "id": dataset_id,
        "title_ja": "試験",
        "steward": {"name": "試験"},
        "update_frequency": "irregular",
        "fields": _FIELDS,
    }
    response = await world.client.post("/v1/datasets", json=body, headers=headers)
    assert response.status_code == 201, response.text
    return dataset_id


Path_ = dict[str, Any]
Ready = Callable[[Stage], Awaitable[tuple[dict[str, str], Path_]]]


def _as(who: str, **path: Any) -> Ready:
    """Calls as one of the stage's parties on things that are there."""

    async def ready(stage: Stage) -> tuple[dict[str, str], Path_]:
        return ({} if who == "nobody" else getattr(stage, who)), path

    return ready


async def _proving_a_key(stage: Stage) -> tuple[dict[str, str], Path_]:
    """With the header that the document names: the token of the example is for restricted data."""
    return {"DPoP": proof(ECKey.generate_key("P-256"), "POST", TOKEN_PATH)}, {}


async def _fresh_dataset(stage: Stage) -> tuple[dict[str, str], Path_]:
    made = await _register(stage.world, stage.own, f"d-{secrets.token_hex(5)}")
    return stage.own, {"dataset_id": made}


async def _viewed(stage: Stage) -> tuple[dict[str, str], Path_]:
    where = "/v1/datasets/shelters/purposes/health"
    put = await stage.world.client.put(where, json={"rows": "capacity > 0"}, headers=stage.own)
    assert put.status_code == 200, put.text
    return stage.own, {"dataset_id": "shelters", "purpose": "health"}


async def _to_consent(stage: Stage, where: str = "/v1/consents") -> tuple[dict[str, str], Path_]:
    """A register and a person of it, the text that they are shown, and the provider's steward."""
    people = await register(stage.world, people=1)
    text = await people.offered()
    stage.consent = {
        "/v1/consents": {"person": people.people[0], "text_sha256": text.sha256},
        "/v1/consents/texts": {
            "dataset": people.dataset, "consumer": text.consumer_id, "purpose": text.purpose,
        },
    }.get(where, {})  # fmt: skip
    steward = await sender(stage.world, stage.steward, "agreements:write")
    if stage.consent:
        return steward.headers(where, "POST"), {}
    consent_id = (await people.give(1)).id
    where = where.format(consent_id=consent_id)
    method = "GET" if where.endswith("receipt") else "POST"
    return steward.headers(where, method), {"consent_id": consent_id}


async def _as_citizen(where: str, method: str, stage: Stage) -> tuple[dict[str, str], Path_]:
    """Who is named in a register of the steward's organisation, signed in to an app of it."""
    people = await register(stage.world, people=1)
    text = await people.offered()
    if where.endswith("/offer"):
        _ASKED[f"GET {where}"] = {
            "dataset": people.dataset, "consumer": text.consumer_id, "purpose": text.purpose,
        }  # fmt: skip
    path = {"consent_id": (await people.give(1)).id} if "{" in where else {}
    app = await an_app(stage.world, organization=KENKO, staff_of=(), citizens=True)
    sent = await speaking_for(stage.world, app, people.people[0])
    return sent.headers(where.format(**path), method), path


async def _consents(stage: Stage) -> tuple[dict[str, str], Path_]:
    steward = await sender(stage.world, stage.steward, "agreements:write")
    return steward.headers("/v1/consents"), {}


async def _withdrawn(stage: Stage) -> tuple[dict[str, str], Path_]:
    headers, path = await _fresh_dataset(stage)
    body = {"reason": "試験"}
    await stage.send(f"/v1/datasets/{path['dataset_id']}/withdraw", body, headers)
    return headers, path


async def _own_run(stage: Stage) -> tuple[dict[str, str], Path_]:
    return stage.own, {"run_id": stage.run["id"]}


async def _queued_run(stage: Stage) -> tuple[dict[str, str], Path_]:
    """A run that no worker knows of."""
    async with stage.world.platform.database.writing() as session:
        dataset = await session.get_one(Dataset, "stock")
        done = await runs.get(session, uuid.UUID(stage.run["id"]))
        run = await runs.start(
            session, dataset, run_id=uuid.uuid4(), upload=(done.upload_id, 1), how=runs.How(),
            by="test",
        )  # fmt: skip
    return stage.own, {"run_id": run.id}


_TUS: Final = {"Tus-Resumable": "1.0.0"}


async def _announced(stage: Stage) -> tuple[dict[str, str], Path_]:
    told = f"dataset {base64.b64encode(b'stock').decode()}"
    return {**stage.own, **_TUS, "Upload-Length": "100", "Upload-Metadata": told}, {}


async def _upload(stage: Stage) -> tuple[dict[str, str], Path_]:
    headers, _ = await _announced(stage)
    begun = await stage.world.client.post("/v1/uploads", headers=headers)
    upload_id = begun.headers["Location"].rpartition("/")[2]
    return {**stage.own, **_TUS, "Upload-Offset": "0"}, {"upload_id": upload_id}


async def _record_to_delete(stage: Stage) -> tuple[dict[str, str], Path_]:
    await stage.send("/v1/datasets/stock/records", [{"no": "X-1", "name": "架空"}], stage.own)
    return stage.own, {"dataset_id": "stock", "key": "X-1"}


async def _request(stage: Stage) -> str:
    body = OPERATIONS["POST /v1/access-requests"]["requestBody"]["content"]["application/json"]
    made = await stage.send("/v1/access-requests", _example(body), stage.other)
    return str(made["id"])


async def _request_to_decide(stage: Stage) -> tuple[dict[str, str], Path_]:
    return stage.own, {"request_id": await _request(stage)}


async def _request_of_mine(stage: Stage) -> tuple[dict[str, str], Path_]:
    return stage.other, {"request_id": await _request(stage)}


async def _offer_to_accept(stage: Stage) -> tuple[dict[str, str], Path_]:
    request = await _request(stage)
    path = f"/v1/access-requests/{request}/counter"
    await stage.send(path, {"columns": ["name"]}, stage.own)
    return stage.other, {"request_id": request}


async def _agreement(stage: Stage) -> tuple[dict[str, str], Path_]:
    path = f"/v1/access-requests/{await _request(stage)}/approve"
    return stage.own, {"agreement_id": (await stage.send(path, {}, stage.own))["id"]}


async def _draft(stage: Stage) -> tuple[dict[str, str], Path_]:
    body = OPERATIONS["POST /v1/access-requests"]["requestBody"]["content"]["application/json"]
    draft = {**_example(body), "draft": True}
    made = await stage.send("/v1/access-requests", draft, stage.other)
    return stage.other, {"request_id": made["id"]}


async def _group_agreement(stage: Stage) -> tuple[dict[str, str], Path_]:
    """Of a group that the other organisation operates, with the member of the example."""
    group, database = f"g-{uuid.uuid4()}", stage.world.platform.database
    async with database.writing() as session:
        new = groups.NewGroup(group, "共同利用", SAKAI, "共同運用")
        await groups.add(session, new, by="test")
        member = groups.NewMember("273210", "協定書（架空）", date(2026, 4, 1))
        await groups.add_member(session, group, member, by="test")
    body = OPERATIONS["POST /v1/access-requests"]["requestBody"]["content"]["application/json"]
    asked = {**_example(body), "group": group}
    request = (await stage.send("/v1/access-requests", asked, stage.other))["id"]
    path = f"/v1/access-requests/{request}/approve"
    return stage.own, {"agreement_id": (await stage.send(path, {}, stage.own))["id"]}


async def _suspended_agreement(stage: Stage) -> tuple[dict[str, str], Path_]:
    headers, path = await _agreement(stage)
    await stage.send(f"/v1/agreements/{path['agreement_id']}/suspend", {"reason": "-"}, headers)
    return headers, path


async def _fresh_client(stage: Stage) -> tuple[dict[str, str], Path_]:
    return stage.admin, {"client_id": (await stage.world.party()).id}


async def _app_client(stage: Stage) -> tuple[dict[str, str], Path_]:
    """The client that the example names."""
    async with stage.world.platform.database.writing() as session:
        new = clients.NewClient(
            organization_id=SAKAI, name="試験", id="271403-app",
            auth_method=AuthMethod.CLIENT_SECRET_BASIC,
        )  # fmt: skip
        await clients.add(session, new, by="test")
    return stage.admin, {}


async def _at_work(stage: Stage, path: str) -> dict[str, str]:
    """What an operator in person posts with, who has just proved a second factor."""
    person = await somebody(stage.world, SAKAI, Role.OPERATOR)
    app = await stage.world.party(SAKAI)
    at_work = await acting(stage.world, app, person, "invitations:write", second_factor=True)
    return at_work.headers(path, "POST")


async def _inviter(stage: Stage) -> tuple[dict[str, str], Path_]:
    return await _at_work(stage, "/v1/admin/registration-tokens"), {}


async def _registration_token(stage: Stage) -> tuple[dict[str, str], Path_]:
    body, path = {"organization": "271004-kenko"}, "/v1/admin/registration-tokens"
    made = await stage.send(path, body, await _at_work(stage, path))
    return {"Authorization": f"Bearer {made['token']}"}, {}


async def _registered(stage: Stage) -> tuple[dict[str, str], Path_]:
    headers, _ = await _registration_token(stage)
    body = OPERATIONS["POST /oauth/register"]["requestBody"]["content"]["application/json"]
    made = await stage.send("/oauth/register", _example(body), headers)
    return stage.admin, {"client_id": made["client_id"]}


async def _registered_and_second_person(stage: Stage) -> tuple[dict[str, str], Path_]:
    _, path = await _registered(stage)
    return await _at_work(stage, f"/v1/admin/clients/{path['client_id']}/approve"), path


async def _portal_named(stage: Stage, named: str = "271004-portal") -> tuple[dict[str, str], Path_]:
    """The app that the example names."""
    async with stage.world.platform.database.writing() as session:
        new = clients.NewClient(
            organization_id=SAKAI, name="試験", id=named,
            auth_method=AuthMethod.CLIENT_SECRET_BASIC,
        )  # fmt: skip
        await clients.add(session, new, by="test")
    return await _fresh_client(stage)


async def _reader_named(stage: Stage) -> tuple[dict[str, str], Path_]:
    return await _portal_named(stage, "271403-here")


async def _signed_in_to(stage: Stage) -> tuple[dict[str, str], Path_]:
    """People sign in to the client that pushes the example's request."""
    async with stage.world.platform.database.writing() as session:
        await clients.set_sign_in(
            session, stage.steward.id, staff_of=[SAKAI], by="test",
            redirect_uris=["https://app.city.sakai.example/callback"],
        )  # fmt: skip
    stage.world.platform.live.changed("client", stage.steward.id)
    return {}, {}


async def _holding_a_new_key(_stage: Stage) -> tuple[dict[str, str], Path_]:
    return {"DPoP": proof(_NEW_KEY, "POST", "/oauth/keys")}, {}


def _somebody(method: str) -> Ready:
    """A person's token, sent with its proof."""

    async def ready(stage: Stage) -> tuple[dict[str, str], Path_]:
        person_id = await somebody(stage.world, SAKAI)
        sender = await acting(stage.world, stage.steward, person_id, "openid profile")
        return sender.headers("/oauth/userinfo", method), {}

    return ready


async def _fresh_user(stage: Stage) -> tuple[dict[str, str], Path_]:
    body = {
        "organization_id": "271004-kenko",
        "name": "架空 花子",
        "email": f"{secrets.token_hex(4)}@example.jp",
    }
    made = await stage.send("/v1/admin/users", body, stage.admin)
    return stage.admin, {"user_id": made["user"]["id"]}


async def _fresh_unit(stage: Stage) -> tuple[dict[str, str], Path_]:
    unit = f"271004-u{secrets.token_hex(4)}"
    body = {"id": unit, "kind": "unit", "name_ja": "試験", "parent_id": "271004"}
    await stage.send("/v1/admin/organizations", body, stage.admin)
    return stage.admin, {"organization_id": unit}


async def _profile(stage: Stage) -> tuple[dict[str, str], Path_]:
    body = {
        "name": f"p-{secrets.token_hex(4)}",
        "version": 1,
        "title_ja": "試験",
        "fields": _FIELDS,
    }
    await stage.send("/v1/profiles", body, stage.own)
    return {}, {"name": body["name"], "version": 1}


async def _open_dataset(stage: Stage) -> tuple[dict[str, str], Path_]:
    made = await stocked(stage.world, [{"no": "1", "name": "架空"}])
    return {}, {"dataset_id": made}


async def _invitation(stage: Stage) -> dict[str, Any]:
    body = {"organization": "273830", "email": "a@example.jp"}
    made: dict[str, Any] = await stage.send("/v1/admin/invitations", body, stage.admin)
    return made


async def _open_invitation(stage: Stage) -> tuple[dict[str, str], Path_]:
    return stage.admin, {"invitation_id": (await _invitation(stage))["invitation"]["id"]}


async def _code_at_hand(stage: Stage) -> tuple[dict[str, str], Path_]:
    stage.code = (await _invitation(stage))["code"]
    return {}, {}


async def _terms(stage: Stage) -> tuple[dict[str, str], Path_]:
    body = {"text_ja": "規約", "text_en": "Terms", "valid_from": "2026-04-01"}
    made = await stage.send("/v1/admin/terms", body, stage.admin)
    return stage.own, {"number": made["number"]}


async def _no_provider(stage: Stage) -> tuple[dict[str, str], Path_]:
    """The example's provider and its domain are free."""
    async with stage.world.platform.database.writing() as session:
        await session.execute(delete(ProviderDomain))
        await session.execute(delete(IdentityProvider))
    return stage.admin, {}


async def _provider(stage: Stage) -> tuple[dict[str, str], Path_]:
    await _no_provider(stage)
    body = {
        "id": "osaka-city",
        "organization": "271004",
        "name": "試験",
        "issuer": "https://idp.city.example.jp",
        "client_id": "urban-os",
        "domains": [],
    }
    made = await stage.send("/v1/admin/identity-providers", body, stage.admin)
    return stage.admin, {"provider_id": made["id"]}


async def _no_citizen_provider(stage: Stage) -> tuple[dict[str, str], Path_]:
    """The example's provider is not there yet."""
    async with stage.world.platform.database.writing() as session:
        await session.execute(delete(CitizenProvider))
    return stage.admin, {}


async def _citizen_provider(stage: Stage) -> tuple[dict[str, str], Path_]:
    await _no_citizen_provider(stage)
    body = {
        "id": "jpki",
        "name_ja": "試験",
        "name_en": "Test",
        "issuer": "https://jpki.example.jp",
        "client_id": "urban-os",
        "levels": {"urn:example:jpki": "high"},
    }
    made = await stage.send("/v1/admin/citizen-providers", body, stage.admin)
    return stage.admin, {"provider_id": made["id"]}


async def _quota(stage: Stage) -> tuple[dict[str, str], Path_]:
    body = {"dataset_id": "shelters", "requests_per_minute": 1_000}
    response = await stage.world.client.put("/v1/admin/quotas", json=body, headers=stage.admin)
    assert response.status_code == 200, response.text
    return stage.admin, {}


async def _group(stage: Stage, *members: str) -> str:
    group = f"g-{secrets.token_hex(4)}"
    body = {"id": group, "name_ja": "試験", "operator": SAKAI, "purpose": "試験"}
    await stage.send("/v1/admin/groups", body, stage.admin)
    for member in members:
        joined = {"organization": member, "agreement": "協定（架空）", "since": "2026-04-01"}
        await stage.send(f"/v1/admin/groups/{group}/members", joined, stage.admin)
    return group


async def _group_without_members(stage: Stage) -> tuple[dict[str, str], Path_]:
    return stage.admin, {"group_id": await _group(stage)}


async def _group_of_mine(stage: Stage) -> tuple[dict[str, str], Path_]:
    mine = stage.steward.organization_id
    group = await _group(stage, mine)
    return {**stage.own}, {"group_id": group, "organization_id": mine}


async def _membership(stage: Stage) -> tuple[dict[str, str], Path_]:
    return stage.admin, (await _group_of_mine(stage))[1]


async def _need(stage: Stage) -> tuple[dict[str, str], Path_]:
    body = {"title": "試験", "text": "試験", "municipality": "271004"}
    made = await stage.send("/v1/needs", body, stage.other)
    return stage.own, {"need_id": made["id"]}


async def _own_profile(stage: Stage) -> tuple[dict[str, str], Path_]:
    return stage.own, (await _profile(stage))[1]


async def _open_resource(stage: Stage) -> tuple[dict[str, str], Path_]:
    _, path = await _open_dataset(stage)
    return {}, {"resource_id": path["dataset_id"]}


async def _ready_file(stage: Stage) -> tuple[dict[str, str], dict[str, Any]]:
    """An open dataset whose files are made."""
    platform = stage.world.platform
    dataset = await stocked(stage.world, [{"no": "1"}])
    await make_files(platform.database, platform.store, dataset, 1)
    platform.live.changed("dataset", dataset)
    return {}, {"dataset_id": dataset, "name": f"{dataset}.csv"}


async def _signed_log(stage: Stage) -> tuple[dict[str, str], Path_]:
    await stage.world.platform.log_keeper.keep()
    return {}, {}


async def _cosigned(stage: Stage) -> tuple[dict[str, str], Path_]:
    """By a witness that the server knows; its name and signature are no text for a document."""
    keeper = stage.world.platform.log_keeper
    await keeper.keep()
    witness = Signer("witness.example", WITNESS, Ed25519PrivateKey.generate())
    keeper.witnesses = (witness.verifier,)
    signed = await keeper.checkpoint()
    line = witness.cosign(Note.parse(signed.note).text, int(time.time()))
    stage.cosignature = {"size": signed.size, "signature": str(line)}
    return {}, {}


async def _finding(stage: Stage) -> tuple[dict[str, str], Path_]:
    seen = Sighting(
        rule="bulk_read", subject_kind="client", subject_id=f"c-{secrets.token_hex(5)}",
        severity=Severity.HIGH, ja="試験", en="A test", due_in=timedelta(days=3),
        owner_id="271004-kenko",
    )  # fmt: skip
    async with stage.world.platform.database.writing() as session:
        (finding,) = await report(session, seen)
    return stage.own, {"finding_id": finding.id}


async def _alert_channel(stage: Stage) -> tuple[dict[str, str], Path_]:
    body = {"kind": "webhook", "target": "https://hooks.city.example.jp/"}
    made = await stage.send("/v1/alert-channels", body, stage.own)
    return stage.own, {"channel_id": made["id"]}


async def _subscriber(stage: Stage) -> tuple[dict[str, str], Path_]:
    return await stage.world.token(stage.steward, "dataset:shelters:subscribe"), {}


async def _subscription(stage: Stage) -> tuple[dict[str, str], Path_]:
    headers, _ = await _subscriber(stage)
    body = {"dataset": "shelters", "url": "https://sign.example.jp/hooks"}
    made = await stage.send("/v1/subscriptions?purpose=own-duty", body, headers)
    stage.replay = {"since": made["position"]}
    return headers, {"subscription": made["id"]}


async def _fed(stage: Stage) -> tuple[dict[str, str], Path_]:
    """The example's dataset has no connector yet."""
    async with stage.world.platform.database.writing() as session:
        await session.execute(delete(ConnectorEntry))
    return stage.own, {}


async def _system(stage: Stage) -> tuple[dict[str, str], Path_]:
    body = {"description": {"name": "予約", "function": "reservation"}}
    added = await stage.send("/v1/systems", body, stage.own)
    return stage.own, {"system_id": added["id"]}


async def _alike(stage: Stage) -> tuple[dict[str, str], Path_]:
    """The two systems that the example names, by the ids that it names."""
    example = DOCUMENT["components"]["schemas"]["DuplicateDecisionIn"]["example"]
    for wanted in example["members"]:
        _, made = await _system(stage)
        await stage.world.platform.database.pool.execute(
            "WITH gone AS (DELETE FROM system_revision WHERE system_id = $1)"
            " UPDATE system SET id = $2, function = 'chatbot' WHERE id = $1",
            uuid.UUID(made["system_id"]), uuid.UUID(wanted),
        )  # fmt: skip
    return stage.own, {"function": "chatbot"}


async def _programme(stage: Stage) -> tuple[dict[str, str], Path_]:
    body = {"title": f"p-{secrets.token_hex(5)}", "kind": "support", "fiscal_year": 2027}
    made = await stage.send("/v1/programmes", body, stage.own)
    return stage.own, {"programme_id": made["id"]}


async def _programme_named(stage: Stage) -> tuple[dict[str, str], Path_]:
    """The programme that the example names."""
    _, path = await _programme(stage)
    wanted = DOCUMENT["components"]["schemas"]["ProjectIn"]["example"]["programme"]
    await stage.world.platform.database.pool.execute(
        "UPDATE programme SET id = $2 WHERE id = $1", uuid.UUID(path["programme_id"]),
        uuid.UUID(wanted),
    )  # fmt: skip
    return stage.own, {}


async def _project(stage: Stage) -> tuple[dict[str, str], Path_]:
    _, path = await _programme(stage)
    body = {"programme": path["programme_id"], "description": {"title": "試験"}}
    return stage.own, {"project_id": (await stage.send("/v1/projects", body, stage.own))["id"]}


async def _joint(stage: Stage) -> tuple[dict[str, str], Path_]:
    body = DOCUMENT["components"]["schemas"]["JointIn"]["example"]
    made = await stage.send("/v1/joint-procurements", body, stage.own)
    return stage.own, {"joint_id": made["id"]}


async def _joined(stage: Stage) -> tuple[dict[str, str], Path_]:
    headers, path = await _joint(stage)
    where = f"/v1/joint-procurements/{path['joint_id']}/participants"
    await stage.send(where, {"organization": SAKAI}, headers)
    return headers, {**path, "organization": SAKAI}


async def _shared(stage: Stage) -> tuple[dict[str, str], Path_]:
    body = DOCUMENT["components"]["schemas"]["SolutionIn"]["example"]
    made = await stage.send("/v1/shared-solutions", body, stage.own)
    return stage.own, {"solution_id": made["id"]}


async def _service(stage: Stage) -> tuple[dict[str, str], Path_]:
    body = OPERATIONS["POST /v1/conformance/services"]["requestBody"]["content"]["application/json"]
    made = await stage.send("/v1/conformance/services", _example(body), stage.own)
    return stage.own, {"service_id": made["id"]}


async def _service_named(stage: Stage) -> tuple[dict[str, str], Path_]:
    """The service that the example names."""
    _, path = await _service(stage)
    wanted = DOCUMENT["components"]["schemas"]["ConformanceRunIn"]["example"]["service"]
    await stage.world.platform.database.pool.execute(
        "UPDATE conformance_service SET id = $2 WHERE id = $1",
        uuid.UUID(path["service_id"]), uuid.UUID(wanted),
    )  # fmt: skip
    return stage.own, {}


async def _official_run(stage: Stage) -> tuple[dict[str, str], Path_]:
    _, path = await _service(stage)
    run = await stage.send("/v1/conformance/runs", {"service": path["service_id"]}, stage.own)
    return stage.own, {"run_id": run["id"]}


async def _judged_run(stage: Stage, wanted: str | None = None) -> tuple[dict[str, str], Path_]:
    """That was passed, with a report of nothing."""
    headers, path = await _official_run(stage)
    kept = packed(Report("https://sandbox.example.jp", "1.0.0", ("core",), 0, (), 1))
    run_id = wanted or str(uuid.uuid4())
    await stage.world.platform.database.pool.execute(
        "UPDATE conformance_run SET id = $2, state = 'passed', ended_at = now(), report = $3,"
        " standard = '1.0.0' WHERE id = $1",
        uuid.UUID(path["run_id"]), uuid.UUID(run_id), kept,
    )  # fmt: skip
    return headers, {"run_id": run_id}


async def _run_to_certify(stage: Stage) -> tuple[dict[str, str], Path_]:
    """The run that the example names."""
    example = DOCUMENT["components"]["schemas"]["CertificateIn"]["example"]
    await _judged_run(stage, example["run"])
    return stage.admin, {}


async def _certificate(stage: Stage) -> tuple[dict[str, str], Path_]:
    _, path = await _judged_run(stage)
    body = {"run": path["run_id"]}
    made = await stage.send("/v1/conformance/certificates", body, stage.admin)
    return stage.admin, {"certificate_id": made["id"]}


async def _connector(stage: Stage) -> tuple[dict[str, str], Path_]:
    """Of a file that lies in a folder."""
    await _fed(stage)
    feed = {"dataset": "shelters", "selection": {"path": "shelters.csv"}}
    (drop,) = stage.world.platform.lent_folders["271004-kenko"]
    body = {"kind": "file", "name": "試験", "settings": {"base": str(drop)}, "feeds": [feed]}
    return stage.own, {"connector_id": (await stage.send("/v1/connectors", body, stage.own))["id"]}


async def _connector_run(stage: Stage) -> tuple[dict[str, str], Path_]:
    headers, path = await _connector(stage)
    run = await stage.send(f"/v1/connectors/{path['connector_id']}/runs", {}, headers)
    return headers, {**path, "run_id": run["id"]}


async def _notified(stage: Stage) -> tuple[dict[str, str], Path_]:
    """A stream whose source knows the secret."""
    await _fed(stage)
    selection = {"type": "WaterLevelObserved"}
    feed = {"dataset": "shelters", "mode": "stream", "selection": selection}
    settings = {"base": "https://orion.example.jp/"}
    body = {"kind": "ngsi", "name": "試験", "settings": settings, "feeds": [feed]}
    made = await stage.send("/v1/connectors", body, stage.own)
    async with stage.world.platform.database.writing() as session:
        await streams.claim(session, timedelta(minutes=1), most=1)
        stream = await session.get_one(Stream, "shelters")
        stream.secret_sha256 = hashlib.sha256(b"example").digest()
    return {SECRET_HEADER: "example"}, {"connector_id": made["id"]}


async def _agent(stage: Stage) -> tuple[dict[str, str], Path_]:
    body = {"name": "試験", "sources": ["kokuho"]}
    made = await stage.send("/v1/agents", body, stage.own)
    stage.enrolment = enrolment_of(made["code"], ECKey.generate_key("P-256"))
    return stage.own, {"agent_id": made["agent"]["id"]}


def _as_agent(name: str) -> Ready:
    """An agent with a job, and the proof of what it sends."""

    async def ready(stage: Stage) -> tuple[dict[str, str], Path_]:
        await _agent(stage)
        await stage.send("/v1/agent/enrolment", stage.enrolment, {})
        operation = OPERATIONS[name]
        (media_type,) = operation.get("requestBody", {}).get("content") or (None,)
        body = _body(stage, operation, media_type).get("content", b"")
        return await agent_with_job(stage.world, stage.enrolment, name, body)

    return ready


_EXPORTS: Final = "/v1/organizations/{organization_id}/exports"


async def _no_export(stage: Stage) -> tuple[dict[str, str], Path_]:
    """None under way: one at a time."""
    await stage.world.platform.database.pool.execute("DELETE FROM owner_export")
    return stage.own, {"organization_id": "271004-kenko"}


async def _export(stage: Stage) -> tuple[dict[str, str], Path_]:
    headers, path = await _no_export(stage)
    made = await stage.send(_EXPORTS.format(**path), {}, headers)
    return headers, {**path, "export_id": made["id"]}


async def _export_to_approve(stage: Stage) -> tuple[dict[str, str], Path_]:
    headers, path = await _export(stage)
    await stage.world.platform.database.pool.execute(
        "UPDATE owner_export SET state = 'waiting', asked_by = 'somebody', asked_via = 'somebody'"
    )
    return headers, path


async def _export_made(stage: Stage) -> tuple[dict[str, str], Path_]:
    headers, path = await _export(stage)
    platform = stage.world.platform
    await make_export(mover(platform), platform.store, UUID(path["export_id"]))
    return headers, path


READY: Final[dict[str, Ready]] = {
    f"POST {_EXPORTS}": _no_export,
    f"GET {_EXPORTS}": _no_export,
    f"GET {_EXPORTS}/{{export_id}}": _export,
    f"DELETE {_EXPORTS}/{{export_id}}": _export,
    f"POST {_EXPORTS}/{{export_id}}/approve": _export_to_approve,
    f"GET {_EXPORTS}/{{export_id}}/archive": _export_made,
    "GET /v1/agents": _as("own"),
    "POST /v1/agents": _as("own"),
    "GET /v1/agents/{agent_id}": _agent,
    "DELETE /v1/agents/{agent_id}": _agent,
    "POST /v1/agent/enrolment": _agent,
    **{
        name: _as_agent(name)
        for name in (
            "POST /v1/agent/keys",
            "POST /v1/agent/jobs",
            "POST /v1/agent/jobs/{job_id}/{attempt}/alive",
            "PUT /v1/agent/jobs/{job_id}/{attempt}/pieces/{position}",
        )
    },
    "GET /v1/findings": _as("own"),
    "GET /v1/findings/{finding_id}": _finding,
    "PATCH /v1/findings/{finding_id}": _finding,
    "POST /v1/findings/{finding_id}/acknowledge": _finding,
    "POST /v1/findings/{finding_id}/resolve": _finding,
    "POST /v1/findings/{finding_id}/dismiss": _finding,
    "GET /v1/alert-channels": _as("own"),
    "POST /v1/alert-channels": _as("own"),
    "POST /v1/alert-channels/{channel_id}/test": _alert_channel,
    "DELETE /v1/alert-channels/{channel_id}": _alert_channel,
    "GET /v1/subscriptions": _subscriber,
    "POST /v1/subscriptions": _subscriber,
    "GET /v1/subscriptions/{subscription}": _subscription,
    "DELETE /v1/subscriptions/{subscription}": _subscription,
    "POST /v1/subscriptions/{subscription}/replay": _subscription,
    "GET /v1/admin/alert-rules": _as("admin"),
    "GET /v1/admin/alert-rules/{name}": _as("admin", name="bulk_read"),
    "PATCH /v1/admin/alert-rules/{name}": _as("admin", name="bulk_read"),
    "POST /v1/systems": _as("own"),
    "GET /v1/systems": _as("own"),
    "GET /v1/systems/sheet.csv": _as("own"),
    "POST /v1/systems/imports": _as("own"),
    "GET /v1/systems/{system_id}": _system,
    "PUT /v1/systems/{system_id}": _system,
    "GET /v1/systems/{system_id}/revisions": _system,
    "POST /v1/systems/{system_id}/diagnoses": _system,
    "GET /v1/systems/{system_id}/karte": _system,
    "GET /v1/programmes": _as("own"),
    "POST /v1/programmes": _as("own"),
    "GET /v1/programmes/{programme_id}": _programme,
    "PUT /v1/programmes/{programme_id}": _programme,
    "GET /v1/programmes/{programme_id}/clause": _programme,
    "GET /v1/projects": _as("own"),
    "POST /v1/projects": _programme_named,
    "GET /v1/projects/{project_id}": _project,
    "PUT /v1/projects/{project_id}": _project,
    "GET /v1/projects/{project_id}/revisions": _project,
    "GET /v1/projects/{project_id}/gate": _project,
    "GET /v1/projects/{project_id}/clause": _project,
    "POST /v1/projects/{project_id}/state": _project,
    "GET /v1/procurement/clause": _as("nobody"),
    "GET /v1/joint-procurements": _as("own"),
    "POST /v1/joint-procurements": _as("own"),
    "GET /v1/joint-procurements/{joint_id}": _joint,
    "PUT /v1/joint-procurements/{joint_id}": _joint,
    "GET /v1/joint-procurements/{joint_id}/candidates": _joint,
    "POST /v1/joint-procurements/{joint_id}/participants": _joint,
    "DELETE /v1/joint-procurements/{joint_id}/participants/{organization}": _joined,
    "GET /v1/shared-solutions": _as("nobody"),
    "POST /v1/shared-solutions": _as("own"),
    "GET /v1/shared-solutions/{solution_id}": _shared,
    "PUT /v1/shared-solutions/{solution_id}": _shared,
    "DELETE /v1/shared-solutions/{solution_id}": _shared,
    "GET /v1/conformance/services": _as("own"),
    "POST /v1/conformance/services": _as("own"),
    "GET /v1/conformance/services/{service_id}": _service,
    "PUT /v1/conformance/services/{service_id}": _service,
    "DELETE /v1/conformance/services/{service_id}": _service,
    "PUT /v1/conformance/services/{service_id}/client": _service,
    "DELETE /v1/conformance/services/{service_id}/client": _service,
    "GET /v1/conformance/runs": _as("own"),
    "POST /v1/conformance/runs": _service_named,
    "GET /v1/conformance/runs/{run_id}": _official_run,
    "POST /v1/conformance/runs/{run_id}/cancel": _official_run,
    "GET /v1/conformance/runs/{run_id}/report": _judged_run,
    "GET /v1/conformance/certificates": _as("nobody"),
    "POST /v1/conformance/certificates": _run_to_certify,
    "GET /v1/conformance/certificates/{certificate_id}": _certificate,
    "POST /v1/conformance/certificates/{certificate_id}/revoke": _certificate,
    "GET /v1/conformance/revocations": _as("nobody"),
    "GET /v1/conformance/keys": _as("nobody"),
    "GET /v1/certified-services": _as("nobody"),
    "GET /v1/certified-services/{service_id}": _service,
    "GET /v1/certified-services/{service_id}/badge.svg": _service,
    "GET /v1/lock-in": _as("own"),
    "GET /v1/duplicates": _as("own"),
    "POST /v1/duplicates/{function}/decisions": _alike,
    "GET /v1/similar-datasets": _as("own"),
    "GET /v1/migration-board": _as("own"),
    "GET /v1/admin/lock-in-weights": _as("admin"),
    "PUT /v1/admin/lock-in-weights": _as("admin"),
    "GET /v1/connector-kinds": _as("own"),
    "GET /v1/connectors": _as("own"),
    "POST /v1/connectors": _fed,
    "GET /v1/connectors/{connector_id}": _connector,
    "PATCH /v1/connectors/{connector_id}": _connector,
    "DELETE /v1/connectors/{connector_id}": _connector,
    "POST /v1/connectors/{connector_id}/test": _connector,
    "POST /v1/connectors/{connector_id}/discover": _connector,
    "POST /v1/connectors/{connector_id}/preview": _connector,
    "POST /v1/connectors/{connector_id}/notices": _connector,
    "DELETE /v1/connectors/{connector_id}/notices": _connector,
    "POST /v1/connectors/{connector_id}/notifications": _notified,
    "GET /v1/connectors/{connector_id}/runs": _connector,
    "POST /v1/connectors/{connector_id}/runs": _connector,
    "GET /v1/connectors/{connector_id}/runs/{run_id}": _connector_run,
    "POST /v1/connectors/{connector_id}/runs/{run_id}/cancel": _connector_run,
    "GET /api/3/action/{name}": _as("nobody", name="package_list"),
    "POST /api/3/action/{name}": _as("nobody", name="package_search"),
    "GET /datastore/dump/{resource_id}": _open_resource,
    "GET /opendata/catalog": _as("nobody"),
    "GET /opendata/catalog.jsonld": _as("nobody"),
    "GET /opendata/catalog.rdf": _as("nobody"),
    "GET /opendata/catalog.ttl": _as("nobody"),
    "GET /opendata/data.json": _as("nobody"),
    "GET /opendata/datasets/{dataset_id}": _open_dataset,
    "GET /opendata/datasets/{dataset_id}.jsonld": _open_dataset,
    "GET /opendata/datasets/{dataset_id}.rdf": _open_dataset,
    "GET /opendata/datasets/{dataset_id}.ttl": _open_dataset,
    "GET /opendata/datasets/{dataset_id}/croissant.json": _open_dataset,
    "GET /opendata/datasets/{dataset_id}/schema-org.jsonld": _open_dataset,
    "GET /opendata/feed.atom": _as("nobody"),
    "GET /sitemap.xml": _as("nobody"),
    "GET /sitemaps/{number}.xml": _as("nobody", number=1),
    "GET /v1/licenses": _as("nobody"),
    "GET /v1/admin/invitations": _as("admin"),
    "POST /v1/admin/invitations": _as("admin"),
    "POST /v1/admin/invitations/{invitation_id}/revoke": _open_invitation,
    "POST /v1/invitations/accept": _code_at_hand,
    "GET /v1/admin/citizen-providers": _as("admin"),
    "POST /v1/admin/citizen-providers": _no_citizen_provider,
    "PUT /v1/admin/citizen-providers/{provider_id}/levels": _citizen_provider,
    "POST /v1/admin/citizen-providers/{provider_id}/disable": _citizen_provider,
    "POST /v1/admin/citizen-providers/{provider_id}/enable": _citizen_provider,
    "GET /v1/admin/identity-providers": _as("admin"),
    "POST /v1/admin/identity-providers": _no_provider,
    "GET /v1/admin/identity-providers/{provider_id}": _provider,
    "PUT /v1/admin/identity-providers/{provider_id}/vouching": _provider,
    "POST /v1/admin/identity-providers/{provider_id}/disable": _provider,
    "POST /v1/admin/identity-providers/{provider_id}/enable": _provider,
    "GET /v1/admin/quotas": _as("admin"),
    "PUT /v1/admin/quotas": _as("admin"),
    "DELETE /v1/admin/quotas": _quota,
    "POST /v1/subjects": _as("own"),
    "POST /v1/subjects/keys": _as("own"),
    "GET /v1/terms": _as("nobody"),
    "GET /v1/terms/{number}": _terms,
    "POST /v1/admin/terms": _as("admin"),
    "POST /v1/terms/{number}/accept": _terms,
    "GET /v1/admin/groups": _as("admin"),
    "POST /v1/admin/groups": _as("admin"),
    "POST /v1/admin/groups/{group_id}/members": _group_without_members,
    "POST /v1/admin/groups/{group_id}/members/{organization_id}/end": _membership,
    "GET /v1/groups": _as("own"),
    "POST /v1/groups/{group_id}/leave": _group_of_mine,
    "GET /v1/organizations/{organization_id}/onboarding": _as(
        "own", organization_id="271004-kenko"
    ),
    "GET /.well-known/oauth-authorization-server": _as("nobody"),
    "GET /.well-known/oauth-protected-resource": _as("nobody"),
    "GET /healthz": _as("nobody"),
    "GET /metrics": _as("nobody"),
    "GET /readyz": _as("nobody"),
    "GET /v1/health": _as("nobody"),
    "GET /oauth/jwks": _as("nobody"),
    "POST /oauth/token": _proving_a_key,
    "POST /oauth/revoke": _as("nobody"),
    "POST /oauth/keys": _holding_a_new_key,
    "POST /oauth/par": _signed_in_to,
    "GET /oauth/userinfo": _somebody("GET"),
    "POST /oauth/userinfo": _somebody("POST"),
    "GET /.well-known/openid-configuration": _as("nobody"),
    "PUT /v1/admin/clients/{client_id}/sign-in": _fresh_client,
    "POST /oauth/introspect": _as("nobody"),
    "GET /v1/admin/keys": _as("admin"),
    "POST /v1/admin/keys/rotate": _as("admin"),
    "GET /v1/access-requests": _as("other"),
    "POST /v1/access-requests": _as("other"),
    "GET /v1/access-requests/{request_id}": _request_of_mine,
    "PATCH /v1/access-requests/{request_id}": _draft,
    "POST /v1/access-requests/{request_id}/submit": _draft,
    "POST /v1/access-requests/{request_id}/approve": _request_to_decide,
    "POST /v1/access-requests/{request_id}/accept": _offer_to_accept,
    "POST /v1/access-requests/{request_id}/counter": _request_to_decide,
    "POST /v1/access-requests/{request_id}/reject": _request_to_decide,
    "POST /v1/access-requests/{request_id}/withdraw": _request_of_mine,
    "GET /v1/admin/audit": _as("admin"),
    "GET /v1/admin/audit/verify": _as("admin"),
    "GET /v1/admin/audit/export": _as("admin"),
    "GET /v1/admin/usage": _as("admin"),
    "GET /v1/admin/kpi": _as("admin"),
    "GET /v1/organizations/{organization_id}/usage": _as("own", organization_id="271004-kenko"),
    "GET /v1/log/checkpoint": _as("nobody"),
    "GET /v1/log/key": _as("nobody"),
    "GET /v1/log/proofs/inclusion": _signed_log,
    "GET /v1/log/proofs/consistency": _signed_log,
    "POST /v1/log/cosignatures": _cosigned,
    "GET /v1/admin/clients": _as("admin"),
    "POST /v1/admin/clients": _as("admin"),
    "GET /v1/admin/clients/{client_id}": _fresh_client,
    "PUT /v1/admin/clients/{client_id}/keys": _fresh_client,
    "POST /v1/admin/clients/{client_id}/revoke": _fresh_client,
    "POST /oauth/register": _registration_token,
    "POST /v1/admin/registration-tokens": _inviter,
    "GET /v1/admin/registrations": _as("admin"),
    "POST /v1/admin/clients/{client_id}/approve": _registered_and_second_person,
    "POST /v1/admin/clients/{client_id}/reject": _registered,
    "PUT /v1/admin/clients/{client_id}/exchange-from": _portal_named,
    "PUT /v1/admin/clients/{client_id}/speaks-for": _reader_named,
    "GET /v1/admin/users": _as("admin"),
    "POST /v1/admin/users": _as("admin"),
    "GET /v1/admin/users/{user_id}": _fresh_user,
    "PUT /v1/admin/users/{user_id}/roles": _fresh_user,
    "POST /v1/admin/users/{user_id}/disable": _fresh_user,
    "POST /v1/admin/users/{user_id}/enable": _fresh_user,
    "POST /v1/admin/users/{user_id}/reset": _fresh_user,
    "POST /v1/admin/decisions/explain": _app_client,
    "GET /v1/admin/organizations": _as("admin"),
    "POST /v1/admin/organizations": _as("admin"),
    "GET /v1/admin/organizations/{organization_id}": _as("admin", organization_id="271004"),
    "POST /v1/admin/organizations/{organization_id}/approval": _fresh_unit,
    "POST /v1/admin/organizations/{organization_id}/close": _fresh_unit,
    "GET /v1/admin/organizations/{organization_id}/former-names": _fresh_unit,
    "POST /v1/admin/organizations/{organization_id}/rename": _fresh_unit,
    "GET /v1/admin/organizations/{organization_id}/tree": _as("admin", organization_id="271004"),
    "GET /v1/agreements": _as("other"),
    "GET /v1/agreements/notices": _as("other"),
    "GET /v1/agreements/{agreement_id}": _agreement,
    "GET /v1/agreements/{agreement_id}/terms": _agreement,
    "POST /v1/agreements/{agreement_id}/amend": _agreement,
    "POST /v1/agreements/{agreement_id}/exclude": _group_agreement,
    "POST /v1/agreements/{agreement_id}/include": _group_agreement,
    "POST /v1/agreements/{agreement_id}/resume": _suspended_agreement,
    "POST /v1/agreements/{agreement_id}/revoke": _agreement,
    "POST /v1/agreements/{agreement_id}/suspend": _agreement,
    "GET /v1/datasets": _as("nobody"),
    "GET /v1/me/datasets": _as("other"),
    "POST /v1/datasets": _as("own"),
    "GET /v1/datasets/{dataset_id}": _as("nobody", dataset_id="shelters"),
    "PATCH /v1/datasets/{dataset_id}": _fresh_dataset,
    "GET /v1/datasets/{dataset_id}/changes": _as("own", dataset_id="shelters"),
    "GET /v1/datasets/{dataset_id}/diff": _as("own", dataset_id="shelters"),
    "POST /v1/datasets/{dataset_id}/rollback": _as("own", dataset_id="shelters"),
    "GET /v1/datasets/{dataset_id}/readers": _as("own", dataset_id="shelters"),
    "GET /v1/datasets/{dataset_id}/aggregate": _as("own", dataset_id="shelters"),
    "GET /v1/datasets/{dataset_id}/records": _as("own", dataset_id="shelters"),
    "POST /v1/datasets/{dataset_id}/records": _as("own", dataset_id="stock"),
    "DELETE /v1/datasets/{dataset_id}/records/{key}": _record_to_delete,
    "GET /v1/datasets/{dataset_id}/records/{key}": _as("own", dataset_id="shelters", key="P-01"),
    "GET /v1/datasets/{dataset_id}/schema": _as("nobody", dataset_id="shelters"),
    "GET /v1/datasets/{dataset_id}/versions": _as("own", dataset_id="shelters"),
    "POST /v1/datasets/{dataset_id}/versions": _fresh_dataset,
    "GET /v1/datasets/{dataset_id}/versions/{number}": _as("own", dataset_id="shelters", number=1),
    "GET /v1/datasets/{dataset_id}/versions/{number}/source": _as(
        "own", dataset_id="shelters", number=1
    ),
    "GET /v1/datasets/{dataset_id}/files": _ready_file,
    "GET /v1/datasets/{dataset_id}/files/{name}": _ready_file,
    "POST /v1/datasets/{dataset_id}/versions/{number}/publish": _as(
        "own", dataset_id="shelters", number=1
    ),
    "POST /v1/datasets/{dataset_id}/reinstate": _withdrawn,
    "POST /v1/datasets/{dataset_id}/withdraw": _fresh_dataset,
    "GET /v1/profiles": _as("nobody"),
    "POST /v1/profiles": _as("own"),
    "GET /v1/profiles/{name}/{version}": _profile,
    "PATCH /v1/profiles/{name}/{version}": _own_profile,
    "GET /v1/profiles/{name}/{version}/schema": _profile,
    "GET /v1/profiles/{name}/{version}/migration": _profile,
    "GET /v1/profiles/{name}/{version}/template.xlsx": _profile,
    "POST /v1/profiles/{name}/{version}/validate": _profile,
    "GET /v1/profiles/{name}/diff": _as("nobody", name="aed"),
    "POST /v1/profiles/{name}/convert": _as("nobody", name="aed"),
    "POST /v1/profiles/match": _as("nobody"),
    "GET /v1/purposes": _as("nobody"),
    "POST /v1/purposes": _as("admin"),
    "POST /v1/runs/{run_id}/cancel": _queued_run,
    "OPTIONS /v1/uploads": _as("nobody"),
    "POST /v1/uploads": _announced,
    "DELETE /v1/uploads/{upload_id}": _upload,
    "HEAD /v1/uploads/{upload_id}": _upload,
    "PATCH /v1/uploads/{upload_id}": _upload,
    "GET /v1/datasets/{dataset_id}/quality": _as("own", dataset_id="shelters"),
    "GET /v1/datasets/{dataset_id}/repairs": _as("own", dataset_id="shelters"),
    "PUT /v1/datasets/{dataset_id}/repairs/{field}/{rule}": _as(
        "own", dataset_id="shelters", field="capacity", rule="full_width_digits"
    ),
    "GET /v1/datasets/{dataset_id}/purposes": _as("own", dataset_id="shelters"),
    "PUT /v1/datasets/{dataset_id}/purposes/{purpose}": _viewed,
    "GET /v1/datasets/{dataset_id}/purposes/{purpose}": _viewed,
    "DELETE /v1/datasets/{dataset_id}/purposes/{purpose}": _viewed,
    **{
        f"{method} {where}": partial(_as_citizen, where, method)
        for method, where in (
            ("GET", "/v1/me/consents"),
            ("GET", "/v1/me/consents/offer"),
            ("GET", "/v1/me/consents/{consent_id}/receipt"),
            ("POST", "/v1/me/consents/{consent_id}/withdraw"),
            ("GET", "/v1/me/accesses"),
        )
    },
    "POST /v1/consents/texts": partial(_to_consent, where="/v1/consents/texts"),
    "POST /v1/consents": _to_consent,
    "GET /v1/consents": _consents,
    "GET /v1/consents/{consent_id}/receipt": partial(
        _to_consent, where="/v1/consents/{consent_id}/receipt"
    ),
    "POST /v1/consents/{consent_id}/withdraw": partial(
        _to_consent, where="/v1/consents/{consent_id}/withdraw"
    ),
    "GET /v1/needs": _as("nobody"),
    "POST /v1/needs": _as("other"),
    "GET /v1/needs/{need_id}": _need,
    "POST /v1/needs/{need_id}/reply": _need,
    "POST /v1/needs/{need_id}/close": _need,
    "GET /v1/runs/{run_id}/repairs": _own_run,
    "GET /v1/runs/{run_id}/repairs/summary": _own_run,
    "GET /v1/runs/{run_id}": _own_run,
    "GET /v1/runs/{run_id}/rejects": _own_run,
    "GET /v1/runs/{run_id}/rejects.csv": _own_run,
}


# What these operations cannot be asked without, by name, by address or by its last part.
_ASKED: Final = {
    "/v1/similar-datasets": {"dataset": "shelters"},
    "DELETE /v1/admin/quotas": {"dataset_id": "shelters"},
    "/v1/admin/audit/export": {"from": "1"},
    "/v1/log/proofs/inclusion": {"index": "0"},
    "/v1/log/proofs/consistency": {"from": "1"},
    "/v1/profiles/{name}/diff": {"from": "1", "to": "2"},
    "/v1/profiles/{name}/convert": {"from": "1", "to": "2"},
    "changes": {"purpose": "own-duty"},
    "POST /v1/subscriptions": {"purpose": "own-duty"},
    "diff": {"purpose": "own-duty", "from": "1"},
}


def _requests() -> list[tuple[str, str | None]]:
    """Every operation, once for every media type of its body."""
    return [
        (name, media_type)
        for name, operation in OPERATIONS.items()
        for media_type in operation.get("requestBody", {}).get("content") or (None,)
    ]


@pytest.mark.parametrize(("name", "media_type"), _requests())
async def test_the_example_request_is_answered_as_documented(
    stage: Stage, name: str, media_type: str | None
) -> None:
    operation = OPERATIONS[name]
    method, _, template = name.partition(" ")
    headers, path = await READY[name](stage)
    asked = _ASKED.get(template.rpartition("/")[2], {}) if method == "GET" else {}
    query = dict(_ASKED.get(name) or _ASKED.get(template, asked))
    if name.startswith("GET") and ("/records" in name or "/aggregate" in name):
        query = {"purpose": "own-duty"}

    body = _body(stage, operation, media_type)
    if "content" in body:
        headers = {**headers, "Content-Type": str(media_type)}

    response = await stage.world.client.request(
        method, template.format(**path), params=query, headers=headers, **body
    )

    documented = operation["responses"].get(str(response.status_code))
    assert response.is_success, response.text
    assert documented is not None, response.status_code
    if response.content:
        media = response.headers["content-type"].partition(";")[0]
        assert media in documented["content"]


def _body(stage: Stage, operation: dict[str, Any], media_type: str | None) -> dict[str, Any]:
    if media_type is None:
        return {}
    if media_type == "multipart/form-data" and operation["summary"] == "Import a sheet of systems":
        sheet = _example(operation["requestBody"]["content"]["text/csv"])
        return {"files": {"file": ("台帳.csv", sheet.encode(), "text/csv")}}
    if media_type == "multipart/form-data":
        return {"files": {"file": ("架空.csv", _FILE.encode(), "text/csv")}}
    example = _example(operation["requestBody"]["content"][media_type])
    if media_type == "application/x-www-form-urlencoded":
        # An assertion is good for a minute and once, so no document can hold a true one.
        named = {"jkt": _NEW_KEY.thumbprint()}
        own = {"client_assertion": stage.steward.assertion(cnf=named)}
        if "client_id" in example:
            own["client_id"] = stage.steward.id
        return {"data": {**example, **own}}
    if operation["summary"] == "Accept an invitation":
        example = {**example, "code": stage.code}
    made = {
        "Send a witness's cosignature": stage.cosignature,
        "Enrol an agent": stage.enrolment,
        "Send notices again": stage.replay,
    }
    example = made.get(operation["summary"], example)
    if not {"Consents", "Citizens"}.isdisjoint(operation["tags"]):
        example = stage.consent
    content = example if isinstance(example, str) else json.dumps(example)
    return {"content": content.encode()}
