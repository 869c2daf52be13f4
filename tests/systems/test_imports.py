"""A sheet of systems through the API: all of its lines or none, and every wrong line by its number."""

import io
from typing import Any

import pytest
import xlsxwriter

from app.models.parties import Role
from app.systems.refusals import SystemInvalid
from app.systems.sheet import read
from tests.number.searched import PROBE
from tests.systems.inventory import SYSTEMS, acting, keep, statements
from tests.systems.test_inventory import function
from tests.world import KENKO, SAKAI, World

IMPORTS = f"{SYSTEMS}/imports"
CSV = {"Content-Type": "text/csv"}


async def names(world: World, headers: dict[str, str]) -> set[str]:
    found = (await world.client.get(f"{SYSTEMS}?limit=1000", headers=headers)).json()["items"]
    return {each["description"]["name"] for each in found}


async def test_a_dry_run_says_what_the_import_then_does(world: World) -> None:
    own = await acting(world, KENKO, Role.STEWARD)
    there = await keep(world, own, KENKO, name="甲館", function=function())
    sheet = (
        f"ID,システム名,機能\n{there['id']},甲館の新名,{function()}\n,乙館,{function()}\n".encode(
            "cp932"
        )
    )

    dry = await world.client.post(f"{IMPORTS}?dry_run=true", content=sheet, headers=own | CSV)
    before = await names(world, own)
    done = await world.client.post(IMPORTS, content=sheet, headers=own | CSV)

    assert dry.status_code == 200, dry.text
    assert {"甲館", "乙館"} & before == {"甲館"}
    told: dict[str, Any] = done.json()
    assert (told["added"], told["changed"], told["unchanged"]) == (1, 1, 0)
    assert {**dry.json(), "dry_run": False} == {
        **told, "lines": [told["lines"][0], {**told["lines"][1], "system": None}],
    }  # fmt: skip
    assert {"甲館の新名", "乙館"} <= await names(world, own)


async def test_a_workbook_comes_as_a_form(world: World) -> None:
    own = await acting(world, KENKO, Role.STEWARD)
    packed = io.BytesIO()
    with xlsxwriter.Workbook(packed, {"in_memory": True}) as book:
        page = book.add_worksheet("台帳")
        page.write_row(0, 0, ["システム名", "機能", "費用"])
        page.write_row(1, 0, ["丙館", function(), "2025=1200000"])

    done = await world.client.post(
        IMPORTS, files={"file": ("台帳.xlsx", packed.getvalue())}, headers=own
    )

    (line,) = done.json()["lines"]
    kept = (await world.client.get(f"{SYSTEMS}/{line['system']}", headers=own)).json()
    assert kept["description"]["costs"] == [{"year": 2025, "yen": 1_200_000}]


async def test_a_village_is_known_by_its_code_without_check_digit_and_in_wide_digits(
    world: World,
) -> None:
    """And every line of a long sheet goes with one entry into the log, written at the end: it waits
    for the commit from then on, and with it all who read."""
    city, village = await acting(world, "271004", Role.STEWARD), "273830"
    own = await acting(world, village, Role.STEWARD)
    shared = function()
    sheet = f"システム名,機能,組織\n甲,{shared},27383\n乙,{shared},２７３８３０\n丙,{shared},\n"

    told, done = await counted(world, IMPORTS, own, sheet + sheet.partition("\n")[2] * 20)
    foreign = await world.client.post(IMPORTS, content=sheet.encode(), headers=city | CSV)

    assert done["added"] == 63
    listed = await world.client.get(SYSTEMS, params={"function": shared}, headers=own)
    assert {each["organization"] for each in listed.json()["items"]} == {village}
    assert len(told) < 25
    assert sum("log_append" in each for each in told) == 1
    assert [each["pointer"] for each in foreign.json()["errors"]] == ["2/組織", "3/組織"]


def test_what_a_cell_must_be_is_said_in_japanese() -> None:
    row = {
        "システム名": "甲",
        "機能": "施設予約",
        "系統": "住民",
        "契約終了日": "令和9年",
        "業務": "税",
    }

    with pytest.raises(SystemInvalid) as refused:
        read([(7, {**row, "応札者数": "-1"})])

    told = {each.pointer: each.ja for each in refused.value.faults}
    for heading, words in (
        ("機能", "facility-booking"), ("系統", "resident, internal_admin, bureau"), ("契約開始日", "記入"),
        ("契約終了日", "2027-03-31"), ("業務", "resident_register"), ("応札者数", "0以上"),
    ):  # fmt: skip
        assert told[f"7/{heading}"].startswith(f"7行目の「{heading}」")
        assert words in told[f"7/{heading}"].replace("'", "")


