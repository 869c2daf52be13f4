"""Whoever is told of changes is one who may read them, is told in order and at least once, and holds
nobody else up."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any

import orjson
import pytest
import pytest_asyncio

from app.api.state import Platform
from app.audit.events import Event
from app.kit.outbound import Bounds, Outbound
from app.kit.settings import Settings
from app.models.parties import Role
from app.subscriptions import notices
from app.tasks.notify import Notifier
from tests.conftest import ISSUER
from tests.stock import PURPOSE, agreed, put, reader
from tests.subscriptions.stage import HERE, PATH, Told, notifier_of, receiving, told
from tests.world import KENKO, SAKAI, World


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Notices may go to this machine."""
    home = tmp_path_factory.mktemp("home")
    return Settings(home=home, public_url=ISSUER, outbound_allow="127.0.0.1")


async def outside(host: str, _port: int) -> list[str]:
    return ["10.1.2.3"] if host == "inside.example.jp" else ["93.184.216.34"]


async def nowhere(_host: str, _port: int) -> list[str]:
    return []


@pytest_asyncio.fixture(scope="module", loop_scope="session", autouse=True)
async def _names(platform: Platform) -> AsyncIterator[None]:
    """What names resolve to when somebody subscribes."""
    before = platform.outbound
    platform.outbound = Outbound(HERE, resolve=outside)
    yield
    await platform.outbound.close()
    platform.outbound = before


@pytest_asyncio.fixture(loop_scope="session")
async def notifier(world: World) -> AsyncIterator[Notifier]:
    outbound = Outbound(HERE, resolve=nowhere)
    yield notifier_of(world, outbound)
    await outbound.close()


# --- subscribing ----------------------------------------------------------------------------------


async def test_a_subscription_is_its_clients_alone_and_its_secret_is_shown_once(
    world: World, notifier: Notifier
) -> None:
    mine = await told(world, notifier)
    made = await mine.subscribe("https://hooks.example.jp/a", **{"idempotency-key": "k-1"})
    await mine.write()
    await mine.notify(made)  # which moves its position, and fails
    again = await mine.subscribe("https://hooks.example.jp/a", **{"idempotency-key": "k-1"})
    body = {"dataset": mine.dataset, "url": "https://hooks.example.jp/b"}
    other = await mine.ask("POST", PATH, body, **{"idempotency-key": "k-1"})
    more = await mine.subscribe("https://hooks.example.jp/b")
    stranger = Told(world, notifier, mine.party, mine.dataset, await reader(world, mine.dataset))

    first = (await mine.ask("GET", PATH, query="?limit=1")).json()
    second = (await mine.ask("GET", first["links"][0]["href"].removeprefix(ISSUER))).json()
    theirs = [
        await stranger.ask("GET", f"{PATH}/{made['id']}"),
        await stranger.ask("DELETE", f"{PATH}/{made['id']}"),
        await stranger.ask("POST", f"{PATH}/{made['id']}/replay", {"since": made["position"]}),
    ]
    gone = await mine.ask("DELETE", f"{PATH}/{made['id']}")
    after = await mine.ask("GET", f"{PATH}/{made['id']}")

    assert again == made and made["secret"].startswith("whsec_")
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    assert {each["id"] for page in (first, second) for each in page["subscriptions"]} == {
        made["id"], more["id"],
    }  # fmt: skip
    assert second["links"] == [] and "secret" not in str([first, second])
    assert {(each.status_code, each.json()["code"]) for each in (*theirs, after)} == {
        (404, "subscription_not_found")
    }
    assert gone.status_code == 204
    kept = await world.platform.database.pool.fetch(
        "SELECT s::text FROM subscription s UNION ALL SELECT i::text FROM idempotent_answer i"
    )
    assert kept and made["secret"].removeprefix("whsec_") not in str(kept)
    events = [entry["event"] for entry in await world.log()]
    assert [each for each in events if each.startswith("subscription.")] == [
        "subscription.added", "subscription.added", "subscription.removed",
    ]  # fmt: skip


