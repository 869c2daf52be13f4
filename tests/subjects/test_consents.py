"""Records of a person leave while that person consents: to this consumer, this dataset, this purpose."""

import asyncio
from datetime import timedelta
from typing import Any

import asyncpg
import pytest

from app.audit.events import Event
from app.kit import clock
from app.models.parties import Role
from app.policy import views
from app.subjects import consents
from app.subjects.texts import NothingToConsentTo
from tests.stock import PURPOSE, against_the_rules, path, stocked
from tests.subjects.consenting import (
    BY_CONSENT,
    SEEN,
    SPECS,
    Register,
    consumer_of,
    declare_subject,
    declare_view,
    register,
)
from tests.versioned import base, steward_of
from tests.world import KENKO, SAKAI, World

IKEDA = "272043"


async def test_only_the_records_of_those_who_consent_leave_and_all_of_them_to_their_publisher(
    world: World,
) -> None:
    people = await register(world)
    nobody = await people.seen()

    await people.give(2)

    assert nobody == []
    assert await people.seen() == ["2"]
    assert await people.seen(who=people.own) == ["1", "2", "3"]
    assert [e["rows"] for e in await world.log(Event.RECORDS_READ)] == [0, 1, 3]


async def test_the_record_of_whom_does_not_consent_is_told_from_none_by_nothing(
    world: World,
) -> None:
    people = await register(world)

    silent = await people.get(path(people.dataset, "1"))
    none = await people.get(path(people.dataset, "no-such"))
    await people.give(1)
    there = await people.get(path(people.dataset, "1"))

    assert (silent.status_code, silent.json()["code"]) == (404, "record_not_found")
    assert silent.json().keys() == none.json().keys()
    assert silent.json()["detail"].replace("key 1", "key no-such") == none.json()["detail"]
    assert there.status_code == 200


async def test_a_withdrawal_is_in_force_with_the_next_read_of_whatever_was_read_before(
    world: World,
) -> None:
    people = await register(world)
    consent, _ = await people.give(1), await people.give(2)
    first = await people.get(limit="1", sort="no")
    before = await people.get()
    old = before.headers["etag"]
    unchanged = await people.get(headers={"If-None-Match": old})
    then = clock.now().isoformat()

    await people.withdraw(consent.id, 1)

    after = await people.get(headers={"If-None-Match": old})
    assert first.json()["numberReturned"] == 1
    assert unchanged.status_code == 304
    assert (after.status_code, after.headers["etag"] != old) == (200, True)
    assert [each["no"] for each in after.json()["records"]] == ["2"]
    assert await people.seen(version="1") == ["2"]
    assert await people.seen(as_of=then) == ["2"]
    assert (await people.get(f="csv")).text.count("架空") == 1
    assert (await people.get(f="ndjson")).text.count("架空") == 1
    assert (await people.get(path(people.dataset, "1"))).status_code == 404


async def test_a_page_behind_a_withdrawal_leaves_the_person_out(world: World) -> None:
    people = await register(world)
    given = [await people.give(at) for at in (1, 2, 3)]
    first = (await people.get(limit="1")).json()
    [cursor] = [each["href"] for each in first["links"] if each["rel"] == "next"]

    await people.withdraw(given[1].id, 2)
    query = dict(pair.split("=") for pair in cursor.partition("?")[2].split("&"))
    second = await people.get(**query)

    assert second.status_code == 200, second.text
    assert [each["no"] for each in second.json()["records"]] == ["3"]


