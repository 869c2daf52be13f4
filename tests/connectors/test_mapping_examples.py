"""A mapping is kept with rows that show what it does, and nothing is kept that breaks them."""

from typing import Any, Final

from tests.connectors.farm import FIELDS, Farm
from tests.connectors.sources import reply, web

ROW: Final[dict[str, Any]] = {
    "id": 7, "name": {"ja": "架空会館"}, "cost": "1.5", "opened": "令和4年4月1日", "use": "A",
}  # fmt: skip
MORE: Final[list[dict[str, Any]]] = [
    *FIELDS,
    {"name": "cost", "label": "費用", "column": "cost", "type": "decimal", "unit": "円"},
    {"name": "opened", "label": "開設", "column": "opened", "type": "date"},
    {"name": "use", "label": "用途", "column": "use", "type": "code"},
]
MAPPING: Final[list[dict[str, Any]]] = [
    {"to": "no", "from": ["id"]},
    {"to": "name", "expression": "name.ja"},
    {"to": "cost", "expression": "cost", "unit": "千円"},
    {"to": "opened", "from": ["opened"]},
    {"to": "use", "from": ["use"], "codes": {"A": "hall"}},
]
MADE: Final[dict[str, Any]] = {
    "no": 7, "name": "架空会館", "cost": 1500, "opened": "2022-04-01", "use": "hall",
}  # fmt: skip


def feed_of(dataset: str, *examples: dict[str, Any], mapping: Any = MAPPING) -> dict[str, Any]:
    return {"dataset": dataset, "mapping": mapping, "examples": list(examples)}


def body_of(feed: dict[str, Any], base: str = "http://127.0.0.1:9") -> dict[str, Any]:
    return {"kind": "http_json", "name": "試験", "settings": {"base": base}, "feeds": [feed]}


async def test_a_mapping_whose_example_does_not_hold_is_not_kept_and_each_is_told_of(
    farm: Farm,
) -> None:
    endless = [MAPPING[0], {"to": "name", "expression": "[@,@][]|" * 20 + "@"}]
    cases: list[tuple[dict[str, Any], Any, str, str]] = [
        ({"row": ROW, "expect": {"cost": 1.5}}, MAPPING,
         "/expect/cost", "to be “1.5” and becomes “1500”"),
        ({"row": {**ROW, "id": "07"}, "expect": {"no": "7"}}, MAPPING,
         "/expect/no", "becomes “07”"),
        ({"row": ROW, "expect": {"nobody": 1}}, MAPPING, "/expect/nobody", "no such field"),
        ({"row": ROW, "expect": None}, MAPPING, "/expect", "to be left out"),
        ({"row": {**ROW, "use": "Z"}, "expect": {"no": 7}}, MAPPING, "/expect/use", "code list"),
        ({"row": {"name": {"ja": "x"}}, "expect": {"name": "x"}}, MAPPING, "/row", "番号"),
        ({"row": ROW, "expect": {"no": 7}}, endless, "/expect/name", "too much work"),
    ]  # fmt: skip
    feeds = [
        feed_of(await farm.dataset(fields=MORE), example, mapping=mapping)
        for example, mapping, _, _ in cases
    ]

    refused = await farm.ask("POST", "", {**body_of(feeds[0]), "feeds": feeds})

    assert (refused.status_code, refused.json()["code"]) == (422, "connector_invalid")
    faults = refused.json()["errors"]
    assert {each["code"] for each in faults} == {"mapping_example_failed"}
    assert [each["pointer"] for each in faults] == [
        f"/feeds/{number}/examples/0{where}" for number, (_, _, where, _) in enumerate(cases)
    ]
    for fault, (_, _, _, words) in zip(faults, cases, strict=True):
        assert words in fault["detail"]
    kept = (await farm.ask("GET", "")).json()["items"]
    fed = {each["dataset_id"] for connector in kept for each in connector["feeds"]}
    assert fed.isdisjoint(each["dataset"] for each in feeds)


async def test_a_mapping_is_kept_with_its_examples_and_does_what_they_say(farm: Farm) -> None:
    dataset = await farm.dataset(fields=MORE)
    refused_row = {"row": {**ROW, "use": "Z"}, "expect": None}
    feed = feed_of(dataset, {"row": ROW, "expect": MADE}, refused_row)
    async with web(lambda _: reply([ROW, {**ROW, "id": 8, "use": "Z"}])) as server:
        made = await farm.ask("POST", "", body_of({**feed, "publish": True}, server.base))
        run = await farm.run(made.json()["id"])
        shown = await farm.ask("POST", f"/{made.json()['id']}/preview", {})

    assert made.status_code == 201, made.text
    assert made.json()["feeds"][0]["examples"] == feed["examples"]
    assert (run["state"], run["rows"]) == ("degraded", 1)
    assert shown.json()["after"] == [
        {"no": "7", "name": "架空会館", "cost": "1500", "opened": "2022-04-01", "use": "hall"}
    ]
    assert [each["code"] for each in shown.json()["rejects"]] == ["not_in_code_list"]


async def test_examples_are_tried_again_when_the_mapping_or_the_fields_change(farm: Farm) -> None:
    dataset = await farm.dataset(fields=MORE)
    example = {"row": ROW, "expect": MADE}
    made = await farm.ask("POST", "", body_of(feed_of(dataset, example)))
    declared = [{k: v for k, v in each.items() if k != "column"} for each in MORE]

    async def declare(fields: list[dict[str, Any]]) -> Any:
        return await farm.world.client.patch(
            f"/v1/datasets/{dataset}", json={"fields": fields}, headers=farm.headers
        )

    refused = await declare([{**each, "unit": "百万円"} if each["name"] == "cost" else each
                             for each in declared])  # fmt: skip
    worded = await declare([{**each, "label": each["label"] + "等"} for each in declared])
    other = [*MAPPING[:-1], {"to": "use", "constant": "hall?"}]
    remapped = await farm.ask(
        "PATCH", f"/{made.json()['id']}", {"feeds": [feed_of(dataset, example, mapping=other)]}
    )

    assert refused.status_code == 422
    assert refused.json()["errors"][0]["code"] == "mapping_example_failed"
    assert "1500" in refused.json()["errors"][0]["detail"]
    assert worded.status_code == 200
    assert remapped.json()["errors"][0]["pointer"] == "/feeds/0/examples/0/expect/use"