async def test_it_needs_the_right_to_read_and_a_scope_of_its_own(
    world: World, notifier: Notifier
) -> None:
    guarded = await told(world, notifier, data_class="restricted")
    stranger = await world.party(SAKAI)
    others = await world.token(stranger, f"dataset:{(await told(world, notifier)).dataset}:read")
    body = {"dataset": guarded.dataset, "url": "https://hooks.example.jp/"}

    refused = {
        "no token": await world.client.post(PATH, json=body),
        "no purpose": await guarded.ask("POST", PATH, body),
        "no scope": await world.client.post(
            f"{PATH}?purpose={PURPOSE}", json=body, headers=await reader(world, guarded.dataset)
        ),
        "no agreement": await world.client.post(
            f"{PATH}?purpose={PURPOSE}", json=body, headers=others
        ),
        "not there": await guarded.ask("POST", PATH, {**body, "dataset": "no-such"}),
    }

    assert {name: (each.status_code, each.json()["code"]) for name, each in refused.items()} == {
        "no token": (401, "token_required"),
        "no purpose": (403, "purpose_required"),
        "no scope": (403, "insufficient_scope"),
        "no agreement": (403, "no_agreement"),
        "not there": (404, "dataset_not_found"),
    }
    assert f"dataset:{guarded.dataset}:subscribe" in refused["no scope"].json()["detail"]
    entries = await world.log(Event.RECORDS_REFUSED)
    assert [entry["reason"] for entry in entries] == [
        "purpose_required", "insufficient_scope", "no_agreement",
    ]  # fmt: skip


async def test_an_address_that_leads_inside_is_refused_in_words(
    world: World, notifier: Notifier
) -> None:
    mine = await told(world, notifier)
    urls = ("https://inside.example.jp/", "https://10.0.0.1/", "https://hooks.example.jp:99999/",
            "https://user:sesame@hooks.example.jp/", "ftp://hooks.example.jp/", "hooks")  # fmt: skip

    for url in urls:
        answer = await mine.ask("POST", PATH, {"dataset": mine.dataset, "url": url})

        assert (answer.status_code, answer.json()["code"]) == (422, "url_not_allowed"), url
        assert answer.json()["errors"][0]["pointer"] == "/url"
        assert "10.1.2.3" not in answer.text and "sesame" not in answer.text
    form = {**mine.headers, "content-type": "application/x-www-form-urlencoded"}
    asked = await world.client.post(PATH, content=b"dataset=x", headers=form)
    assert (asked.status_code, asked.json()["code"]) == (415, "unsupported_media_type")


# --- being told -----------------------------------------------------------------------------------


async def test_a_notice_leads_to_what_changed_and_comes_again_from_there(
    world: World, notifier: Notifier
) -> None:
    mine = await told(world, notifier)
    async with receiving() as receiver:
        made = await mine.subscribe(receiver.url)
        for _ in range(2):
            await mine.write()
            await mine.notify(made)
        await mine.write()
        await mine.write()
        waits = await mine.notify(made)
        since = [body["data"]["since"] for _, body in receiver.got]
        read = await world.client.get(
            f"/v1/datasets/{mine.dataset}/changes?since={since[1]}",
            headers=await reader(world, mine.dataset),
        )
        replayed = await mine.ask("POST", f"{PATH}/{made['id']}/replay", {"since": since[1]})
        await mine.notify(made)
        wrong = await mine.ask("POST", f"{PATH}/{made['id']}/replay", {"since": "x"})

    assert waits is None and replayed.status_code == 202
    assert receiver.ids == [*receiver.ids[:3], *receiver.ids[1:3]] and len(set(receiver.ids)) == 3
    assert [each["record"]["name"] for each in read.json()["changes"]][-1] == "架空4"
    assert (wrong.status_code, wrong.json()["code"]) == (400, "invalid_cursor")
    state = await mine.state_of(made)
    assert (state["state"], state["failure"]) == ("active", None)
    assert [each["state"] for each in state["notices"]] == ["delivered"] * 3