async def test_counts_and_filters_are_of_those_who_consent_and_aggregates_of_nobody(
    world: World,
) -> None:
    people = await register(world)
    await people.give(1)
    await people.give(3)
    aggregate = f"{base(people.dataset)}/aggregate"

    plainly = await people.get(aggregate, metrics="count,sum(size)")
    counted = await people.get(count="true", filter="size > 0 OR 1=1")
    denied = await people.get(count="true", filter="NOT (size > 2)")

    rules = {"suppression": {"k": 3, "dimensions": ["size"]}}
    headers = await steward_of(world)
    declared = await world.client.patch(base(people.dataset), json=rules, headers=headers)
    world.platform.live.changed("dataset", people.dataset)
    by_cells = await people.get(aggregate, metrics="count", group_by="size")

    assert (plainly.status_code, plainly.json()["code"]) == (403, "suppression_needed")
    assert counted.json()["numberMatched"] == 2
    assert denied.json()["numberMatched"] == 1
    assert declared.status_code == 200, declared.text
    # Cells are the same for everybody, and consents are not: two counts could be subtracted.
    assert (by_cells.status_code, by_cells.json()["code"]) == (403, "rows_not_told")


async def test_consent_is_to_all_that_leaves_also_where_less_than_its_value_does(
    world: World,
) -> None:
    people = await register(world, view={"consent": True, "masks": {"size": "drop"}})
    await people.give(1)
    before = await people.seen()

    await declare_view(world, people.dataset, {"consent": True, "masks": {"size": "bin(10)"}})
    masked = await people.seen()
    await people.give(2)
    after = (await people.get()).json()["records"]

    assert (before, masked) == (["1"], [])
    assert [(each["no"], each["size"]) for each in after] == [("2", 0)]


async def test_a_stand_in_for_the_person_leaves_by_consent_alone(world: World) -> None:
    masks = {"who": "pseudonymise"}
    people = await register(world, view={"consent": True, "masks": masks}, columns=[*SEEN, "who"])
    await people.give(2)

    [told] = (await people.get()).json()["records"]

    assert (told["no"], len(told["who"])) == ("2", 32)
    assert [e["subjects"] for e in await world.log(Event.RECORDS_READ)] == [1]


async def test_rows_that_were_agreed_and_consent_bound_each_other(world: World) -> None:
    people = await register(world, rows="size > 1")
    await people.give(1)
    await people.give(2)

    assert await people.seen() == ["2"]
    assert await people.seen(filter="size = 1 OR size > 0") == ["2"]


async def test_another_consumer_another_purpose_and_another_dataset_gain_nothing_by_it(
    world: World,
) -> None:
    people = await register(world)
    await people.give(1)
    other, _ = await consumer_of(world, people.dataset, IKEDA)
    for_health, _ = await consumer_of(world, people.dataset, purpose="health")
    await declare_view(world, people.dataset, BY_CONSENT, "health")
    elsewhere = await register(world)

    assert await people.seen(who=other) == []
    assert await people.seen(who=for_health, purpose="health") == []
    assert await elsewhere.seen() == []
    assert await people.seen() == ["1"]
    unsaid = await world.client.get(
        path(people.dataset), headers=people.asking.headers(path(people.dataset))
    )
    assert (unsaid.status_code, unsaid.json()["code"]) == (403, "purpose_required")


