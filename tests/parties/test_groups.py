"""A group's operator manages its members' datasets, for as long as they are members, and reads none."""

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import httpx
import pytest
import pytest_asyncio

from app.audit.events import Event
from app.kit import clock
from app.models.parties import Role
from app.parties.seed import OPERATOR
from tests.oauth import senders
from tests.stock import declared
from tests.world import KENKO, SAKAI, Party, World

pytestmark = pytest.mark.usefixtures("worker")
TOWN, LATER, STRANGER = "273210", "273015", "273821"
CLOUD = "municipal-cloud-office"  # the shared operator: a joint body of its own
GROUP = "municipal-cloud"
ROWS = "番号,名称,数量\n1,架空,3\n2,架空,多数\n".encode()
_FIELDS = (
    ("no", "code", {"key": True, "label": "番号"}),
    ("name", "text", {"label": "名称"}),
    ("size", "integer", {"label": "数量"}),
)


@dataclass(slots=True)
class Group:
    """The group, and who calls for its operator and its members."""

    world: World
    admin: dict[str, str]
    shared: Party
    manager: dict[str, str]
    town: dict[str, str]

    async def member(self, organization: str, since: int, **more: Any) -> httpx.Response:
        body = {"organization": organization, "agreement": "協定書（架空）", "since": day(since)}
        path = f"/v1/admin/groups/{GROUP}/members"
        return await self.world.client.post(path, json={**body, **more}, headers=self.admin)

    async def register(self, publisher: str, **more: Any) -> httpx.Response:
        body = {
            "title_ja": "試験",
            "publisher": publisher,
            "steward": {"name": "試験"},
            "update_frequency": "annual",
            "fields": [_field(each) for each in declared(_FIELDS)],
            **more,
        }
        return await self.world.client.post("/v1/datasets", json=body, headers=self.manager)

    async def dataset(self, **more: Any) -> str:
        made = await self.register(TOWN, **more)
        assert made.status_code == 201, made.text
        return str(made.json()["id"])


def _field(field: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in field.items() if name != "column"}


def day(offset: int) -> str:
    return str(clock.now().astimezone(clock.TOKYO).date() + timedelta(days=offset))


@pytest_asyncio.fixture(loop_scope="session")
async def group(world: World) -> Group:
    """A group with one member since yesterday; the rest of the module's members are taken out."""
    pool = world.platform.database.pool
    await pool.execute(
        "DELETE FROM group_member; DELETE FROM tenant_group"
        " WHERE id NOT IN (SELECT group_id FROM access_request WHERE group_id IS NOT NULL)"
    )
    admin = await world.token(await world.party(OPERATOR, Role.OPERATOR), "admin:read admin:write")
    office = {"id": CLOUD, "kind": "joint_association", "name_ja": "共同利用事務局（架空）"}
    await world.client.post("/v1/admin/organizations", json=office, headers=admin)
    body = {"id": GROUP, "name_ja": "共同利用", "operator": CLOUD, "purpose": "共同運用"}
    made = await world.client.post("/v1/admin/groups", json=body, headers=admin)
    assert made.status_code == 201, made.text
    shared = await world.party(CLOUD, Role.STEWARD)
    manager = await world.token(shared, "catalogue:write")
    town = await world.token(
        await world.party(TOWN, Role.STEWARD), "catalogue:write organization:write"
    )
    found = Group(world, admin, shared, manager, town)
    assert (await found.member(TOWN, since=-1)).status_code == 201
    return found


async def test_the_operator_registers_loads_and_publishes_for_a_member(
    client: httpx.AsyncClient, world: World, group: Group
) -> None:
    dataset = await group.dataset(data_class="public", license="CC-BY-4.0")

    run = await world.load(group.manager, dataset, ROWS)
    await world.publish(group.manager, run)
    rejects = await client.get(f"/v1/runs/{run['id']}/rejects", headers=group.manager)

    assert (run["rows_accepted"], run["rows_rejected"]) == (1, 1)
    assert [each["code"] for each in rejects.json()["items"]] == ["invalid_integer"]
    records = await client.get(f"/v1/datasets/{dataset}/records")
    assert [record["no"] for record in records.json()["records"]] == ["1"]
    shown = (await client.get(f"/v1/datasets/{dataset}")).json()
    assert shown["publisher"]["id"] == TOWN


