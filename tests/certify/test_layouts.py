"""Records are held to the standard layout that they claim: each fault names rule, field and record."""

import io
import random
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
import typer

from app.certify.client import Server
from app.certify.judge import Outcome, Verdict, judge
from app.certify.layouts import Layout, held
from app.certify.lint import Standard
from app.certify.stage import Stage
from app.cli.certify import _layout
from tests.certify.mutants import BASE, Answer, Transport

AED = _layout("aed/2", None)
SCHEMA: dict[str, Any] = {**AED.schema, "x-key": ["id"]}
KEYED = Layout("aed/2", SCHEMA)
RECORD: dict[str, Any] = dict.fromkeys(SCHEMA["properties"]) | {
    "id": "0001", "name": "中央公民館", "address": "架空市中央1-1", "installation_position": "1階",
    "latitude": 34.7, "longitude": 135.5, "local_government_code": "271004",
    "postal_code": "530-0001",
}  # fmt: skip
Change = Callable[[dict[str, Any], list[dict[str, Any]]], None]


async def verdicts(change: Change, layout: Layout = KEYED) -> dict[str, Verdict]:
    entry = {
        "id": "aed-list", "profile": {"name": "aed", "version": 2},
        "fields": [{"name": name, "key": name == "id"} for name in SCHEMA["properties"]],
    }  # fmt: skip
    records = [RECORD | {"id": f"{n:04d}"} for n in range(1, 4)]
    change(entry, records)
    stage = Stage(entry, records, (), random.Random(0))
    transport = httpx.MockTransport(lambda request: httpx.Response(200, json={}))
    async with httpx.AsyncClient(transport=transport) as http:
        found = await held(Server(BASE, http, 1e6), stage, layout)
    return {each.rule.partition(":")[2]: each for each in found}


async def test_a_list_of_the_layout_keeps_all_its_rules() -> None:
    found = await verdicts(lambda entry, records: None)

    assert {each.outcome for each in found.values()} == {Outcome.KEPT}
    assert list(found) == ["fields", "types", "codes", "limits", "keys"]
    assert all(each.rationale_ja and each.rationale_en for each in found.values())


MUTANTS: dict[str, tuple[str, str, Change]] = {
    "claims nothing": ("fields", "None", lambda e, r: e.update(profile=None)),
    "claims another edition": ("fields", "1", lambda e, r: e["profile"].update(version=1)),
    "has no such field": ("fields", "no such field", lambda e, r: e["fields"].pop(5)),
    "leaves a field out": ("fields", "record 2", lambda e, r: r[1].pop("name")),
    "has a field of its own": ("fields", "record 3", lambda e, r: r[2].update(colour="red")),
    "writes a number as text": ("types", "record 1", lambda e, r: r[0].update(latitude="34.7")),
    "leaves a name empty": ("types", "record 2", lambda e, r: r[1].update(name=None)),
    "mistypes a check digit": ("codes", "271005", lambda e, r: r[1].update(local_government_code="271005")),
    "writes a postal code at once": ("codes", "record 1", lambda e, r: r[0].update(postal_code="5300001")),
    "is off the map": ("limits", "record 1", lambda e, r: r[0].update(latitude=91.0)),
    "has an address that is none": ("limits", "record 3", lambda e, r: r[2].update(contact_email="ask us")),
    "has a key twice": ("keys", "2 times", lambda e, r: r[1].update(id="0001")),
    "has no key": ("keys", "record 1", lambda e, r: r[0].update(id=None)),
}  # fmt: skip


@pytest.mark.parametrize("name", MUTANTS)
async def test_a_list_that_breaks_one_rule_is_told_that_rule_its_field_and_its_record(
    name: str,
) -> None:
    rule, seen, change = MUTANTS[name]

    found = await verdicts(change)

    assert [each for each, told in found.items() if told.outcome is Outcome.BROKEN] == [rule]
    wrong = found[rule].wrong[0]
    assert seen in wrong.seen and wrong.expected
    assert f"{BASE}/v1/datasets/aed-list" in wrong.exchange.curl()


async def test_the_dataset_that_claims_the_layout_is_the_one_that_is_judged() -> None:
    def claims(told: Answer) -> None:
        if told.path == "/v1/datasets" and told.status == 200:
            body = told.json
            body["datasets"].append({**body["datasets"][0], "profile": AED.profile})
            told.json = body

    async with httpx.AsyncClient(transport=Transport(answer=claims)) as http:
        report = await judge(
            Server(BASE, http, 1e6), Standard.read(), ["core"], only={"TIME-01"}, layout=AED
        )

    (fields,) = [each for each in report.verdicts if each.rule == "aed/2:fields"]
    assert not report.passed
    lacking = fields.wrong[0]
    assert lacking.expected.startswith("the fields local_government_code, id, ")
    assert "no fields but those of aed/2" in [each.expected for each in fields.wrong]
    assert lacking.expected.count(",") > 20 and lacking.seen == "no such field"


def test_layouts_come_from_the_bundle_where_one_is_given(tmp_path: Path) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("profiles/shelter-x-3.schema.json", orjson.dumps({"properties": {}}))
    (tmp_path / "linkage-v1.zip").write_bytes(packed.getvalue())

    found = _layout("shelter-x/3", tmp_path / "linkage-v1.zip")

    assert found.schema == {"properties": {}}
    with pytest.raises(typer.BadParameter, match="aed/1"):
        _layout("aed/9", None)
