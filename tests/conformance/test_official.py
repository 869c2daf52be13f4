"""Official runs and certificates: what a vendor, another vendor, an operator and a bad sandbox can do."""

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4
from xml.etree import ElementTree

import pytest
import pytest_asyncio

from app.api.state import Platform
from app.audit.events import Event
from app.certify.kept import unpacked
from app.cli.official import OfficialJudge
from app.conformance import runs
from app.conformance.control import PATH as CHALLENGE
from app.conformance.refusals import CertificateInvalid
from app.conformance.signed import CERTIFICATE, opened
from app.kit import clock
from app.kit.outbound import Allowed, Outbound
from app.kit.settings import Settings
from app.models.conformance import RunKind
from app.models.parties import Role
from app.oauth.keys import rotate
from app.tasks.examine import Examiner
from tests.certify.mutants import Answer
from tests.certify.secure_provider import KEY, SecureProvider
from tests.certify.writing_provider import TOKEN, Writing
from tests.conformance.vendor import (
    CERTIFICATES,
    LISTED,
    PROVEN,
    RUNS,
    SCOPE,
    SERVICES,
    Office,
    Sandbox,
    examiner,
    remembering,
    sandbox,
    say,
)
from tests.conftest import ISSUER
from tests.serving import served
from tests.systems import inventory
from tests.world import KENKO, SAKAI, World

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    home: Path = tmp_path_factory.mktemp("home")
    return Settings(home=home, public_url=ISSUER, outbound_allow="127.0.0.0/8")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def vendor() -> AsyncIterator[Sandbox]:
    async with sandbox() as made:
        yield made


@pytest_asyncio.fixture(loop_scope="session")
async def office(world: World) -> Office:
    return await Office.of(world)


# --- where a sandbox may be -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    ["https://10.0.0.1", "http://169.254.169.254/latest", "http://sandbox.example.jp:0",
     "ftp://example.jp", "https://a:b@example.jp", "https://[::1]"],
)  # fmt: skip
async def test_a_sandbox_that_is_not_public_cannot_be_registered(office: Office, url: str) -> None:
    body = {"name": "x", "sandbox_url": url, "classes": ["core"]}

    refused = await office.send(SERVICES, body)

    assert (refused.status_code, refused.json()["code"]) == (422, "outbound_refused")


async def test_a_name_that_leads_inside_when_the_run_is_made_is_never_asked(
    office: Office, vendor: Sandbox, platform: Platform
) -> None:
    async def inside(_host: str, _port: int) -> list[str]:
        return ["127.0.0.1"]

    service = await office.service(f"https://sandbox.example.jp:{vendor.base.rpartition(':')[2]}")
    run, asked = await office.run(service), vendor.asked
    outbound = Outbound(Allowed(), resolve=inside)
    try:
        judge = OfficialJudge(outbound, lambda: platform.sealer, 1e6)
        await Examiner(platform.database, outbound, judge).examine(UUID(run))
    finally:
        await outbound.close()

    told = await office.see(f"{RUNS}/{run}")
    assert (told["state"], told["error_code"]) == ("error", "conformance_sandbox_unusable")
    assert "not public" in told["error_en"]
    assert vendor.asked == asked


async def test_municipalities_are_codes_with_a_right_check_digit(office: Office) -> None:
    body = {
        "name": "x", "sandbox_url": "https://example.jp", "classes": ["core"],
        "municipalities": ["271004", "271005"],
    }  # fmt: skip

    refused = await office.send(SERVICES, body)

    assert [each["pointer"] for each in refused.json()["errors"]] == ["/municipalities/1"]


async def test_a_sandbox_whose_control_is_not_proven_is_not_judged_and_told_how(
    office: Office, vendor: Sandbox
) -> None:
    service = await office.service(vendor.base)
    PROVEN[vendor.base].remove(service)
    asked = vendor.asked
    told = await office.judged(service)

    assert (told["state"], told["error_code"]) == ("error", "conformance_sandbox_not_proven")
    assert vendor.asked == asked
    for words in (told["error_ja"], told["error_en"]):
        assert f"{vendor.base}/.well-known/urbanos-challenge" in words and service in words