async def test_every_act_for_a_member_is_in_the_log_with_both_organisations(
    world: World, group: Group
) -> None:
    dataset = await group.dataset()
    run = await world.load(group.manager, dataset, ROWS)
    await world.client.patch(
        f"/v1/datasets/{dataset}", json={"title_en": "Test"}, headers=group.manager
    )
    await world.client.get(f"/v1/runs/{run['id']}/rejects.csv", headers=group.manager)

    entries = await world.log(Event.MANAGED_FOR_MEMBER)

    assert {(e["operator"], e["member"], e["client"]) for e in entries} == {
        (CLOUD, TOWN, group.shared.id)
    }
    acts = [e["act"] for e in entries]
    assert acts[:2] == ["POST /v1/datasets", f"POST /v1/datasets/{dataset}/versions"]
    assert acts[-2:] == [f"PATCH /v1/datasets/{dataset}", f"GET /v1/runs/{run['id']}/rejects.csv"]


async def test_the_members_own_acts_are_not_told_as_the_operators(
    world: World, group: Group
) -> None:
    dataset = await group.dataset()
    before = len(await world.log(Event.MANAGED_FOR_MEMBER))

    changed = await world.client.patch(
        f"/v1/datasets/{dataset}", json={"title_en": "Test"}, headers=group.town
    )

    assert changed.status_code == 200
    assert len(await world.log(Event.MANAGED_FOR_MEMBER)) == before


@pytest.mark.parametrize("data_class", ["restricted", "internal"])
async def test_managing_gives_no_right_to_read_records(
    client: httpx.AsyncClient, world: World, group: Group, data_class: str
) -> None:
    dataset = await group.dataset(data_class=data_class)
    run = await world.load(group.town, dataset, ROWS)
    await world.publish(group.town, run)
    path = f"/v1/datasets/{dataset}/records"

    token = await senders.asked(world, group.shared, f"dataset:{dataset}:read")
    answers = [
        await client.get(path, params=asked, headers=group.manager)
        for asked in (
            {"purpose": "own-duty"},
            {"purpose": "own-duty", "originals": "true"},
            {"purpose": "system-operation", "f": "csv"},
        )
    ]
    written = await client.post(path, json=[{"no": "9"}], headers=group.manager)

    assert token.json()["error"] == "invalid_scope"
    assert [answer.status_code for answer in [*answers, written]] == [403] * 4
    assert {e["reason"] for e in await world.log(Event.RECORDS_REFUSED)} == {"insufficient_scope"}


async def test_with_an_agreement_the_operator_reads_as_any_consumer(
    client: httpx.AsyncClient, world: World, group: Group
) -> None:
    dataset = await group.dataset(data_class="restricted")
    await world.publish(group.town, await world.load(group.town, dataset, ROWS))
    asker = await world.party(CLOUD, Role.DEVELOPER)
    asking = await world.token(asker, "agreements:write")
    asked = {"dataset": dataset, "purpose": "system-operation", "legal_basis": "協定（架空）"}
    request = await client.post("/v1/access-requests", json=asked, headers=asking)
    approve = f"/v1/access-requests/{request.json()['id']}/approve"
    own = await world.token(group.shared, "agreements:write")

    by_itself = await client.post(approve, json={}, headers=own)
    steward = await world.token(await world.party(TOWN, Role.STEWARD), "agreements:write")
    by_the_town = await client.post(approve, json={}, headers=steward)

    assert by_itself.status_code in {403, 404}  # who manages does not agree with itself
    assert by_the_town.status_code == 201, by_the_town.text
    reading = await world.token(asker, f"dataset:{dataset}:read")
    read = await client.get(
        f"/v1/datasets/{dataset}/records",
        params={"purpose": "system-operation"},
        headers=reading,
    )
    assert read.status_code == 200