async def test_what_changes_in_fields_or_rows_that_they_may_not_see_is_no_news(
    world: World, notifier: Notifier
) -> None:
    consumer = await world.party(SAKAI, Role.DEVELOPER)
    mine = await told(world, notifier, data_class="internal")
    terms = {"columns": ["no", "name"], "rows": "name <> '秘'"}
    await agreed(world, mine.dataset, consumer, **terms)
    mine.headers = await world.token(consumer, f"dataset:{mine.dataset}:subscribe")
    async with receiving() as receiver:
        made = await mine.subscribe(receiver.url, query=f"?purpose={PURPOSE}")
        await put(world, mine.dataset, [{"no": "1", "name": "架空", "size": 2}])
        await put(world, mine.dataset, [{"no": "2", "name": "秘", "size": 2}])
        await mine.notify(made)
        before = len(receiver.got)
        await put(world, mine.dataset, [{"no": "3", "name": "見える", "size": 2}])
        await mine.notify(made)

    assert (before, len(receiver.got)) == (0, 1)


# What is done to the dataset, or to the client; and what the subscription then says.
ENDS: dict[str, str] = {
    "UPDATE client SET revoked_at = now() WHERE id = $2 AND $1 <> ''": "client_revoked",
    "UPDATE dataset SET state = 'withdrawn', withdrawn_reason = '試験'"
    " WHERE id = $1 AND $2 <> ''": "dataset_withdrawn",
    """UPDATE dataset SET suppression = '{"k": 10, "dimensions": ["no"], "count": null}'
    WHERE id = $1 AND $2 <> ''""": "aggregate_only",
}


async def test_of_public_data_too_the_telling_ends_with_the_right_to_read(
    world: World, notifier: Notifier
) -> None:
    pool = world.platform.database.pool
    consumers = [await world.party(SAKAI) for _ in ENDS]
    subscribers = [await told(world, notifier, each) for each in consumers]
    async with receiving(does=500) as receiver:
        made = [await each.subscribe(receiver.url) for each in subscribers]
        for each, statement, which in zip(subscribers, ENDS, made, strict=True):
            await each.write()
            await each.notify(which)
            await pool.execute(statement, each.dataset, each.party.id)
            await each.pass_time(which)
            await each.notify(which)

    rows = await pool.fetch(
        "SELECT * FROM subscription WHERE state = 'stopped' ORDER BY created_at"
    )
    stopped = {row["id"]: row["stopped_code"] for row in rows}
    assert [stopped[each["id"]] for each in made] == list(ENDS.values())
    assert len(receiver.got) == len(made) and all(row["stopped_ja"] for row in rows)
    entries = await world.log(Event.SUBSCRIPTION_STOPPED)
    assert [entry["reason"] for entry in entries] == list(ENDS.values())


async def test_with_its_agreement_the_telling_ends_and_says_why(
    world: World, notifier: Notifier
) -> None:
    consumer = await world.party(SAKAI, Role.DEVELOPER)
    mine = await told(world, notifier, data_class="restricted")
    agreement, steward = await agreed(world, mine.dataset, consumer)
    mine.headers = await world.token(consumer, f"dataset:{mine.dataset}:subscribe")
    async with receiving(does=500) as receiver:
        made = await mine.subscribe(receiver.url, query=f"?purpose={PURPOSE}")
        await mine.write()
        await mine.notify(made)
        receiver.does = 204
        gone = await world.client.post(
            f"/v1/agreements/{agreement}/revoke", json={"reason": "試験"}, headers=steward
        )
        await mine.pass_time(made)
        waits = await mine.notify(made)
        state = await mine.state_of(made)

    assert (gone.status_code, waits, len(receiver.got)) == (200, None, 1)
    assert (state["state"], state["stopped_code"]) == ("stopped", "agreement_revoked")
    assert "revoked" in state["stopped_reason"]
    assert [each["state"] for each in state["notices"]] == ["failed"]
    assert [entry["reason"] for entry in await world.log(Event.RECORDS_REFUSED)] == [
        "agreement_revoked"
    ]