async def test_a_consent_ends_by_its_date_and_never_later_than_the_agreement(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    people = await register(world)
    now = clock.now()
    short = await people.give(1, valid_until=now + timedelta(seconds=20))
    long = await people.give(2, valid_until=now + timedelta(days=9_000))
    before = await people.seen()

    monkeypatch.setattr(clock, "now", lambda: now + timedelta(seconds=21))
    over = await people.seen()
    await against_the_rules(
        world, "UPDATE subject_consent_name SET given_at = $2 WHERE consent_id = $1", long.id,
        now + timedelta(hours=1),
    )  # fmt: skip
    not_yet = await people.seen()

    shown = await people.offered()
    assert short.valid_until < long.valid_until == shown.valid_until
    assert (before, over, not_yet) == (["1", "2"], ["2"], [])


async def test_consent_to_some_fields_lets_out_no_record_with_more(world: World) -> None:
    people = await register(world, columns=["no", "name"])
    await people.give(1)
    wider, _ = await consumer_of(world, people.dataset, columns=SEEN)
    narrower, _ = await consumer_of(world, people.dataset, columns=["no"])

    assert await people.seen() == ["1"]
    assert await people.seen(who=narrower) == ["1"]
    assert await people.seen(who=wider) == []


async def test_what_was_not_shown_or_no_longer_holds_is_consented_to_by_nobody(
    world: World,
) -> None:
    people = await register(world)
    text = await people.offered()
    with pytest.raises(consents.ConsentTextNotInForce):
        await people.give(1, text_sha256="0" * 64)
    with pytest.raises(consents.PersonNotNamed):
        await people.give(1, names={SAKAI: frozenset({"somebody"})})
    with pytest.raises(consents.ConsentPeriodInvalid):
        await people.give(1, valid_until=clock.now() - timedelta(seconds=1))
    with pytest.raises(NothingToConsentTo):
        await people.offered(consumer=IKEDA)
    with pytest.raises(NothingToConsentTo):
        await people.offered(purpose="health")

    await declare_view(world, people.dataset, {"columns": ["no"], "consent": True})
    with pytest.raises(consents.ConsentTextNotInForce):
        await people.give(1, text_sha256=text.sha256)
    steward = await world.token(await world.party(KENKO, Role.STEWARD), "agreements:write")
    await world.client.post(
        f"/v1/agreements/{people.agreement}/revoke", json={"reason": "試験"}, headers=steward
    )
    with pytest.raises(NothingToConsentTo):
        await people.give(1, text_sha256=text.sha256)


async def test_the_text_says_what_from_whom_to_whom_why_and_until_when(world: World) -> None:
    people = await register(world)

    text, again = await people.offered(), await people.offered()

    assert text.sha256 == again.sha256
    for told in (text.ja, text.en):
        for part in (
            *SEEN,
            KENKO,
            SAKAI,
            PURPOSE,
            people.dataset,
            f"{text.valid_until.astimezone(clock.TOKYO):%Y-%m-%d}",
        ):
            assert part in told
    assert "who" not in text.columns


async def test_there_is_one_consent_to_the_same_however_many_are_given_at_once(
    world: World,
) -> None:
    people = await register(world)

    given = await asyncio.gather(*(people.give(1) for _ in range(4)), return_exceptions=True)

    kept = [each for each in given if not isinstance(each, BaseException)]
    assert len(kept) == 1
    assert {type(each) for each in given} - {type(kept[0])} == {consents.ConsentAlreadyGiven}
    await people.withdraw(kept[0].id, 1)
    assert (await people.give(1)).id != kept[0].id
    assert len(await _list(people, 1)) == 2


async def _list(people: Register, at: int) -> Any:
    async with people.world.platform.database.reading() as session:
        return await consents.list_of(session, await people.of(at))


async def test_nobody_sees_or_withdraws_anothers_consent_and_a_second_time_changes_nothing(
    world: World,
) -> None:
    people = await register(world)
    consent = await people.give(1)

    with pytest.raises(consents.ConsentNotFound):
        await people.withdraw(consent.id, 2)
    assert await people.seen() == ["1"]
    first = await people.withdraw(consent.id, 1)
    second = await people.withdraw(consent.id, 1)

    assert first.withdrawn_at == second.withdrawn_at
    assert await _list(people, 2) == []
    assert [each.id for each in await _list(people, 1)] == [consent.id]


async def test_the_log_has_each_giving_and_withdrawal_and_names_no_person(world: World) -> None:
    people = await register(world)
    consent = await people.give(1)
    await people.withdraw(consent.id, 1)

    told = await world.log(Event.CONSENT_GIVEN, Event.CONSENT_WITHDRAWN)

    assert [each["consent"] for each in told] == [str(consent.id)] * 2
    every = {name for those in (await people.of(1)).values() for name in those}
    assert not [name for name in every if name in str(await world.log())]


async def test_a_consent_holds_by_older_names_and_newer_ones_whenever_it_was_given(
    world: World,
) -> None:
    people = await register(world)
    given = await people.give(1)
    linker, headers = world.platform.linker, await steward_of(world)

    turned = await world.client.post("/v1/subjects/keys", headers=headers)
    await people.give(2)
    newer = await linker.translate(people.people, of=KENKO, for_=KENKO)
    rows = [
        {"no": f"{at}-new", "who": newer[name], "name": "架空", "size": at}
        for at, name in enumerate(people.people, start=1)
    ]
    where = path(people.dataset)
    wrote = await world.client.post(where, json=rows, headers=people.own.headers(where, "POST"))
    by_either = await people.seen()
    await people.withdraw(given.id, 1)

    assert (turned.status_code, wrote.json()["rejected"]) == (201, 0), turned.text
    assert not set(newer.values()) & set(people.people)
    assert by_either == ["1", "2", "1-new", "2-new"]
    assert await people.seen() == ["2", "2-new"]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE subject_consent SET purpose = 'health' WHERE id = $1",
        "UPDATE subject_consent SET valid_until = valid_until + interval '1 day' WHERE id = $1",
        "UPDATE subject_consent SET withdrawn_at = NULL, withdrawn_by = NULL WHERE id = $1",
        "DELETE FROM subject_consent WHERE id = $1",
        "UPDATE subject_consent_name SET name = 'x' WHERE consent_id = $1",
        "UPDATE subject_consent_name SET withdrawn_at = NULL WHERE consent_id = $1",
        "INSERT INTO subject_consent_name (consent_id, name, organization_id)"
        " SELECT id, 'x', consumer_id FROM subject_consent WHERE id = $1",
    ],
)
async def test_the_database_itself_keeps_what_was_consented_to(
    world: World, statement: str
) -> None:
    people = await register(world, people=1)
    consent = await people.give(1)
    await people.withdraw(consent.id, 1)

    with pytest.raises(asyncpg.CheckViolationError):
        await world.platform.database.pool.execute(statement, consent.id)


