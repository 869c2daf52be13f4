"""A source that is not well is somebody's to mend: a finding, until it is well, and figures."""

from datetime import timedelta
from typing import Any

import pytest

from app.api.state import Platform
from app.catalogue import streams
from app.catalogue.schedules import next_after
from app.connectors.errors import SourceRefused
from app.connectors.scripted import Script, ScriptedConnector
from app.findings.feeds import look_at_feeds
from app.kit import clock
from app.models.parties import Role
from tests.connectors.farm import Farm
from tests.connectors.sources import reply, web
from tests.world import KENKO

_NO = SourceRefused(source="scripted", at="credentials")
GOOD: list[dict[str, Any]] = [{"no": 1, "name": "架空第一"}]


async def found_of(farm: Farm, dataset: str) -> list[tuple[str, str]]:
    """The findings about a dataset as its publisher's stewards are told of them."""
    await look_at_feeds(farm.harvester.database, next_after)
    party = await farm.world.party(KENKO, Role.STEWARD)
    headers = await farm.world.token(party, "findings:read")
    got = await farm.world.client.get(f"/v1/findings?dataset={dataset}", headers=headers)
    assert got.status_code == 200, got.text
    return [(each["rule"], each["state"]) for each in got.json()["items"]]


async def test_another_shape_is_a_finding_of_the_publishers_until_it_is_well_again(
    farm: Farm,
) -> None:
    body: list[Any] = [GOOD]
    dataset = await farm.dataset()
    async with web(lambda _: reply(body[0])) as server:
        feed = {"dataset": dataset, "publish": True}
        connector = await farm.add("http_json", {"base": server.base}, feed)
        await farm.run(connector)
        body[0] = [{"number": 1, "title": "架空第一"}]
        await farm.run(connector)
        opened = await found_of(farm, dataset)
        again = await found_of(farm, dataset)
        kept = await farm.records(dataset)
        body[0] = GOOD
        await farm.run(connector)
        closed = await found_of(farm, dataset)

    assert opened == again == [("source_changed", "open")]
    assert kept == [{"no": "1", "name": "架空第一"}]
    assert closed == [("source_changed", "resolved")]
    logged = [each for each in await farm.world.log() if each.get("rule") == "source_changed"]
    assert [(each["event"], each["by"]) for each in logged] == [
        ("finding.opened", "rule:source_changed"), ("finding.changed", "rule:source_changed"),
    ]  # fmt: skip


async def test_a_source_that_fails_again_and_again_is_a_finding_and_a_dismissed_one_rests(
    farm: Farm,
) -> None:
    dataset = await farm.dataset()
    async with web(lambda _: reply(b"", "401 Unauthorized")) as server:
        connector = await farm.add("http_json", {"base": server.base}, {"dataset": dataset})
        found = []
        for _ in range(3):
            await farm.run(connector)
            found.append(await found_of(farm, dataset))
        party = await farm.world.party(KENKO, Role.STEWARD)
        headers = await farm.world.token(party, "findings:read findings:write")
        listed = await farm.world.client.get(f"/v1/findings?dataset={dataset}", headers=headers)
        await farm.world.client.post(
            f"/v1/findings/{listed.json()['items'][0]['id']}/dismiss",
            json={"reason": "止めている"}, headers=headers,
        )  # fmt: skip
        rests = await found_of(farm, dataset)
        await farm.run(connector)
        fails_on = await found_of(farm, dataset)
        shown = (await farm.ask("GET", f"/{connector}")).json()["feeds"][0]
        await farm.ask("PATCH", f"/{connector}", {"feeds": []})
        gone = await found_of(farm, dataset)

    assert found == [[], [], [("source_failing", "open")]]
    assert rests == [("source_failing", "dismissed")]
    assert fails_on == [("source_failing", "open"), ("source_failing", "dismissed")]
    assert (shown["failures"], shown["good_at"]) == (4, None)
    assert gone == [("source_failing", "resolved"), ("source_failing", "dismissed")]
    words = listed.json()["items"][0]
    assert "401" not in words["en"] and "does not take the credentials" in words["en"]
    assert f"/v1/connectors/{connector}/test" in words["ja"]


