"""Alerts, vehicles and SOAP rows become versions as any file does."""

from typing import Any, Final

from app.kit import clock
from tests.api.ckan.shelves import call, changed, resource_of
from tests.connectors.farm import FIELDS, Farm
from tests.connectors.feeds import Office, telegram
from tests.connectors.soap_server import Service
from tests.connectors.sources import reply, web
from tests.connectors.test_gtfs_rt import feed, vehicle
from tests.files.ready import ALL, made


def _fields(key: str, name: str) -> list[dict[str, Any]]:
    """Those of a farm, out of other columns."""
    return [{**FIELDS[0], "label": key}, {**FIELDS[1], "label": name}]


async def test_an_alert_that_is_taken_back_is_a_new_version_and_nothing_new_is_none(
    farm: Farm,
) -> None:
    office, sent = Office(), clock.now().replace(microsecond=0)
    office.publish(telegram("E1", sent=sent.isoformat()))
    dataset = await farm.dataset(fields=_fields("key", "state"))
    async with web(office.answer) as server:
        feeds = {"dataset": dataset, "publish": True, "selection": {"read": {"type": "jma"}}}
        connector = await farm.add("xml_feed", {"base": server.base}, feeds)
        runs = [await farm.run(connector), await farm.run(connector)]
        before = await farm.records(dataset)
        office.publish(telegram("E1", sent=sent.isoformat(), what="取消", areas=()))
        runs.append(await farm.run(connector))
        after = await farm.records(dataset)

    key = "架空情報/架空気象台/E1/2799100"
    assert [run["state"] for run in runs] == ["ok", "unchanged", "ok"]
    assert (before, after) == (
        [{"no": key, "name": "in_force"}],
        [{"no": key, "name": "cancelled"}],
    )
    assert [asked.path for asked in server.asked if asked.path != "/"] == ["/1.xml", "/2.xml"]


async def test_a_feed_that_becomes_empty_gives_no_version_and_readers_keep_what_they_have(
    farm: Farm,
) -> None:
    said = [feed(vehicle("v1", "架空1号車")), feed()]
    dataset = await farm.dataset(fields=_fields("id", "vehicle_label"))
    async with web(lambda _: reply(said.pop(0))) as server:
        selection = {"feed": "vehicle_positions"}
        feeds = {"dataset": dataset, "publish": True, "selection": selection}
        connector = await farm.add("gtfs_rt", {"base": server.base}, feeds)
        runs = [await farm.run(connector), await farm.run(connector)]

    assert [(run["state"], run["error_code"]) for run in runs] == [
        ("ok", None), ("failed", "no_data_rows"),
    ]  # fmt: skip
    assert await farm.records(dataset) == [{"no": "v1", "name": "架空1号車"}]


_PLACES: Final[list[dict[str, Any]]] = [
    {"name": "latitude", "label": "latitude", "type": "latitude"},
    {"name": "longitude", "label": "longitude", "type": "longitude"},
]


async def test_what_a_feed_says_is_over_is_deleted_for_followers_and_gone_at_every_door(
    farm: Farm,
) -> None:
    bus = vehicle("v1", "架空1号車")
    bus.vehicle.position.latitude, bus.vehicle.position.longitude = 34.7, 135.5
    said = [feed(bus, seconds_ago=60), feed(seconds_ago=30), feed(bus)]
    fields = [{**each, "column": each["name"]} for each in _PLACES]
    dataset = await farm.dataset(fields=[*_fields("id", "vehicle_label"), *fields])
    await changed(farm.world, dataset, "data_class = 'public', license = 'CC-BY-4.0'")
    client, where = farm.world.client, f"/v1/datasets/{dataset}"
    async with web(lambda _: reply(said.pop(0))) as server:
        selection = {"feed": "vehicle_positions", "empty_is_an_answer": True}
        feeds = {"dataset": dataset, "publish": True, "selection": selection}
        connector = await farm.add("gtfs_rt", {"base": server.base}, feeds)
        runs = [await farm.run(connector)]
        since = (await client.get(f"{where}/changes")).json()["next"]
        runs.append(await farm.run(connector))
        followed = (await client.get(f"{where}/changes?since={since}")).json()
        matched = [
            (await client.get(each)).json()["numberMatched"]
            for each in (f"{where}/records?count=true", f"/ogc/collections/{dataset}/items")
        ]
        resource = await resource_of(client, dataset)
        matched.append((await call(client, "datastore_search", resource_id=resource))["total"])
        collection = (await client.get(f"/ogc/collections/{dataset}")).json()
        files = (await made(farm.world, dataset, 2))["files"]
        runs.append(await farm.run(connector))

    assert [(run["state"], run["published"], run["rows"]) for run in runs] == [
        ("ok", True, 1), ("ok", True, 0), ("ok", True, 1),
    ]  # fmt: skip
    assert [(each["op"], each["key"]) for each in followed["changes"]] == [("delete", "v1")]
    assert (matched, "extent" in collection) == ([0, 0, 0], False)
    assert {each["format"]: each["rows"] for each in files} == dict.fromkeys(
        ALL - {"pmtiles"}, 0
    )  # there is no place to draw
    assert await farm.records(dataset) == [{"no": "v1", "name": "架空1号車"}]


async def test_rows_of_a_soap_service_keep_their_zeros(farm: Farm) -> None:
    service = Service([{"no": "01", "name": "架空第一"}])
    async with web(service.answer) as server:
        service.base = server.base
        selection = {"operation": "GetShelters", "rows": "shelters/shelter"}
        dataset = await farm.dataset()
        feeds = {"dataset": dataset, "publish": True, "selection": selection}
        connector = await farm.add("soap", {"wsdl": f"{server.base}/service"}, feeds)
        run = await farm.run(connector)

    assert (run["state"], await farm.records(dataset)) == ("ok", service.rows)
