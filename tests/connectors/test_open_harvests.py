"""What another platform, a portal and a map server have becomes a dataset of ours, and stays true."""

from typing import Any

from tests.connectors.contract import Row
from tests.connectors.farm import Farm
from tests.connectors.maps import maps
from tests.connectors.other import Other
from tests.connectors.portal import KEY, portal
from tests.stock import declared, path, put, stocked
from tests.world import KENKO

_SPECS: Any = (
    ("no", "code", {"key": True}), ("name", "text"), ("size", "integer"), ("on", "date"),
    ("lat", "latitude"), ("lon", "longitude"), ("area", "geometry"),
)  # fmt: skip
_MANY = [
    {
        "no": str(at), "name": f"施設{at % 7}", "size": at % 5 or None, "on": f"2026-04-{at + 1:02}",
        "lat": 34.5, "lon": 135.5,
        "area": {"type": "Point", "coordinates": [135.5, 34.7]} if at % 2 else None,
    }
    for at in range(20)
]  # fmt: skip
_ROWS: list[Row] = [{"no": f"0{at}", "name": f"架空{at}"} for at in range(5)]


async def test_what_changes_at_another_platform_is_followed_and_what_goes_there_goes_here(
    other: Other, farm: Farm
) -> None:
    theirs = await stocked(other.world, _MANY, _SPECS)
    ours = await farm.dataset(fields=declared(_SPECS))
    feed = {"dataset": ours, "selection": {"dataset": theirs}, "publish": True}
    connector = await farm.add("linkage", {"base": other.base}, feed)

    first = await farm.run(connector)
    same = await farm.run(connector)
    await put(other.world, theirs, [{**_MANY[3], "name": "改名"}, {**_MANY[3], "no": "99"}])
    asked = len(other.door.queries)
    followed = await farm.run(connector)
    since = other.door.queries[asked:]
    await other.remove(theirs, "5")
    gone = await farm.run(connector)

    assert [each["state"] for each in (first, same, followed, gone)] == [
        "ok", "unchanged", "ok", "ok",
    ], (first, same, followed, gone)  # fmt: skip
    assert len(since) == 1  # the changes alone were asked for
    party = await farm.world.party(KENKO)
    headers = await farm.world.token(party, f"dataset:{ours}:read")
    got = await farm.world.client.get(path(ours), params={"purpose": "own-duty"}, headers=headers)
    records = {each["no"]: each for each in got.json()["records"]}
    expected = {each["no"]: each for each in _MANY if each["no"] != "5"}
    assert records == {
        **expected,
        "3": {**_MANY[3], "name": "改名"},
        "99": {**_MANY[3], "no": "99"},
    }


async def test_that_the_other_platform_has_nothing_left_is_its_answer_where_that_is_said(
    other: Other, farm: Farm
) -> None:
    rows = [{"no": "01", "name": "架空線 運休"}]
    theirs = await stocked(other.world, rows, _SPECS[:2])
    ours = await farm.dataset()
    selection = {"dataset": theirs, "types": {"no": "code", "name": "text"}}
    feed = {"dataset": ours, "publish": True, "selection": selection}
    connector = await farm.add("linkage", {"base": other.base}, feed)
    runs = [await farm.run(connector)]
    await other.remove(theirs, "01")
    runs.append(await farm.run(connector))
    kept = await farm.records(ours)
    told = {**feed, "selection": {**selection, "empty_is_an_answer": True}}
    await farm.ask("PATCH", f"/{connector}", {"feeds": [told]})
    runs += [await farm.run(connector), await farm.run(connector)]
    emptied = await farm.records(ours)
    await put(other.world, theirs, rows)
    runs.append(await farm.run(connector))

    assert [run["state"] for run in runs] == ["ok", "failed", "ok", "unchanged", "ok"], runs
    assert (kept, emptied, await farm.records(ours)) == (rows, [], rows)


async def test_a_table_of_a_portal_is_loaded_with_its_leading_zeros(farm: Farm) -> None:
    async with portal() as (its_portal, server):
        its_portal.add("shelters", "r1", datastore_active=True)
        its_portal.tables["r1"] = list(_ROWS)
        ours = await farm.dataset()
        selection = {"package": "shelters", "name": "一覧", "via": "datastore"}
        feed = {"dataset": ours, "selection": selection, "publish": True}
        connector = await farm.add("ckan", {"base": server.base, "key": KEY}, feed)

        run = await farm.run(connector)

    assert run["state"] == "ok", run
    assert await farm.records(ours) == _ROWS


async def test_features_of_a_map_server_are_loaded_with_their_places(farm: Farm) -> None:
    specs: Any = (("no", "code", {"key": True}), ("name", "text"), ("geometry", "geometry"))
    place = '<gml:Point srsName="urn:ogc:def:crs:EPSG::6674"><gml:pos>{} 0</gml:pos></gml:Point>'
    async with maps(_ROWS, by_wfs=True) as (its_maps, server):
        its_maps.places = [place.format(at * 1_000) for at in range(5)]
        ours = await farm.dataset(fields=declared(specs))
        feed = {"dataset": ours, "selection": {"collection": "app:shelters"}, "publish": True}
        connector = await farm.add("ogc", {"base": server.base, "speaks": "wfs"}, feed)

        run = await farm.run(connector)

    party = await farm.world.party(KENKO)
    headers = await farm.world.token(party, f"dataset:{ours}:read")
    near = {"purpose": "own-duty", "bbox": "135.9,35.99,136.1,36.02"}
    got = await farm.world.client.get(path(ours), params=near, headers=headers)
    assert run["state"] == "ok", run
    assert [row["no"] for row in got.json()["records"]] == ["00", "01", "02"]