# --- what the judge is lent -----------------------------------------------------------------------


async def test_secure_is_certified_where_it_was_seen_and_what_proves_the_client_is_never_shown(
    office: Office,
) -> None:
    async with sandbox(secured=SecureProvider()) as vendor:
        service = await office.service(vendor.base, classes=["secure"])
        without = await office.judged(service)
        lent = await office.lend(service)
        told = await office.judged(service)

        where = f"{SERVICES}/{service}/client"
        taken = await office.world.client.delete(where, headers=office.vendor)
        after = await office.see(f"{SERVICES}/{service}")

    assert (without["state"], without["error_code"]) == ("error", "conformance_rules_not_shown")
    assert "AUTH-01" in without["error_ja"] and "--guarded" in without["error_en"]
    assert (lent.status_code, told["state"], told["broken"]) == (200, "passed", []), told
    assert lent.json()["client"]["guarded"] == "sandbox-visits"
    report = await office.world.client.get(f"{RUNS}/{told['id']}/report", headers=office.vendor)
    assert {each["outcome"] for each in report.json()["rules"] if each["rule"][:4] == "AUTH"} == {
        "kept"
    }
    private = KEY.as_dict(private=True)["d"]
    assert str(private) not in lent.text + report.text + str(await office.world.log())
    assert (taken.status_code, after["client"]) == (204, None)


async def test_what_was_lent_is_of_one_address_and_of_its_vendor(
    office: Office, vendor: Sandbox, world: World
) -> None:
    service = await office.service(vendor.base)
    await office.lend(service)
    other = await Office.of(world)
    other.vendor = await world.token(await world.party(KENKO, Role.STEWARD), SCOPE)

    foreign = await other.lend(service)
    both = await office.lend(service, client_secret="another")
    junk = await office.lend(service, key='{"kty":"RSA"}')
    inside = await office.lend(service, authorization_server="http://169.254.169.254/")
    body = {"name": "x", "sandbox_url": f"{vendor.base}/other", "classes": ["core"]}
    moved = await world.client.put(f"{SERVICES}/{service}", json=body, headers=office.vendor)

    assert (foreign.status_code, foreign.json()["code"]) == (404, "service_not_found")
    for refused in (both, junk):
        assert refused.json()["code"] == "service_invalid"
        assert refused.json()["errors"][0]["pointer"] == "/key"
    assert inside.json()["code"] == "outbound_refused"
    assert moved.json()["client"] is None


async def test_push_is_refused_officially_and_told_where_it_is_judged(
    office: Office, vendor: Sandbox
) -> None:
    told = await office.judged(await office.service(vendor.base, classes=["push"]))

    assert (told["state"], told["error_code"]) == ("error", "conformance_class_not_official")
    assert "--callback" in told["error_ja"] and "--callback" in told["error_en"]


# --- runs -----------------------------------------------------------------------------------------


async def test_one_run_at_a_time_and_what_waits_can_be_cancelled(
    office: Office, vendor: Sandbox
) -> None:
    service = await office.service(vendor.base)
    run = await office.run(service)

    second = await office.send(RUNS, {"service": service})
    ended = await office.send(f"{RUNS}/{run}/cancel", {})
    again = await office.send(f"{RUNS}/{run}/cancel", {})

    assert (second.status_code, second.json()["code"]) == (409, "conformance_run_under_way")
    assert ended.json()["state"] == "cancelled"
    assert [each["run"] for each in await _log(office, Event.CONFORMANCE_CANCELLED)] == [run]
    assert again.json()["code"] == "conformance_run_has_ended"
    assert (await office.send(RUNS, {"service": service})).status_code == 202


