"""Less than the value is shown, the same in every representation, and to each only what is theirs."""

import csv
import io
from typing import Any

import orjson
import polars as pl

from app.audit.events import Event
from app.query.mesh import mesh_code
from tests.masks.town import MASKS, OTHER, SHOWN, declare, records, stand_in, town
from tests.rows.town import ask
from tests.stock import path, stocked
from tests.world import World


async def test_each_mask_leaves_what_it_says_and_its_own_organisation_sees_all(
    world: World,
) -> None:
    there = await town(world)

    seen = await records(world, there, there.asking)
    own = await records(world, there, there.own)

    first: dict[str, Any] = {"no": await stand_in(world, there.dataset, "no", "R-8801"), **SHOWN}
    assert seen[0] == first
    assert [(each["pay"], each["rate"], each["post"]) for each in seen[1:]] == [
        (-100_000, 0.5, "590"), (100_000, -0.5, None),
    ]  # fmt: skip
    assert [(each["born"], each["moved"]) for each in seen[1:]] == [
        (1990, "2020-01"), (1999, "2022-12"),
    ]  # fmt: skip
    assert mesh_code(first["lat"], first["lon"], 3) == mesh_code(34.51237, 135.48761, 3)
    assert own[0]["no"] == "R-8801"
    assert own[0]["born"] == "1987-03-14"


async def test_every_representation_shows_the_same(world: World) -> None:
    there = await town(world)
    expected = {"no": await stand_in(world, there.dataset, "no", "R-8801"), **SHOWN}
    where = path(there.dataset)

    as_csv = (await ask(world, where, there.asking, f="csv")).text
    lines = (await ask(world, where, there.asking, f="ndjson")).text
    parquet = (await ask(world, where, there.asking, f="parquet")).content
    features = (await ask(world, where, there.asking, f="geojson")).json()["features"]
    items = await ask(world, f"/ogc/collections/{there.dataset}/items", there.asking)

    row = next(iter(csv.DictReader(io.StringIO(as_csv))))
    assert row == {name: str(value) for name, value in expected.items()}
    assert orjson.loads(lines.splitlines()[0]) == expected
    table = pl.read_parquet(parquet)
    kept = {name: value for name, value in table.row(0, named=True).items() if name in expected}
    assert {**kept, "rate": float(kept["rate"])} == expected
    for feature in (features[0], items.json()["features"][0]):
        assert feature["geometry"]["coordinates"] == [SHOWN["lon"], SHOWN["lat"]]
        assert feature["properties"] == expected
        assert "id" not in feature  # a number of the row would join what two readers are given


async def test_an_answer_says_what_was_masked_and_so_does_the_log(world: World) -> None:
    there = await town(world)

    answer = await ask(world, path(there.dataset), there.asking, fields="ward,born")
    plain = await ask(world, path(there.dataset), there.own)

    assert answer.json()["meta"]["masks"] == {"born": "year"}
    assert "masks" not in plain.json()["meta"]
    [read, own] = await world.log(Event.RECORDS_READ)
    assert (read["columns"], read["masks"]) == (["ward", "born"], {"born": "year"})
    assert "masks" not in own


async def test_stand_ins_are_stable_and_no_two_organisations_can_join_theirs(
    world: World,
) -> None:
    there = await town(world)

    mine = [each["no"] for each in await records(world, there, there.asking)]
    theirs = [each["no"] for each in await records(world, there, there.other)]
    older = [each["no"] for each in await records(world, there, there.asking, version="1")]
    await declare(world, there.dataset, {"masks": {**MASKS, "ward": "pseudonymise"}})
    again = [each["no"] for each in await records(world, there, there.asking)]

    assert theirs[0] == await stand_in(world, there.dataset, "no", "R-8801", OTHER)
    assert len(set(mine) | set(theirs)) == 6
    assert older == mine
    assert again == mine


async def test_equal_values_of_one_organisation_stay_equal_and_two_fields_do_not_join(
    world: World,
) -> None:
    there = await town(world, {"masks": {"area": "pseudonymise", "ward": "pseudonymise"}})

    before = await records(world, there, there.asking, fields="area,ward")

    assert before[0]["area"] == await stand_in(world, there.dataset, "area", "271403")
    assert before[2]["ward"] is None
    assert len({each[name] for each in before for name in ("area", "ward")}) == 6


