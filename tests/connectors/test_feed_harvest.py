"""Alerts, vehicles and SOAP rows become versions as any file does."""

from typing import Any

from app.kit import clock
from tests.connectors.farm import FIELDS, Farm
from tests.connectors.feeds import Office, telegram
from tests.connectors.soap_server import Service
from tests.connectors.sources import reply, web
from tests.connectors.test_gtfs_rt import feed, vehicle


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