async def test_a_run_that_is_made_ends_when_somebody_cancels_it(
    office: Office, vendor: Sandbox, platform: Platform
) -> None:
    run, asked = await office.run(await office.service(vendor.base)), vendor.asked
    vendor.awake.clear()
    try:
        making = asyncio.create_task(examiner(platform).examine(UUID(run)))
        async with asyncio.timeout(10):
            while vendor.asked == asked:  # noqa: ASYNC110 - of another task, told of by nobody
                await asyncio.sleep(0.01)
        told = await office.send(f"{RUNS}/{run}/cancel", {})
        await making
    finally:
        vendor.awake.set()

    assert told.json()["state"] == "running"
    assert (await office.see(f"{RUNS}/{run}"))["state"] == "cancelled"


async def test_a_sandbox_that_hangs_costs_no_more_than_the_run_may_take(
    office: Office, vendor: Sandbox, platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(runs.MOST_SECONDS, "full", 0.3)
    run = await office.run(await office.service(vendor.base))
    vendor.awake.clear()
    began = time.monotonic()
    try:
        await examiner(platform).examine(UUID(run))
    finally:
        vendor.awake.set()

    told = await office.see(f"{RUNS}/{run}")
    assert (told["state"], told["error_code"]) == ("error", "conformance_run_too_long")
    assert time.monotonic() - began < 5
    report = await office.world.client.get(f"{RUNS}/{run}/report", headers=office.vendor)
    assert report.json()["code"] == "conformance_report_not_found"


async def test_a_day_has_so_many_runs_and_no_more(
    office: Office, vendor: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "MOST_A_DAY", 1)
    service = await office.service(vendor.base)
    await office.send(f"{RUNS}/{await office.run(service)}/cancel", {})

    refused = await office.send(RUNS, {"service": service})

    assert (refused.status_code, refused.json()["code"]) == (429, "conformance_runs_too_many")
    assert 86_000 < int(refused.headers["Retry-After"]) <= 86_401


async def test_a_worker_that_was_thought_dead_writes_nothing(
    office: Office, vendor: Sandbox, platform: Platform
) -> None:
    run = UUID(await office.run(await office.service(vendor.base)))
    async with platform.database.writing() as session:
        first = await runs.claim(session, run)
    async with platform.database.writing() as session:
        await runs.claim(session, run)

    async with platform.database.writing() as session:
        with pytest.raises(runs.NotMine):
            await runs.end_cancelled(session, first)


async def test_a_run_that_nobody_makes_any_more_ends(
    office: Office, vendor: Sandbox, platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = await office.run(await office.service(vendor.base))
    later = clock.now() + timedelta(hours=4)
    with monkeypatch.context() as moved:
        moved.setattr(clock, "now", lambda: later)
        await examiner(platform).end_lost()

    told = await office.see(f"{RUNS}/{run}")
    assert (told["state"], told["error_code"]) == ("error", "conformance_run_given_up")


async def test_another_vendor_sees_neither_service_nor_run_nor_report(
    office: Office, vendor: Sandbox, world: World
) -> None:
    service = await office.service(vendor.base)
    run = await office.run(service)
    stranger = await world.token(await world.party(KENKO, Role.STEWARD), SCOPE)

    for path in (f"{SERVICES}/{service}", f"{RUNS}/{run}", f"{RUNS}/{run}/report"):
        assert (await world.client.get(path, headers=stranger)).status_code == 404
    started = await world.client.post(RUNS, json={"service": service}, headers=stranger)
    assert started.json()["code"] == "service_not_found"
    assert (await world.client.get(RUNS, headers=stranger)).json()["items"] == []
    body = {
        "organization": "271403", "name": "x", "sandbox_url": vendor.base, "classes": ["core"],
    }  # fmt: skip
    made = await world.client.post(SERVICES, json=body, headers=stranger)
    assert made.json()["code"] == "service_not_of_organization"


async def test_what_a_sandbox_says_is_text_in_every_form(office: Office) -> None:
    def spoiled(told: Answer) -> None:
        if told.status >= 400:
            told.json = {**told.json, "instance": None, "x": "<script>alert(1)</script>\x00"}

    async with sandbox() as hostile:
        hostile.also = spoiled
        run = await office.judged(await office.service(hostile.base))

    for form in ("html", "junit"):
        page = await office.world.client.get(
            f"{RUNS}/{run['id']}/report", params={"f": form}, headers=office.vendor
        )
        assert "<script" not in page.text and "&lt;script" in page.text
        assert page.headers["content-security-policy"].startswith("default-src 'none'")
    kept = await office.world.client.get(f"{RUNS}/{run['id']}/report?f=kept", headers=office.vendor)
    assert hashlib.sha256(kept.content).hexdigest() == run["report_sha256"]
    assert run["broken"] == ["ERROR-02"]
    assert [each["state"] for each in await _log(office, Event.CONFORMANCE_ENDED)] == ["failed"]


# --- runs that write ------------------------------------------------------------------------------


async def test_a_sandbox_that_was_lent_is_written_to_and_a_nightly_look_only_reads(
    office: Office, platform: Platform
) -> None:
    made, methods = Writing(), set[str]()
    before = dict(made.records)

    async def sandbox(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == CHALLENGE:
            await say(send, service.encode())
            return
        methods.add(scope["method"])
        await made(scope, receive, send)

    async with served(sandbox) as port:
        body = {
            "name": "架空施設予約", "sandbox_url": f"http://127.0.0.1:{port}",
            "dataset": "sandbox-facilities", "classes": ["write", "changes"],
        }  # fmt: skip
        service = (await office.send(SERVICES, body)).json()["id"]
        refused = await office.send(RUNS, {"service": service})
        lent = {**body, "sandbox_token": TOKEN, "sandbox_prefix": "judge-"}
        kept = await _put(office, service, lent)
        certificate = await office.certify(service)
        written = set(methods)
        methods.clear()
        smoke = await _night(office, platform, service)

    run = await office.see(f"{RUNS}/{certificate['run']}")
    report = await office.world.client.get(f"{RUNS}/{run['id']}/report", headers=office.vendor)
    assert (refused.status_code, refused.json()["code"]) == (
        409, "conformance_sandbox_token_missing"
    )  # fmt: skip
    assert kept["has_token"] and kept["sandbox_prefix"] == "judge-"
    assert written == {"GET", "POST", "DELETE"} and made.records == before
    assert (smoke["state"], methods) == ("passed", {"GET"})
    assert report.json()["records"]["written"] == report.json()["records"]["removed"] > 40
    assert TOKEN not in f"{kept}{run}{report.text}{await office.world.log()}"


async def test_a_class_is_not_certified_by_the_few_rules_that_a_sandbox_lets_be_seen(
    platform: Platform,
) -> None:
    class Pleads(Writing):
        """Takes nothing until most rules have been looked at."""

        batches = 0

        def upserted(self, records: list[dict[str, Any]]) -> dict[str, Any]:
            self.batches += 1
            return super().upserted(records)

        def wrong_in(self, record: dict[str, Any]) -> list[str]:
            return ["name"] if self.batches < 3 else super().wrong_in(record)

    def sealed(service: UUID) -> bytes:
        return platform.sealer.seal(TOKEN.encode(), about=f"conformance/{service}/token")

    judge = OfficialJudge(platform.outbound, lambda: platform.sealer, 1e6)
    async with served(Pleads()) as port:
        base, service = f"http://127.0.0.1:{port}", uuid4()
        work = runs.Work(
            uuid4(), uuid4(), RunKind.FULL, base, "sandbox-facilities", ("write",),
            service_id=service, prefix="judge-", sealed_token=sealed(service),
        )  # fmt: skip
        found = await judge(work)

    assert found.passed and found.unseen == ("IDEMP-01",)
    assert "takes no record" in found.why_unseen[1]
    assert unpacked(found.report).seed != 0  # nobody can know what will be asked


async def test_a_token_never_goes_to_another_sandbox_than_the_one_it_was_lent_for(
    office: Office, vendor: Sandbox, platform: Platform
) -> None:
    lent = {"sandbox_token": TOKEN, "sandbox_prefix": "judge-", "classes": ["core", "write"]}
    service = await office.service(vendor.base, **lent)
    run = UUID(await office.run(service))
    elsewhere = {"name": "x", "sandbox_url": vendor.base + "/else", "classes": ["core", "write"]}

    alone = await office.send(SERVICES, {**elsewhere, "sandbox_token": TOKEN})
    moved = await _put(office, service, {**elsewhere, **lent, "dataset": "sandbox-facilities"})
    async with platform.database.writing() as session:
        work = await runs.claim(session, run)
    left = await _put(office, service, elsewhere)

    assert [each["pointer"] for each in alone.json()["errors"]] == ["/sandbox_prefix"]
    assert moved["has_token"] and (work.sealed_token, work.prefix) == (None, None)
    assert (left["has_token"], left["sandbox_prefix"]) == (False, None)


async def _put(office: Office, service: str, body: dict[str, Any]) -> dict[str, Any]:
    answer = await office.world.client.put(
        f"{SERVICES}/{service}", json=body, headers=office.vendor
    )
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


# --- certificates ---------------------------------------------------------------------------------


async def test_a_certificate_stands_on_a_whole_fresh_run_of_the_service_as_it_is(
    office: Office, vendor: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = await office.service(vendor.base)
    run = (await office.judged(service))["id"]

    async def refusal() -> str:
        answer = await office.send(CERTIFICATES, {"run": run}, by_operator=True)
        return str(answer.json()["detail"]) if answer.status_code == 409 else answer.text

    with monkeypatch.context() as moved:
        later = clock.now() + timedelta(days=31)
        moved.setattr(clock, "now", lambda: later)
        # The operator's token has expired by then; the rule is asked for without a door.
        assert "too old" in await _issue_refused(office, run)
    body = {"name": "y", "sandbox_url": "https://else.example.jp", "classes": ["core"]}
    changed = await office.world.client.put(
        f"{SERVICES}/{service}", json=body, headers=office.vendor
    )
    assert changed.status_code == 200
    assert "has changed since" in await refusal()
    body |= {"sandbox_url": vendor.base, "dataset": "sandbox-facilities"}
    await office.world.client.put(f"{SERVICES}/{service}", json=body, headers=office.vendor)
    assert '"state":"valid"' in await refusal()
    assert "has its certificate already" in await refusal()


async def test_only_an_operator_revokes_and_only_once(office: Office, vendor: Sandbox) -> None:
    certificate = await office.certify(await office.service(vendor.base))
    where, body = f"{CERTIFICATES}/{certificate['id']}/revoke", {"reason": "試験"}

    by_vendor = await office.send(where, body)
    first = await office.send(where, body, by_operator=True)
    second = await office.send(where, body, by_operator=True)

    assert by_vendor.json()["code"] == "role_missing"
    assert (first.json()["state"], first.json()["revoked_reason"]) == ("revoked", "試験")
    assert second.json()["code"] == "certificate_revoked"


async def test_a_certificate_is_no_token_and_a_token_no_certificate(
    office: Office, vendor: Sandbox
) -> None:
    certificate = await office.certify(await office.service(vendor.base))
    client = office.world.client
    text = (await client.get(f"{CERTIFICATES}/{certificate['id']}")).text
    keys = (await client.get("/v1/conformance/keys")).json()

    as_token = await client.get(SERVICES, headers={"Authorization": f"Bearer {text}"})

    assert (as_token.status_code, as_token.json()["code"]) == (401, "invalid_token")
    assert opened(CERTIFICATE, text, keys)["jti"] == certificate["id"]
    token = office.vendor["Authorization"].partition(" ")[2]
    for other in (token, (await client.get("/v1/conformance/revocations")).text):
        with pytest.raises(CertificateInvalid):
            opened(CERTIFICATE, other, keys)


async def test_a_certificate_outlives_the_key_that_signed_it_unless_that_leaked(
    office: Office, vendor: Sandbox, platform: Platform
) -> None:
    certificate = await office.certify(await office.service(vendor.base))
    where, client = f"{CERTIFICATES}/{certificate['id']}", office.world.client

    async def keys(path: str) -> Any:
        return (await client.get(path)).json()

    async def turn(*, emergency: bool = False) -> None:
        async with platform.database.writing() as session:
            await platform.database.driver_of(session)
            await rotate(session, platform.sealer, by="test", early=True, emergency=emergency)
        platform.live.changed("keys", "current")
        await platform.keys.read_again()

    old = (await client.get(where)).text
    await turn()
    await platform.database.pool.execute(
        "UPDATE signing_key SET changed_at = changed_at - interval '1 day'"
    )
    await turn()

    assert opened(CERTIFICATE, old, await keys("/v1/conformance/keys"))
    with pytest.raises(CertificateInvalid):
        opened(CERTIFICATE, old, await keys("/oauth/jwks"))

    leaked = (await client.get(where)).text
    await turn(emergency=True)
    with pytest.raises(CertificateInvalid):
        opened(CERTIFICATE, leaked, await keys("/v1/conformance/keys"))
    assert opened(CERTIFICATE, (await client.get(where)).text, await keys("/v1/conformance/keys"))


async def test_a_profile_is_certified_where_every_record_is_of_it(
    vendor: Sandbox, platform: Platform
) -> None:
    def named(told: Answer) -> None:
        if told.path == "/v1/datasets/sandbox-facilities" and told.status == 200:
            told.json = {**told.json, "profile": {"name": "facility", "version": 2}}
        if told.path == "/v1/datasets" and told.status == 200:
            entries = [
                {**each, "profile": {"name": "facility", "version": 2}}
                for each in told.json["datasets"]
            ]
            told.json = {**told.json, "datasets": entries}

    judge = OfficialJudge(platform.outbound, lambda: platform.sealer, 1e6)
    work = runs.Work(uuid4(), uuid4(), RunKind.SMOKE, vendor.base, None, ("core",))
    known: tuple[dict[str, dict[str, Any]], ...] = (
        {"facility/2": {"required": ["no", "name"]}},
        {"facility/2": {"required": ["no", "lacking"]}},
        {"facility/1": {}},
    )
    found = []
    vendor.also = named
    try:
        for layouts in known:
            found.append((await judge(replace(work, layouts=layouts))).profile)
    finally:
        vendor.also = None

    assert found == ["facility/2", None, None]


async def test_a_certificate_ends_with_the_major_version_of_the_standard(
    office: Office, vendor: Sandbox, platform: Platform
) -> None:
    run = (await office.judged(await office.service(vendor.base), remembering(platform)))["id"]
    for days, status in ((-1, 409), (30, 201)):
        until = clock.now() + timedelta(days=days)
        await platform.database.pool.execute(
            "UPDATE conformance_run SET standard_until = $2 WHERE id = $1", UUID(run), until
        )
        made = await office.send(CERTIFICATES, {"run": run}, by_operator=True)
        assert made.status_code == status, made.text

    assert made.json()["claims"]["exp"] == int(until.timestamp())


async def test_a_certificate_ends_with_the_version_of_its_profile(
    office: Office, vendor: Sandbox, platform: Platform
) -> None:
    service = await office.service(vendor.base)
    run = (await office.judged(service, remembering(platform)))["id"]
    pool = platform.database.pool
    ((name, version),) = await pool.fetch("SELECT name, version FROM profile LIMIT 1")
    await pool.execute(
        "UPDATE conformance_run SET profile = $2 WHERE id = $1", UUID(run), f"{name}/{version}"
    )
    made = (await office.send(CERTIFICATES, {"run": run}, by_operator=True)).json()
    assert made["claims"]["profiles"] == [f"{name}/{version}"]
    assert service in await office.listed()

    try:
        await pool.execute(
            "UPDATE profile SET deprecated_at = now(), sunset_at = now() WHERE (name, version) ="
            " ($1, $2)", name, version,
        )  # fmt: skip
        assert service not in await office.listed()
        client = office.world.client
        told = (await client.get(CERTIFICATES, params={"service": service})).json()["items"]
        assert [each["state"] for each in told] == ["expired"]
        keys = (await client.get("/v1/conformance/keys")).json()
        text = (await client.get("/v1/conformance/revocations")).text
        listed = opened("conformance-revocations+jwt", text, keys)["revoked"]
        assert made["id"] in [each["id"] for each in listed]
    finally:
        await pool.execute("UPDATE profile SET deprecated_at = NULL, sunset_at = NULL")


# --- the public list ------------------------------------------------------------------------------


async def test_the_list_is_asked_by_municipality_class_and_page(
    office: Office, vendor: Sandbox
) -> None:
    one = await office.service(vendor.base, municipalities=["272124"], classes=["core", "query"])
    two = await office.service(vendor.base, municipalities=["272124", "272132"])

    async def listed(**query: Any) -> list[str]:
        return await office.listed(state="declared", municipality="272124", **query)

    assert sorted(await listed()) == sorted([one, two])
    assert await listed(**{"class": "query"}) == [one]
    page = (
        await office.world.client.get(
            LISTED, params={"state": "declared", "municipality": "272124", "limit": 1}
        )
    ).json()
    assert [page["items"][0]["id"], *await listed(cursor=page["next"])] == sorted([one, two])

    await office.world.client.delete(f"{SERVICES}/{two}", headers=office.vendor)
    assert await listed() == [one]
    assert "sandbox" not in str(page["items"])


async def test_the_badge_tells_what_is_so_now_and_runs_nothing(
    office: Office, vendor: Sandbox
) -> None:
    service = await office.service(vendor.base, name='"><script>alert(1)</script>&')
    where = f"{LISTED}/{service}/badge.svg"

    declared = await office.world.client.get(where)
    certificate = await office.certify(service)
    certified = await office.world.client.get(where)

    assert "未認証" in declared.text and certificate["ends_at"][:10] in certified.text
    for badge in (declared, certified):
        drawn = ElementTree.fromstring(badge.text)
        kinds = {each.tag.partition("}")[2] for each in drawn.iter()}
        assert kinds == {"svg", "title", "rect", "g", "text"}
        assert badge.headers["content-type"] == "image/svg+xml"
    missing = await office.world.client.get(f"{LISTED}/{uuid4()}/badge.svg")
    assert missing.json()["code"] == "certified_service_not_found"


# --- each night -----------------------------------------------------------------------------------


async def test_a_certified_service_that_breaks_a_rule_is_a_finding_until_it_is_mended(
    office: Office, vendor: Sandbox, platform: Platform
) -> None:
    service = await office.service(vendor.base)
    await office.certify(service)

    asked = vendor.asked
    vendor.faults = ("TIME-01",)
    try:
        smoke = await _night(office, platform, service)
    finally:
        vendor.faults = ()

    assert (smoke["kind"], smoke["state"], smoke["broken"]) == ("smoke", "failed", ["TIME-01"])
    assert vendor.asked - asked <= 40
    refused = await office.send(CERTIFICATES, {"run": smoke["id"]}, by_operator=True)
    assert "no whole run" in refused.json()["detail"]
    (finding,) = await _findings(platform, service, "conformance_broken")
    assert (finding["state"], finding["owner_id"]) == ("open", "271403")
    assert "TIME-01" in finding["ja"] and "TIME-01" in finding["en"]

    await _night(office, platform, service)
    (finding,) = await _findings(platform, service, "conformance_broken")
    assert finding["state"] == "resolved"


async def test_a_certified_service_whose_sandbox_is_gone_is_another_finding(
    office: Office, platform: Platform
) -> None:
    async with sandbox() as leaving:
        service = await office.service(leaving.base)
        await office.certify(service)

    smoke = await _night(office, platform, service)

    assert (smoke["state"], smoke["broken"]) == ("error", [])
    assert await _findings(platform, service, "conformance_broken") == []
    (finding,) = await _findings(platform, service, "sandbox_unusable")
    assert smoke["error_en"] in finding["en"]


async def test_the_end_of_a_certificate_is_told_once_a_step_and_settled_by_the_next(
    office: Office, vendor: Sandbox, platform: Platform
) -> None:
    service = await office.service(vendor.base)
    certificate = await office.certify(service)
    steps = []
    for days in (90, 59, 58, 20, 2):
        await platform.database.pool.execute(
            "UPDATE conformance_certificate SET expires_at = $2 WHERE id = $1",
            UUID(certificate["id"]), clock.now() + timedelta(days=days),
        )  # fmt: skip
        await examiner(platform).nightly()
        found = await _findings(platform, service, "certificate_ends")
        steps.append(sum(each["seen"] for each in found))

    assert steps == [0, 1, 1, 2, 3]
    await _cancel(office, service)
    await office.certify(service)
    assert {each["state"] for each in await _findings(platform, service, "certificate_ends")} == {
        "resolved"
    }


async def _night(office: Office, platform: Platform, service: str) -> dict[str, Any]:
    """What the night's look at a service gave."""
    at_work = examiner(platform)
    await at_work.nightly()
    told: list[dict[str, Any]] = (await office.see(f"{RUNS}?service={service}&limit=1"))["items"]
    await replace(at_work).examine(UUID(told[0]["id"]))
    found: dict[str, Any] = await office.see(f"{RUNS}/{told[0]['id']}")
    return found


async def _cancel(office: Office, service: str) -> None:
    (told,) = (await office.see(f"{RUNS}?service={service}&limit=1"))["items"]
    await office.send(f"{RUNS}/{told['id']}/cancel", {})


async def _findings(platform: Platform, service: str, rule: str) -> list[dict[str, Any]]:
    found = await platform.database.pool.fetch(
        "SELECT * FROM finding WHERE subject_id = $1 AND rule = $2", service, rule
    )
    return [dict(each) for each in found]


async def _issue_refused(office: Office, run: str) -> str:
    from app.conformance import certificates  # noqa: PLC0415
    from app.conformance.refusals import RunNotPassed  # noqa: PLC0415

    async with office.world.platform.database.writing() as session:
        with pytest.raises(RunNotPassed) as refused:
            found = await runs.get(session, UUID(run), None)
            await certificates.issue(session, found, issuer=ISSUER, by="test")
    return refused.value.words("en")


async def _log(office: Office, event: Event) -> list[dict[str, Any]]:
    return await office.world.log(event)


async def test_the_karte_of_a_system_knows_whether_its_service_is_certified_now(
    office: Office, vendor: Sandbox
) -> None:
    service = await office.service(vendor.base)
    headers = await inventory.operator(office.world)
    certificates = [{"name": "core", "until": "2099-03-31", "service": service}]
    system = await inventory.keep(
        office.world, headers, SAKAI, name="予約", function="f-certified", certificates=certificates
    )

    async def points() -> float:
        where = f"{inventory.SYSTEMS}/{system['id']}/diagnoses"
        told = (await office.world.client.post(where, headers=headers)).json()
        (part,) = [each for each in told["score"]["parts"] if each["name"] == "certificate"]
        return float(part["points"])

    told_of = await points()
    certificate = await office.certify(service)
    proven = await points()
    reason = {"reason": "試験"}
    await office.send(f"{CERTIFICATES}/{certificate['id']}/revoke", reason, by_operator=True)

    assert (told_of, proven, await points()) == (5, 0, 5)