@pytest.mark.parametrize("file", ["rejects", "rejects.csv"])
async def test_rows_of_files_that_the_member_loaded_itself_are_not_shown(
    client: httpx.AsyncClient, world: World, group: Group, file: str
) -> None:
    dataset = await group.dataset(data_class="restricted")
    theirs = await world.load(group.town, dataset, ROWS)
    mine = await world.load(group.manager, dataset, ROWS + b"3,x,y\n")

    refused = await client.get(f"/v1/runs/{theirs['id']}/{file}", headers=group.manager)
    shown = await client.get(f"/v1/runs/{mine['id']}/{file}", headers=group.manager)
    report = await client.get(f"/v1/runs/{theirs['id']}", headers=group.manager)

    assert (refused.status_code, refused.json()["code"]) == (403, "rows_of_a_member")
    assert (await world.log(Event.CALL_REFUSED))[-1]["code"] == "rows_of_a_member"
    assert shown.status_code == 200
    assert report.json()["rows_rejected"] == 1  # how it went may be known, the rows may not


async def test_a_hidden_column_keeps_the_members_public_files_closed(
    client: httpx.AsyncClient, world: World, group: Group
) -> None:
    fields = [_field(each) for each in declared(_FIELDS)]
    fields[1]["visibility"] = "restricted"
    dataset = await group.dataset(data_class="public", license="CC-BY-4.0", fields=fields)
    theirs = await world.load(group.town, dataset, ROWS)

    refused = await client.get(f"/v1/runs/{theirs['id']}/rejects.csv", headers=group.manager)

    assert (refused.status_code, refused.json()["code"]) == (403, "rows_of_a_member")


async def test_rights_begin_on_the_day_of_the_agreement(
    world: World, group: Group, monkeypatch: pytest.MonkeyPatch
) -> None:
    await group.member(LATER, since=3)

    before = await group.register(LATER)
    monkeypatch.setattr("app.parties.groups.today", lambda: date.fromisoformat(day(2)))
    eve = await group.register(LATER)
    monkeypatch.setattr("app.parties.groups.today", lambda: date.fromisoformat(day(3)))
    on_the_day = await group.register(LATER)

    assert [each.status_code for each in (before, eve, on_the_day)] == [403, 403, 201]
    assert before.json()["code"] == "not_the_publisher"
    assert [e["code"] for e in await world.log(Event.CALL_REFUSED)] == ["not_the_publisher"] * 2


async def test_rights_end_on_the_day_named(group: Group, monkeypatch: pytest.MonkeyPatch) -> None:
    await group.member(LATER, since=-5, until=day(1))

    today = await group.register(LATER)
    monkeypatch.setattr("app.parties.groups.today", lambda: date.fromisoformat(day(1)))
    tomorrow = await group.register(LATER)

    assert (today.status_code, tomorrow.status_code) == (201, 403)


async def test_a_member_leaves_and_the_operators_rights_end_at_once(
    client: httpx.AsyncClient, world: World, group: Group
) -> None:
    dataset = await group.dataset()

    left = await client.post(f"/v1/groups/{GROUP}/leave", headers=group.town)
    path = f"/v1/datasets/{dataset}"
    refused = await client.patch(path, json={"title_en": "Test"}, headers=group.manager)
    again = await client.post(f"/v1/groups/{GROUP}/leave", headers=group.town)

    assert left.status_code == 200, left.text
    assert left.json()["members"][0]["ended_at"] is not None
    assert (refused.status_code, refused.json()["code"]) == (403, "not_the_publisher")
    assert (again.status_code, again.json()["code"]) == (409, "not_a_member")
    entries = [e for e in await world.log(Event.GROUP_CHANGED) if e["change"] == "left"]
    assert [(e["member"], e["operator"]) for e in entries] == [(TOWN, CLOUD)]
    assert (await group.member(TOWN, since=0)).status_code == 201
    changed = await client.patch(path, json={"title_en": "Test"}, headers=group.manager)
    assert changed.status_code == 200


