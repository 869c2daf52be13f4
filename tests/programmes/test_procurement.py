"""Joint procurements and shared solutions over HTTP: who takes part, who could join, what is reused."""

import secrets
from typing import Any, Final
from uuid import UUID, uuid4

import pytest

from app.audit.events import Event
from app.kit import clock
from app.models.parties import Role
from app.models.systems import System
from app.parties.seed import OPERATOR
from tests.programmes.office import Office, acting
from tests.systems.inventory import SYSTEMS, keep, statements
from tests.systems.inventory import acting as keeping
from tests.world import KENKO, SAKAI, World

JOINT: Final = "/v1/joint-procurements"
SHARED: Final = "/v1/shared-solutions"
TOYONO, KANAN, CHIHAYA, SHIMAMOTO = "273210", "273821", "273830", "273015"


def function() -> str:
    """A function that no other test has."""
    return f"chat-{secrets.token_hex(4)}"


async def chat_tool(world: World, lead: dict[str, str], does: str) -> dict[str, Any]:
    """The chat tool of three towns."""
    said = {
        "title": "チャットツール共同調達", "starts_on": "2027-04-01", "ends_on": "2030-03-31",
        "lots": [{"name": "職員向けチャット", "function": does}], "classes": ["core"],
        "know_how": ["LGWAN側からは閲覧のみとした。"],
        "documents": [{"title": "調達仕様書", "url": "https://www.example.jp/spec.pdf"}],
    }  # fmt: skip
    made = await world.client.post(JOINT, json={"description": said}, headers=lead)
    assert made.status_code == 201, made.text
    path = f"{JOINT}/{made.json()['id']}"
    for town in (KANAN, CHIHAYA):
        joined = await world.client.post(
            f"{path}/participants", json={"organization": town}, headers=lead
        )
        assert joined.status_code == 201, joined.text
    told: dict[str, Any] = joined.json()
    return told


async def test_three_towns_buy_together_and_a_fourth_joins_later(world: World) -> None:
    lead, village = await acting(world, TOYONO), await acting(world, CHIHAYA)
    later, other = await acting(world, SHIMAMOTO), await acting(world, SAKAI)
    joint = await chat_tool(world, lead, function())
    path = f"{JOINT}/{joint['id']}"
    body = {"organization": SHIMAMOTO, "since": "2028-04-01"}

    async def seen() -> list[int]:
        who: tuple[dict[str, str], ...] = (lead, village, later, other, {})
        return [(await world.client.get(path, headers=each)).status_code for each in who]

    before = await seen()
    by_other = await world.client.post(f"{path}/participants", json=body, headers=other)
    by_member = await world.client.post(f"{path}/participants", json=body, headers=village)
    too_late = await world.client.post(
        f"{path}/participants", json={**body, "since": "2030-04-01"}, headers=lead
    )
    joined = await world.client.post(f"{path}/participants", json=body, headers=lead)
    twice = await world.client.post(f"{path}/participants", json=body, headers=lead)
    listed = await world.client.get(JOINT, headers=later)
    after = await seen()

    assert (before, after) == ([200, 200, 404, 404, 401], [200, 200, 200, 404, 401])
    assert (by_other.status_code, by_member.json()["code"]) == (404, "not_for_organization")
    assert too_late.json()["errors"][0]["code"] == "date_out_of_contract"
    assert [(each["organization"], each["since"]) for each in joined.json()["participants"]] == [
        (KANAN, "2027-04-01"), (CHIHAYA, "2027-04-01"), (SHIMAMOTO, "2028-04-01"),
    ]  # fmt: skip
    assert twice.json()["code"] == "already_participant"
    assert joint["id"] in [each["id"] for each in listed.json()["items"]]
    changes = [each["change"] for each in await world.log(Event.JOINT_PROCUREMENT_CHANGED)]
    assert changes == [f"joined:{each}" for each in (KANAN, CHIHAYA, SHIMAMOTO)]

    out = await world.client.delete(f"{path}/participants/{SHIMAMOTO}", headers=lead)
    never = await world.client.delete(f"{path}/participants/{TOYONO}", headers=lead)
    pushed = await world.client.delete(f"{path}/participants/{KANAN}", headers=village)
    itself = await world.client.delete(f"{path}/participants/{CHIHAYA[:5]}", headers=village)
    assert len(out.json()["participants"]) == 2
    assert never.json()["code"] == "not_a_participant"
    assert (pushed.json()["code"], itself.status_code) == ("not_for_organization", 200)
    assert [each["organization"] for each in itself.json()["participants"]] == [KANAN]