async def test_whose_a_consent_is_stays_known_while_it_is_in_force(world: World) -> None:
    people = await register(world, people=1)
    consent = await people.give(1)

    with pytest.raises(asyncpg.CheckViolationError):
        await world.platform.database.pool.execute(
            "DELETE FROM subject_consent_name WHERE consent_id = $1", consent.id
        )


async def test_a_view_that_asks_consent_needs_a_field_that_names_the_person(world: World) -> None:
    dataset = await stocked(world, [], SPECS, data_class="personal")
    where = f"{base(dataset)}/purposes/{PURPOSE}"

    refused = await world.client.put(where, json=BY_CONSENT, headers=await steward_of(world))

    assert refused.status_code == 422
    assert [each["code"] for each in refused.json()["errors"]] == ["subject_not_declared"]


async def test_where_the_field_is_taken_back_no_record_leaves_and_the_log_says_why(
    world: World,
) -> None:
    people = await register(world)
    await people.give(1)

    await declare_subject(world, people.dataset, None)
    answer = await people.get()

    assert (answer.status_code, answer.json()["code"]) == (403, "subject_not_declared")
    assert [e["reason"] for e in await world.log(Event.RECORDS_REFUSED)] == ["subject_not_declared"]


async def test_consent_that_nobody_is_asked_for_would_be_noticed_here(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(views, "_consent_to", lambda _facts, _view: None)

    with pytest.raises(AssertionError):
        await test_only_the_records_of_those_who_consent_leave_and_all_of_them_to_their_publisher(
            world
        )


async def test_a_mask_of_before_the_field_named_the_person_shows_no_part_of_a_name(
    world: World,
) -> None:
    view = {"consent": True, "columns": [*SEEN, "who"]}
    people = await register(world, view=view, columns=[*SEEN, "who"])
    await people.give(1)
    await declare_subject(world, people.dataset, None)
    await declare_view(world, people.dataset, {"masks": {"who": "first(3)"}, "consent": False})
    before = (await people.get()).json()["records"]

    await declare_subject(world, people.dataset)
    after = [await people.get(f=form) for form in ("json", "csv", "ndjson")]
    named = [await people.get(fields="who"), await people.get(sort="who")]

    assert [each["who"] for each in before] == [name[:3] for name in people.people]
    for answer in after:
        assert answer.status_code == 200
        assert "who" not in answer.text.replace(people.dataset, "").partition('"meta"')[0]
    assert {each.status_code for each in named} == {403}