# --- receivers that mean ill, and workers that die ------------------------------------------------


BEHAVIOURS: dict[Any, tuple[str, str]] = {
    "floods": ("active", ""),
    "hangs": ("failing", "outbound_unreachable"),
    "drips": ("failing", "outbound_unreachable"),
    307: ("failing", "outbound_unusable"),
    500: ("failing", "webhook_not_taken"),
    410: ("stopped", "webhook_not_taken"),
}
SLOW = ("hangs", "drips")


async def test_a_receiver_may_do_what_it_likes(
    world: World, notifier: Notifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.tasks.notify._BOUNDS", Bounds(seconds=1.0))
    mine = await told(world, notifier)
    async with AsyncExitStack() as stack:
        receivers = [await stack.enter_async_context(receiving(does=does)) for does in BEHAVIOURS]
        made = [await mine.subscribe(each.url) for each in receivers]
        await on_hosts_of_their_own(world, made)
        await mine.write()
        await asyncio.gather(*map(mine.notify, made))
        found = [await mine.state_of(each) for each in made]
        again = [which for which, does in zip(made, BEHAVIOURS, strict=True) if does not in SLOW]
        for each in again:
            await mine.pass_time(each)
        await asyncio.gather(*map(mine.notify, again))

    seen = [(each["state"], (each["failure"] or "").partition(":")[0]) for each in found]
    assert seen == list(BEHAVIOURS.values())
    assert [len(each.got) for each in receivers] == [1, 1, 1, 2, 2, 1]
    assert all(len(set(each.ids)) == 1 for each in receivers)


async def on_hosts_of_their_own(world: World, made: list[dict[str, Any]]) -> None:
    """The same machine by other names: what is counted is the host that was named."""
    for each in made:
        await world.platform.database.pool.execute(
            "UPDATE subscription SET host = $1 WHERE id = $1", each["id"]
        )


async def test_a_name_that_turns_inwards_later_gets_nothing(
    world: World, notifier: Notifier
) -> None:
    async def inside(_host: str, _port: int) -> list[str]:
        return ["127.0.0.1"]

    outbound = Outbound(resolve=inside)
    mine = await told(world, notifier_of(world, outbound))
    async with receiving() as receiver:
        made = await mine.subscribe(f"https://hooks.example.jp:{receiver.port}/")
        await mine.write()
        await mine.notify(made)
    await outbound.close()

    assert receiver.got == []
    assert (await mine.state_of(made))["failure"].startswith("outbound_")


async def test_a_worker_that_died_after_sending_is_followed_by_another_with_the_same_id(
    world: World, notifier: Notifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def killed(*_: Any) -> None:
        raise ConnectionError

    mine = await told(world, notifier)
    async with receiving() as receiver:
        made = await mine.subscribe(receiver.url)
        await mine.write()
        with monkeypatch.context() as patch, pytest.raises(ConnectionError):
            patch.setattr(Notifier, "_note", killed)
            patch.setattr(notices, "let_go", killed)
            await mine.notify(made)
        held = await mine.notify(made)  # for a minute it is thought to live
        await world.platform.database.pool.execute(
            "UPDATE subscription SET sending_until = now() - interval '1 s' WHERE id = $1",
            made["id"],
        )
        await notices.keep_up(world.platform.database)
        called = await world.platform.database.pool.fetch(
            "SELECT payload FROM pgqueuer WHERE entrypoint = 'notify' AND status = 'queued'"
        )
        await mine.notify(made)

    assert held == timedelta(seconds=2)
    assert len(receiver.ids) == 2 and len(set(receiver.ids)) == 1
    assert made["id"] in {orjson.loads(each[0])["subscription"] for each in called}


async def test_two_workers_send_once_and_a_slow_host_holds_up_no_other(
    world: World, notifier: Notifier
) -> None:
    mine = await told(world, notifier)
    async with receiving(is_slow=True) as slow, receiving() as quick:
        made = [await mine.subscribe(slow.url) for _ in range(6)]
        other = await mine.subscribe(quick.url)
        await on_hosts_of_their_own(world, [other])
        await mine.write()
        sending = [asyncio.create_task(mine.notify(each)) for each in (*made, made[0])]
        await slow.came(4)
        await mine.notify(other)
        slow.answers.set()
        waits = await asyncio.gather(*sending)

    assert len(quick.got) == 1
    assert slow.most_at_once == 4 and len(slow.ids) == len(set(slow.ids)) == 4
    assert waits.count(timedelta(seconds=2)) == 3


async def test_what_was_ended_is_not_sent_again(world: World, notifier: Notifier) -> None:
    mine = await told(world, notifier)
    async with receiving(does=500, is_slow=True) as receiver:
        made = await mine.subscribe(receiver.url)
        await mine.write()
        sending = asyncio.create_task(mine.notify(made))
        await receiver.came(1)
        gone = await mine.ask("DELETE", f"{PATH}/{made['id']}")  # while it is on its way
        receiver.answers.set()
        await sending
        after = await mine.notify(made)

    assert (gone.status_code, after, len(receiver.got)) == (204, None, 1)
    left = await world.platform.database.pool.fetchval(
        "SELECT count(*) FROM notice WHERE subscription_id = $1", made["id"]
    )
    assert left == 0


async def test_after_a_day_of_trying_it_stops_and_its_owner_has_a_finding(
    world: World, notifier: Notifier
) -> None:
    mine = await told(world, notifier)
    async with receiving(does=503) as receiver:
        made = await mine.subscribe(receiver.url)
        await mine.write()
        pauses = []
        for _ in range(3):
            pauses.append(await mine.notify(made))
            await mine.pass_time(made)
        await mine.pass_time(made, "25 hours")
        late = await mine.notify(made)
        await mine.pass_time(made, "1 hour")
        last = await mine.notify(made)
        found = await mine.state_of(made)
        again = await mine.ask("POST", f"{PATH}/{made['id']}/replay", {"since": made["position"]})

    assert pauses == [timedelta(seconds=each) for each in (5, 10, 20)]
    assert late is not None and last is None
    assert (found["state"], found["stopped_code"]) == ("stopped", "notices_undeliverable")
    assert (again.status_code, again.json()["code"]) == (409, "subscription_stopped")
    (finding,) = await world.platform.database.pool.fetch(
        "SELECT * FROM finding WHERE subject_id = $1", made["id"]
    )
    assert (finding["rule"], finding["owner_id"]) == ("notices_undeliverable", KENKO)
    text = (await world.client.get("/metrics")).text
    assert "urbanos_subscriptions_stopped" in text and "urbanos_notices_waiting" in text


async def test_a_change_that_nobody_was_called_for_is_found_within_a_minute(
    world: World, notifier: Notifier
) -> None:
    mine = await told(world, notifier)
    pool = world.platform.database.pool
    made = await mine.subscribe("https://hooks.example.jp/")
    await pool.execute("DELETE FROM pgqueuer")
    await mine.write()
    await pool.execute("DELETE FROM pgqueuer")

    await notices.keep_up(world.platform.database)

    called = await pool.fetch("SELECT payload FROM pgqueuer WHERE entrypoint = 'notify'")
    assert made["id"] in {orjson.loads(each[0])["subscription"] for each in called}
