"""Story 4: a vendor certifies its reservation system, is listed, and a project stands on it. Rows
R14, R15, R04."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from app.api.state import Platform
from app.conformance.refusals import CertificateInvalid
from app.conformance.signed import CERTIFICATE, opened
from app.findings import findings
from app.kit import clock
from app.kit.settings import Settings
from app.models.programmes import ProgrammeKind
from app.parties.seed import OPERATOR
from app.programmes import intake, programmes, sheet
from app.programmes.watch import SUBJECT, look_at_projects
from app.tasks.worker import Crew, work
from tests.certify.secure_provider import SecureProvider
from tests.cli.test_demo import Home
from tests.conformance.vendor import (
    CERTIFICATES,
    LISTED,
    RUNS,
    Office,
    examiner,
    sandbox,
)
from tests.conftest import ISSUER
from tests.programmes.office import FY2020, PROJECTS, title
from tests.programmes.office import Office as Funding
from tests.world import World

FAULTS = ("AUTH-01", "ERROR-01", "TIME-01", "CODE-01")
CLASSES = ["core", "query", "secure"]


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    home: Path = tmp_path_factory.mktemp("home")
    return Settings(home=home, public_url=ISSUER, outbound_allow="127.0.0.0/8")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def worker(platform: Platform) -> AsyncIterator[None]:
    stop = asyncio.Event()
    working = asyncio.create_task(work(platform.database, stop, Crew(examiner=examiner(platform))))
    yield
    stop.set()
    await working


@pytest.mark.usefixtures("worker")
async def test_a_vendor_is_told_its_faults_mends_them_and_is_listed_while_it_is_certified(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    office = await Office.of(world)
    async with sandbox(*FAULTS, secured=SecureProvider()) as vendor:
        service = await office.service(vendor.base, classes=CLASSES)
        assert (await office.lend(service)).status_code == 200

        # Not certified: declared, and in the other list alone.
        assert service not in await office.listed()
        assert service in await office.listed(state="declared")

        # The first official run names exactly the rules that are broken, in both languages.
        first = await office.ended(await office.run(service))
        assert (first["state"], sorted(first["broken"])) == ("failed", sorted(FAULTS))
        await _check_report(office, first["id"])
        refused = await office.send(CERTIFICATES, {"run": first["id"]}, by_operator=True)
        assert refused.json()["code"] == "conformance_run_not_passed"

        # The city's subsidised project names the service, and cannot be approved with it yet.
        funding = await Funding.of(world)
        project = await _project(world, funding, service)
        shut = await funding.move(project, "approved")
        assert (shut.status_code, shut.json()["code"]) == (409, "project_not_covered")
        assert len(shut.json()["errors"]) == 2  # core and query

        # Mended, it passes, and an operator certifies it; the vendor cannot itself.
        vendor.faults = ()
        second = await office.ended(await office.run(service))
        assert (second["state"], second["broken"]) == ("passed", [])
        own = await office.send(CERTIFICATES, {"run": second["id"]})
        assert own.json()["code"] == "role_missing"
        made = await office.send(CERTIFICATES, {"run": second["id"]}, by_operator=True)
        assert made.status_code == 201, made.text
        certificate = made.json()

    # With the certificate, the project is approved with what it asked for.
    approved = (await funding.move(project, "approved")).json()
    assert (approved["state"], approved["granted_thousand_yen"]) == ("approved", 5_000)
    assert await _found(world, project) == []

    # Everybody sees who is certified for what, until when, and for whom.
    (entry,) = (await world.client.get(LISTED)).json()["items"]
    assert (entry["id"], entry["vendor"], entry["standard"]) == (service, "堺市", first["standard"])
    assert entry["classes"] == CLASSES
    assert entry["municipalities"] == ["271004", "271403"]
    assert entry["expires_at"] == certificate["ends_at"]
    assert service not in await office.listed(state="declared")

    # The file verifies with kept keys and no network; one byte changed, and it does not.
    files = await _files(world, certificate["id"], tmp_path)
    shell = Home(tmp_path, 1)
    good = await asyncio.to_thread(shell.run, "verify-certificate", *files, "--json")
    assert good.returncode == 0, good.stderr
    told = json.loads(good.stdout)
    assert (told["vendor"], told["report_sha256"]) == ("堺市", second["report_sha256"])
    file = (tmp_path / "certificate.jws").read_text()
    keys = json.loads((tmp_path / "keys.json").read_bytes())
    assert opened(CERTIFICATE, file, keys)["jti"] == certificate["id"]
    with pytest.raises(CertificateInvalid):
        opened(CERTIFICATE, file[:300] + chr(ord(file[300]) ^ 1) + file[301:], keys)

    # A year later it is out of the list by itself.
    with monkeypatch.context() as moved:
        later = clock.now() + timedelta(days=366)
        moved.setattr(clock, "now", lambda: later)
        assert await office.listed() == []
        assert service in await office.listed(state="declared")
        assert await _found(world, project) == ["open"]

    # Revoked, it drops out at once, and the kept list says so to whoever verifies offline.
    where = f"{CERTIFICATES}/{certificate['id']}/revoke"
    revoked = await office.send(where, {"reason": "本番が試験と違う"}, by_operator=True)
    assert revoked.json()["state"] == "revoked"
    assert await office.listed() == []
    files = await _files(world, certificate["id"], tmp_path)
    gone = await asyncio.to_thread(shell.run, "verify-certificate", *files)
    assert gone.returncode == 4 and "revoked" in gone.stderr


async def _project(world: World, funding: Funding, service: str) -> dict[str, Any]:
    """The one of Osaka City among those of fiscal 2020, in a programme whose gate is switched on."""
    said = programmes.Said(
        title("補助"), ProgrammeKind.SUBSIDY, 2020, ["core", "query"], gated=True
    )
    async with world.platform.database.writing() as session:
        programme = await programmes.add(session, OPERATOR, said, by="test")
        await intake.take_in(session, programme, sheet.read(FY2020.read_bytes()), by="test")
    query = {"programme": str(programme.id), "organization": "271004"}
    listed = await world.client.get(PROJECTS, params=query, headers=funding.city)
    (project,) = listed.json()["items"]
    assert project["description"]["title"] == "行政手続きのオンライン化事業"
    named = await funding.put(project, services=[service])
    told: dict[str, Any] = named.json()
    return told


async def _found(world: World, project: dict[str, Any]) -> list[str]:
    await look_at_projects(world.platform.database)
    async with world.platform.database.reading() as session:
        return [each.state for each in await findings.about(session, SUBJECT, project["id"])]


async def _check_report(office: Office, run: str) -> None:
    where = f"{RUNS}/{run}/report"
    report = await office.see(where)
    broken = [each for each in report["rules"] if each["outcome"] == "broken"]
    for each in broken:
        assert each["ja"] and each["en"]
        assert each["findings"][0]["request"].startswith("curl -i")
        assert each["findings"][0]["response"].startswith("HTTP ")
    for form, begins in (("html", "<!doctype html>"), ("junit", "<?xml"), ("sarif", "{")):
        page = await office.world.client.get(where, params={"f": form}, headers=office.vendor)
        assert page.text.startswith(begins)
        assert all(rule in page.text for rule in FAULTS)


async def _files(world: World, certificate: str, folder: Path) -> list[str]:
    kept = {
        "certificate.jws": f"{CERTIFICATES}/{certificate}",
        "keys.json": "/v1/conformance/keys",
        "revocations.jws": "/v1/conformance/revocations",
    }
    for name, path in kept.items():
        (folder / name).write_bytes((await world.client.get(path)).content)
    paths = {name: str(folder / name) for name in kept}
    return [
        paths["certificate.jws"], "--jwks", paths["keys.json"],
        "--revocations", paths["revocations.jws"],
    ]  # fmt: skip
