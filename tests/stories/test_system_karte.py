"""Story 5: the operator's karte shows lock-in and duplicates. Rows R16, R17, R18, R20."""

import csv
import io
import os
import re
from pathlib import Path
from typing import Any

import pytest

from app.models.parties import Role
from tests.stock import stocked
from tests.systems.inventory import SYSTEMS, acting, keep, operator
from tests.world import KENKO, World

REFERENCE = (
    Path(os.environ.get("URBANOS_REAL_DATA", Path(__file__).parents[3] / "shared" / "data")).parent
    / "reference" / "duplicate_systems.csv"
)  # fmt: skip
pytestmark = pytest.mark.skipif(not REFERENCE.exists(), reason=f"left out: {REFERENCE}")
ATENA: dict[str, Any] = {
    "name": "統合宛名システム", "function": "address-record", "family": "resident",
    "hosting": "on_premises", "state": "running",
    "contract": {"since": "2014-10-01", "until": "2022-09-30", "renewals": 1, "bidders": 1},
    "costs": [
        {"year": 2018, "yen": 17_194_161}, {"year": 2019, "yen": 17_353_369},
        {"year": 2020, "yen": 8_756_286 * 2},
        {"year": 2020, "yen": 4_484_700, "kind": "revision", "note": "レイアウト改訂"},
    ],
}  # fmt: skip


def members(cell: str) -> list[str]:
    """The systems that a line of the reference names."""
    listed = cell.partition(" — ")[0]
    parts = re.split(r"; |\), ", listed)
    return [re.split(r" ?\(|, under test", part)[0].strip() for part in parts]


@pytest.mark.usefixtures("worker")
async def test_the_karte_and_the_duplicates_tell_what_is_bought_twice_and_whom_it_holds(
    world: World,
) -> None:
    admin = await operator(world)
    groups: dict[str, set[str]] = {}
    for row in csv.DictReader(io.StringIO(REFERENCE.read_text("utf-8-sig"))):
        groups[row["function"]] = set(members(row["members"]))
        for name in members(row["members"]):
            owner = "270008" if name in ("音声認識サービス", "次期電子申請システム") else "271004"
            await keep(world, admin, owner, name=name, function=row["function"])
    atena = await keep(world, admin, "271004", **ATENA)
    path = f"{SYSTEMS}/{atena['id']}"

    # The duplicates are those of the file, and none has a single member.
    found = (await world.client.get("/v1/duplicates", headers=admin)).json()["items"]
    told = {each["function"]: {member["name"] for member in each["members"]} for each in found}
    assert told == groups
    assert min(map(len, told.values())) >= 2

    # One group is dismissed, with who, when and why.
    proof = next(each for each in found if each["function"] == "covid-proof-and-questionnaire")
    body = {"members": [each["id"] for each in proof["members"]], "reason": "根拠法が異なる"}
    await world.client.post(
        f"/v1/duplicates/{proof['function']}/decisions", json=body, headers=admin
    )
    found = (await world.client.get("/v1/duplicates", headers=admin)).json()["items"]
    (decision,) = [each["decision"] for each in found if each["decision"]]
    assert decision["reason"] == "根拠法が異なる" and decision["by"] and decision["at"]

    # A fifth of one function is warned of the four that are there.
    fifth = await keep(world, admin, "271403", name="議事録AI", function="speech-to-text")
    assert {each["name"] for each in fifth["similar"]} == groups["speech-to-text"]
    assert len(fifth["similar"]) == 4

    # The karte: costs by year with their sum, and a score whose parts add up.
    await world.client.post(f"{path}/diagnoses", headers=admin)
    karte = (await world.client.get(f"{path}/karte", headers=admin)).json()
    assert karte["costs"] == [
        {"year": 2018, "yen": 17_194_161}, {"year": 2019, "yen": 17_353_369},
        {"year": 2020, "yen": 21_997_272},
    ]  # fmt: skip
    assert karte["total_yen"] == 56_544_802
    before = karte["diagnoses"][0]["score"]
    assert round(sum(part["points"] for part in before["parts"]), 1) == before["score"]
    assert karte["lowers_most"][0]["name"] == "export"
    assert [each["rule"] for each in karte["findings"]] == ["lock_in_high"]

    # Its export is proven by a load of this platform, and the score falls by what that part held.
    dataset = await stocked(world, [])
    writing = await world.token(await world.party(KENKO, Role.STEWARD), "catalogue:write")
    run = await world.load(writing, dataset, b"no,name\n1,a\n2,b\n")
    proven = {**ATENA, "export": {"formats": ["csv"], "run": run["id"]}}
    changed = await world.client.put(path, json={"description": proven}, headers=admin)
    assert changed.status_code == 200, changed.text
    await world.client.post(f"{path}/diagnoses", headers=admin)
    after = (await world.client.get(f"{path}/karte", headers=admin)).json()["diagnoses"]
    assert [each["score"]["score"] for each in after] == [before["score"] - 20, before["score"]]
    assert sum(part["points"] for part in after[0]["score"]["parts"]) == after[0]["score"]["score"]

    # The list has the city's systems alone for the city, and the page can be printed.
    city = await acting(world, "271004", Role.COORDINATOR)
    rows = (await world.client.get("/v1/lock-in", headers=city)).json()["items"]
    assert rows[0]["name"] == "統合宛名システム"
    assert {each["organization"] for each in rows} == {"271004"}
    page = await world.client.get(f"{path}/karte.html", headers=city)
    assert page.headers["content-type"].startswith("text/html")
    for shown in ("56,544,802", "統合宛名システム", "データの取り出し"):
        assert shown in page.text
    assert "<script" not in page.text and "http" not in page.text.partition("<body")[2]