async def test_the_next_candidates_are_those_whose_contract_ends_about_then(world: World) -> None:
    does, lead = function(), await acting(world, TOYONO)
    joint = await chat_tool(world, lead, does)
    operator = await keeping(world, OPERATOR, Role.OPERATOR)
    for owner, name, until, more in (
        (KENKO, "直前に終わる", "2027-03-31", {}),
        (SAKAI, "半年前に終わる", "2026-09-30", {}),
        (SHIMAMOTO, "半年後に終わる", "2027-09-30", {}),
        ("272043", "二年後に終わる", "2029-03-31", {}),
        (CHIHAYA, "参加している", "2027-03-31", {}),
        ("272051", "別の機能", "2027-03-31", {"function": f"{does}-x"}),
        ("272086", "廃止した", "2027-03-31", {"state": "retired"}),
        ("272116", "終わりを言わない", None, {}),
    ):
        contract = {"since": "2020-04-01", **({"until": until} if until else {})}
        await keep(world, operator, owner, **{
            "name": name, "function": does, "contract": contract,
            "costs": [{"year": 2020, "yen": 999}], "vendor": "秘密社", **more,
        })  # fmt: skip
    path = f"{JOINT}/{joint['id']}/candidates"

    found = await world.client.get(path, headers=lead)
    wide = await world.client.get(path, params={"window_days": 1000}, headers=lead)
    hidden = await world.client.get(path, headers=await acting(world, SAKAI))

    told = [(each["name"], each["joins_on"], each["reasons"][1]["code"]) for each in found.json()]
    assert told == [
        ("直前に終わる", "2027-04-01", "ends_after"),
        ("半年後に終わる", "2027-10-01", "ends_after"),
        ("半年前に終わる", "2027-04-01", "ends_before"),
    ]
    assert "182" in found.json()[2]["reasons"][1]["ja"]  # days without any contract
    assert [each["name"] for each in wide.json()][3:] == ["二年後に終わる"]
    assert "秘密社" not in found.text and "999" not in found.text
    assert hidden.status_code == 404


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"ends_on": "2027-04-01"}, "joint_procurement_invalid"),
        ({"classes": ["cores"]}, "requirements_invalid"),
        ({"starts_on": "2027-04-01", "ends_on": "9999-12-31"}, "invalid_input"),
        ({"documents": [{"title": "偽", "url": "javascript:alert(1)"}]}, "invalid_input"),
        ({"starts_on": "2028-04-01", "ends_on": "2031-03-31"}, "joint_procurement_invalid"),
    ],
)
async def test_a_joint_procurement_stays_true(
    world: World, wrong: dict[str, Any], code: str
) -> None:
    lead = await acting(world, TOYONO)
    joint = await chat_tool(world, lead, function())  # of towns that join on 2027-04-01
    body = {"description": {**joint["description"], **wrong}}

    refused = await world.client.put(f"{JOINT}/{joint['id']}", json=body, headers=lead)

    assert (refused.status_code, refused.json()["code"]) == (422, code)


async def test_everybody_finds_what_can_be_shared_and_who_registers_the_same_is_told(
    world: World,
) -> None:
    does, office = function(), await Office.of(world)
    service = await office.service()
    body = {
        "name": "施設予約（共同利用）", "function": does, "service": service, "users": [SAKAI, "27383"],
        "licence": "Apache-2.0", "contact": "共同利用担当", "how_to_join": "協定を結ぶ。",
    }  # fmt: skip

    made = await world.client.post(SHARED, json=body, headers=office.city)
    path = f"{SHARED}/{made.json()['id']}"
    certificate = await office.certify(service)
    listed = (await world.client.get(SHARED, params={"function": does})).json()["items"]
    others = (await world.client.get(SHARED, params={"function": function()})).json()["items"]
    own = await keeping(world, SAKAI, Role.STEWARD)
    system = {"description": {"name": "予約", "function": does}}
    registered = await world.client.post(SYSTEMS, json=system, headers=own)
    taken = await world.client.put(path, json=body, headers=await acting(world, SAKAI))
    wrong = await world.client.post(
        SHARED, json={**body, "users": ["999999-x"], "service": SAKAI.zfill(32)}, headers=office.city
    )  # fmt: skip
    gone = await world.client.delete(path, headers=office.city)

    assert (made.status_code, made.json()["state"]) == (201, "declared"), made.text
    assert [(each["state"], each["certificate"]) for each in listed] == [
        ("certified", str(certificate))
    ]
    assert (listed[0]["users"], others) == ([SAKAI, "273830"], [])
    (hint,) = registered.json()["shared"]
    assert hint == {
        "id": made.json()["id"], "name": "施設予約（共同利用）", "organization": "271004",
        "how_to_join": "協定を結ぶ。",
    }  # fmt: skip
    assert (taken.status_code, gone.status_code) == (404, 204)
    assert [each["pointer"] for each in wrong.json()["errors"]] == ["/users/0", "/service"]
    assert (await world.client.get(path)).status_code == 404


async def test_of_many_systems_those_that_end_nearest_are_told_and_no_more(world: World) -> None:
    lead, does = await acting(world, TOYONO), function()
    joint = await chat_tool(world, lead, does)
    now, near = clock.now(), UUID(int=2**128 - 1)
    async with world.platform.database.writing() as session:
        session.add_all(
            System(
                id=uuid4() if at else near, organization_id=SAKAI, name=f"架空{at}", function=does,
                state="running", revision=1, created_at=now, created_by="test", changed_at=now,
                changed_by="test", description={
                    "name": f"架空{at}", "function": does, "audience": ["staff"],
                    "contract": {"since": "2020-04-01", "until": f"2027-0{4 if at else 3}-30"},
                },
            )
            for at in range(201)
        )  # fmt: skip
    town = await keeping(world, SAKAI, Role.STEWARD)

    with statements(world) as asked:
        path = f"{JOINT}/{joint['id']}/candidates"
        found = (await world.client.get(path, headers=lead)).json()
    warned = await keep(world, town, SAKAI, name="もう一つ", function=does)
    users = {
        "name": "架空",
        "function": does,
        "licence": "MIT",
        "contact": "係",
        "how_to_join": "協定",
    }
    with statements(world) as shared:
        body = {**users, "users": [f"no-such-{at}" for at in range(50)]}
        refused = await world.client.post(SHARED, json=body, headers=lead)

    assert (len(found), found[0]["system"]) == (200, str(near))
    assert len(warned["similar"]) == 100
    assert len(refused.json()["errors"]) == 50
    assert len(asked) < 10 and len(shared) < 10