async def test_the_platforms_operator_can_end_a_membership(
    client: httpx.AsyncClient, group: Group
) -> None:
    ended = await client.post(f"/v1/admin/groups/{GROUP}/members/27321/end", headers=group.admin)

    assert ended.json()["members"][0]["ended_at"] is not None
    assert (await group.register(TOWN)).status_code == 403


async def test_others_gain_nothing_by_the_group(
    client: httpx.AsyncClient, world: World, group: Group
) -> None:
    dataset = await group.dataset(hidden=True)
    path = f"/v1/datasets/{dataset}"
    body = {"title_en": "Test"}
    other_town = await world.token(await world.party(STRANGER, Role.STEWARD), "catalogue:write")
    await group.member(STRANGER, since=-1)

    by_a_member = await client.patch(path, json=body, headers=other_town)
    by_the_manager = await client.patch(path, json=body, headers=group.manager)
    of_a_stranger = await group.register(KENKO)

    assert by_a_member.json()["code"] == "dataset_not_found"  # hidden: as if it were not there
    assert by_the_manager.status_code == 200
    assert of_a_stranger.json()["code"] == "not_the_publisher"


async def test_the_operator_loads_nothing_for_a_member_that_owes_the_terms(
    world: World, group: Group
) -> None:
    pool = world.platform.database.pool
    terms = {"text_ja": "規約", "text_en": "Terms", "valid_from": day(0)}
    await world.client.post("/v1/admin/terms", json=terms, headers=group.admin)
    inviting = await world.token(await world.party(OPERATOR, Role.OPERATOR), "invitations:write")
    asked = {"organization": TOWN, "email": "a@example.jp"}
    made = await world.client.post("/v1/admin/invitations", json=asked, headers=inviting)
    await world.client.post("/v1/invitations/accept", json={"code": made.json()["code"]})

    refused = await group.register(TOWN)
    await world.client.post("/v1/terms/1/accept", headers=group.town)
    after = await group.register(TOWN)

    assert (refused.status_code, refused.json()["code"]) == (403, "terms_not_accepted")
    assert TOWN in refused.json()["detail"]
    assert after.status_code == 201
    await pool.execute("TRUNCATE terms_version, terms_acceptance")


@pytest.mark.parametrize(
    ("organization", "more", "code"),
    [
        (TOWN, {}, "already_member"),
        (CLOUD, {}, "group_invalid"),
        (SAKAI, {"until": "2020-01-01"}, "group_invalid"),
        ("no-such-body", {}, "organization_not_found"),
        ("273211", {}, "organization_invalid"),
    ],
)
async def test_a_wrong_membership_is_refused(
    group: Group, organization: str, more: dict[str, Any], code: str
) -> None:
    response = await group.member(organization, 0, **more)

    assert response.json()["code"] == code


async def test_a_group_is_seen_by_those_who_take_part(
    client: httpx.AsyncClient, world: World, group: Group
) -> None:
    stranger = await world.token(await world.party(SAKAI, Role.STEWARD), "catalogue:write")

    seen = [
        [each["id"] for each in (await client.get(path, headers=headers)).json()["items"]]
        for path, headers in (
            ("/v1/groups", group.manager),
            ("/v1/groups", group.town),
            ("/v1/groups", stranger),
            ("/v1/admin/groups", group.admin),
        )
    ]
    body = {"id": GROUP, "name_ja": "別", "operator": CLOUD, "purpose": "別"}
    again = await client.post("/v1/admin/groups", json=body, headers=group.admin)
    unknown = await client.post("/v1/groups/nothing/leave", headers=group.town)

    assert seen == [[GROUP], [GROUP], [], [GROUP]]
    assert again.json()["code"] == "group_exists"
    assert unknown.json()["code"] == "group_not_found"