async def test_a_source_that_its_schedule_waits_for_in_vain_is_overdue(
    farm: Farm,
) -> None:
    dataset = await farm.dataset()
    pool = farm.harvester.database.pool
    async with web(lambda _: reply(GOOD)) as server:
        feed = {"dataset": dataset, "schedule": "0 3 * * *"}
        connector = await farm.add("http_json", {"base": server.base}, feed)
        await farm.run(connector)
        fine = await found_of(farm, dataset)
        for statement in (
            "UPDATE connector_feed SET good_at = now() - interval '31 hours' WHERE dataset_id = $1",
            "UPDATE connector SET changed_at = now() - interval '40 hours' WHERE id ="
            " (SELECT connector_id FROM connector_feed WHERE dataset_id = $1)",
        ):
            await pool.execute(statement, dataset)
        late = await found_of(farm, dataset)
        await farm.run(connector)
        well = await found_of(farm, dataset)

    assert (fine, late, well) == (
        [], [("source_overdue", "open")], [("source_overdue", "resolved")],
    )  # fmt: skip


async def test_figures_tell_of_harvests_by_kind_and_outcome_and_never_of_a_source(
    farm: Farm,
) -> None:
    before = await figures_of(farm)
    dataset = await farm.dataset()
    body = [reply(GOOD, ETag='"1"')]
    async with web(lambda _: body[0]) as server:
        feed = {"dataset": dataset, "schedule": "0 3 * * *"}
        connector = await farm.add("http_json", {"base": server.base}, feed)
        await farm.run(connector)
        body[0] = reply(b"", "304 Not Modified")
        await farm.run(connector)
        body[0] = reply(b"", "403 Forbidden")
        await farm.run(connector)
    after = await figures_of(farm)

    grown = {name: value - before.get(name, 0) for name, value in after.items()}
    for outcome in ("ok", "unchanged", "refused"):
        assert grown[f'urbanos_harvests_total{{kind="http_json",outcome="{outcome}"}}'] == 1
    assert grown['urbanos_feeds_failing{kind="http_json"}'] == 1
    assert after['urbanos_harvest_success_age_seconds{kind="http_json"}'] >= 0
    assert not any(dataset in name or connector in name for name in after)


async def test_a_stream_that_fails_again_and_again_is_a_finding_and_old_harvests_say_nothing_of_it(
    farm: Farm, platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(platform, "kinds", farm.harvester.kinds)
    dataset = await farm.dataset()
    pool = farm.harvester.database.pool
    ScriptedConnector.scripts[dataset] = Script(wrong=_NO)
    feed = {"dataset": dataset}
    connector = await farm.add("scripted", {"script": dataset}, feed)
    for _ in range(3):
        await farm.run(connector)
    harvested = await found_of(farm, dataset)
    await farm.ask("PATCH", f"/{connector}", {"feeds": [{**feed, "mode": "stream"}]})
    changed = await found_of(farm, dataset)
    async with farm.harvester.database.writing() as session:
        for _ in range(3):
            (work,) = await streams.claim(session, timedelta(seconds=60), most=50)
            await streams.let_go(session, work, timedelta(0), work.tries, _NO)
    failing, broken_off = await found_of(farm, dataset), await figures_of(farm)
    went = "UPDATE connector_stream SET state = 'streaming', since = $2 WHERE dataset_id = $1"
    await pool.execute(went, dataset, clock.now())
    begun = await found_of(farm, dataset)
    await pool.execute(went, dataset, clock.now() - timedelta(minutes=2))
    well, figures = await found_of(farm, dataset), await figures_of(farm)

    name = 'urbanos_feeds_failing{kind="scripted"}'
    assert broken_off[name] == figures[name] + 1
    first, both = [("source_failing", "resolved")], [("source_failing", "resolved")] * 2
    assert (harvested, changed) == ([("source_failing", "open")], first)
    assert failing == begun == [("source_failing", "open"), *first]
    assert well == both


async def figures_of(farm: Farm) -> dict[str, float]:
    """The figures as they are now; what is shown is half a minute old at most."""
    metrics = farm.world.client._transport.app.state.metrics  # type: ignore[attr-defined]
    metrics._work._looked_at = float("-inf")
    text = (await farm.world.client.get("/metrics")).text
    lines = [line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value in lines if "harvest" in name or "feeds" in name}