def test_a_day_is_read_as_people_write_it() -> None:
    dates = {
        "契約開始日": "令和2年4月1日",
        "契約終了日": "R9.3.31",
        "移行先": "saas",
        "移行期限": "2027/4/1",
    }

    (line,) = read([(2, {"システム名": "甲", "機能": "f-x", **dates})])

    assert line.said.contract is not None and line.said.plan is not None
    days = (line.said.contract.since, line.said.contract.until, line.said.plan.by)
    assert [str(each) for each in days] == ["2020-04-01", "2027-03-31", "2027-04-01"]


async def counted(
    world: World, path: str, headers: dict[str, str], sheet: str
) -> tuple[list[str], Any]:
    """The statements that an import takes, and its answer."""
    with statements(world) as told:
        done = await world.client.post(path, content=sheet.encode(), headers=headers | CSV)
    assert done.status_code == 200, done.text
    return told, done.json()


async def test_every_wrong_line_is_named_and_nothing_is_kept(world: World) -> None:
    own = await acting(world, KENKO, Role.STEWARD)
    theirs = await keep(
        world, await acting(world, SAKAI, Role.STEWARD), SAKAI, name="他市", function=function()
    )
    one, two = function(), function()
    sheet = (
        "ID,組織,システム名,機能,設置形態\n"
        f",,正しい館,{one},\n"
        f",{SAKAI},よその館,{two},\n"
        f"{theirs['id']},,他市,{two},\n"
    )

    refused = await world.client.post(IMPORTS, content=sheet.encode(), headers=own | CSV)
    unread = await world.client.post(
        IMPORTS, content=sheet.replace(f"{one},", f"{one},雲の上").encode(), headers=own | CSV
    )

    assert refused.status_code == 422
    assert [each["pointer"] for each in refused.json()["errors"]] == ["3/組織", "4/ID"]
    assert [each["pointer"] for each in unread.json()["errors"]] == ["2/設置形態"]
    assert "正しい館" not in await names(world, own)


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "system_sheet_unreadable"),
        ("番号,名称\n1,甲\n".encode(), "system_invalid"),
        (f"システム名,機能,備考\n甲,f-x,{PROBE}\n".encode(), "individual_number_refused"),
        ("システム名,機能,費用\n甲,f-x,2025=1,200,000\n".encode(), "system_sheet_unreadable"),
        ("システム名,機能,費用,費用\n甲,f-x,2025=1,2026=1\n".encode(), "system_sheet_unreadable"),
        (b"x" * (5 * 1024 * 1024 + 1), "upload_too_large"),
    ],
)
async def test_what_is_no_sheet_is_refused(world: World, content: bytes, code: str) -> None:
    own = await acting(world, KENKO, Role.STEWARD)

    refused = await world.client.post(IMPORTS, content=content, headers=own | CSV)

    assert refused.json()["code"] == code, refused.text
    assert PROBE not in refused.text


async def test_lock_in_and_duplicates_come_in_pages(world: World) -> None:
    own, same = await acting(world, KENKO, Role.STEWARD), [function() for _ in range(3)]
    for at, each in enumerate([*same, *same]):
        made = await keep(world, own, KENKO, name=f"頁{at}", function=each)
        if at % 2:
            await world.client.post(f"{SYSTEMS}/{made['id']}/diagnoses", headers=own)

    for path, key in (("/v1/lock-in", "id"), ("/v1/duplicates", "function")):
        whole = (await world.client.get(f"{path}?limit=1000", headers=own)).json()
        walked, cursor = [], ""
        while cursor is not None:
            asked = f"{path}?limit=2" + (f"&cursor={cursor}" if cursor else "")
            told = (await world.client.get(asked, headers=own)).json()
            assert "items" in told, told
            walked += told["items"]
            cursor = told.get("next")
        wrong = await world.client.get(f"{path}?cursor=%2B", headers=own)
        assert walked == whole["items"]
        assert len({each[key] for each in walked}) == len(walked) >= 3
        assert wrong.json()["code"] == "invalid_cursor"