async def test_the_key_lies_sealed_and_stands_in_no_statement(world: World) -> None:
    there = await town(world)
    reader = world.platform.broker._reader
    await records(world, there, there.asking)

    sealed = await world.platform.database.pool.fetchval(
        "SELECT sealed FROM pseudonym_key WHERE dataset_id = $1", there.dataset
    )
    secret = world.platform.sealer.unseal(sealed, about=f"pseudonyms of {there.dataset}")
    [plan] = [
        held.plan
        for key, held in world.platform.broker._held._held.items()
        if key[0] == there.dataset and held.plan.masks.pads
    ]
    told = "".join(each.sql for each in reader._prepared.values()) + repr(plan.masks)

    assert secret not in sealed
    assert "sha256" in told
    pads = [pad for pair in plan.masks.pads.values() for pad in pair]
    for each in (secret, *pads):
        assert each.hex() not in told
        assert repr(each)[2:-1] not in told


async def test_a_geometry_leaves_as_the_middle_of_a_square(world: World) -> None:
    specs = (("no", "code", {"key": True}), ("shape", "geometry"))
    shape = {"type": "LineString", "coordinates": [[135.4801, 34.5101], [135.4812, 34.5102]]}
    dataset = await stocked(world, [{"no": "1", "shape": shape}], specs, data_class="internal")
    await declare(world, dataset, {"masks": {"shape": "mesh3"}})
    body = await world.token(await world.party("271004-digital"), f"dataset:{dataset}:read")

    feature = await ask(world, path(dataset), body, f="geojson")
    record = await ask(world, path(dataset), body)
    as_csv = await ask(world, path(dataset), body, f="csv")
    boxed = await ask(world, path(dataset), body, bbox="135,34,136,35")

    point = {"type": "Point", "coordinates": [135.48125, 34.5125]}
    [one] = feature.json()["features"]
    assert (one["geometry"], one["properties"]) == (point, {"no": "1"})
    assert record.json()["records"] == [{"no": "1", "shape": point}]
    assert "LineString" not in as_csv.text
    assert (boxed.status_code, boxed.json()["code"]) == (403, "column_not_visible")


async def test_public_columns_of_public_data_are_not_masked(world: World) -> None:
    specs: Any = (("no", "code", {"key": True}), ("pay", "integer", {"visibility": "internal"}))
    dataset = await stocked(world, [{"no": "1", "pay": 123}], specs)
    await declare(world, dataset, {"masks": {"no": "pseudonymise", "pay": "bin(100)"}})
    body = await world.token(await world.party("271004-digital"), f"dataset:{dataset}:read")

    seen = (await ask(world, path(dataset), body)).json()
    nobody = (await world.client.get(path(dataset))).json()

    assert seen["records"] == [{"no": "1", "pay": 100}]
    assert nobody["records"] == [{"no": "1"}]


async def test_the_lowest_band_of_whole_numbers_is_cut_and_breaks_no_page(world: World) -> None:
    specs: Any = (("no", "code", {"key": True}), ("pay", "integer"))
    rows: list[dict[str, Any]] = [
        {"no": "1", "pay": -(2**63)},
        {"no": "2", "pay": 2**63 - 1},
        {"no": "3"},
    ]
    dataset = await stocked(world, rows, specs, data_class="internal")
    await declare(world, dataset, {"masks": {"pay": "bin(10)"}})
    body = await world.token(await world.party("271004-digital"), f"dataset:{dataset}:read")

    seen = (await ask(world, path(dataset), body)).json()["records"]

    assert [each["pay"] for each in seen] == [-(2**63), 9_223_372_036_854_775_800, None]


async def test_what_was_agreed_is_not_widened_by_a_mask(world: World) -> None:
    there = await town(world, columns=["ward", "born"])

    seen = await records(world, there, there.asking)

    assert [set(each) for each in seen] == [{"ward", "born"}] * 3


async def test_a_mask_that_no_longer_fits_its_field_shows_nothing(world: World) -> None:
    there = await town(world)
    await world.platform.database.pool.execute(
        "UPDATE purpose_view SET masks = $2 WHERE dataset_id = $1",
        there.dataset, orjson.dumps({**MASKS, "ward": "year", "born": "no-such-mask"}).decode(),
    )  # fmt: skip
    world.platform.live.changed("dataset", there.dataset)

    seen = await records(world, there, there.asking)
    named = await ask(world, path(there.dataset), there.asking, fields="born")

    assert {"ward", "born"}.isdisjoint(seen[0])
    assert (named.status_code, named.json()["code"]) == (403, "column_not_visible")
