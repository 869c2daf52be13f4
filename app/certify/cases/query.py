"""Cases of the class `query`: conditions, order, places, words and sums, each reckoned here anew.

What a question must find is reckoned from all the records that the server gave without it.
"""

import asyncio
import math
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from email.utils import parsedate_to_datetime
from typing import Any, Final

import orjson

from app.certify.cases.asking import Findings, code_of, expect, records_of, wrong
from app.certify.cases.values import cased, folded
from app.certify.client import Exchange, Server
from app.certify.judge import CASES, Wrong, not_unless
from app.certify.stage import Record, Stage

_EARTH_M: Final = 6_371_008.8
_MOST: Final = 10_000
Test = Callable[[Record], bool]


async def _found(server: Server, stage: Stage, query: dict[str, Any]) -> Exchange:
    return await server.get(stage.path, {"limit": _MOST, **query})


def _held(stage: Stage, page: Exchange, wanted: Test) -> Wrong | None:
    """The finding where other records were found than those that meet the condition."""
    right = sorted(stage.keys([each for each in stage.records if wanted(each)]))
    given = sorted(stage.keys(records_of(page)))
    if page.status == 200 and given == right:
        return None
    if page.status != 200:
        return wrong(page, f"{len(right)} records", code_of(page))
    one, other = Counter(right), Counter(given)
    missing, more = ([",".join(key) for key in list(a)[:5]] for a in (one - other, other - one))
    told = f"{len(given)}: without {missing}, and with {more} that do not meet it"
    return wrong(page, f"{len(right)} records", told)


def _common(stage: Stage, *types: str) -> tuple[str, Any]:
    """A field and a value of it that some records have and some have not."""
    for name in stage.of_type(*types):
        for value in dict.fromkeys(stage.values(name)):
            count = sum(each.get(name) == value for each in stage.records)
            if 0 < count < len(stage.records):
                return name, value
    return "", None


def _middle(stage: Stage, *types: str) -> tuple[str, Any]:
    """A field and the value in its middle."""
    for name in stage.of_type(*types):
        values = sorted(stage.values(name))
        if values and values[0] != values[-1]:
            return name, values[len(values) // 2]
    return "", None


@CASES.of("QUERY-02")
async def a_field_is_a_parameter(server: Server, stage: Stage) -> Findings:
    name, value = _common(stage, "text", "code", "local_government_code")
    not_unless(name, "no field parts the records", "レコードを分ける項目がありません")
    others = [each for each in dict.fromkeys(stage.values(name)) if each != value][:1]
    either = {value, *others}
    for query, wanted in (
        ({name: value}, lambda each: each.get(name) == value),
        ({name: [value, *others]}, lambda each: each.get(name) in either),
    ):
        page = await _found(server, stage, query)
        if (fault := _held(stage, page, wanted)) is not None:
            yield fault
    if not any("," in str(each) for each in either):
        page = await _found(server, stage, {name: ",".join(map(str, [value, *others]))})
        if (fault := _held(stage, page, lambda each: each.get(name) in either)) is not None:
            yield fault
    number, middle = _middle(stage, "integer", "decimal")
    if number:
        page = await _found(server, stage, {name: value, number: middle})
        both: Test = lambda each: each.get(name) == value and each.get(number) == middle  # noqa: E731
        if (fault := _held(stage, page, both)) is not None:
            yield fault


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _texts(stage: Stage) -> list[tuple[str, Test]]:
    name, value = _common(stage, "text")
    if not name:
        return []
    start = value[:1].replace("%", "").replace("_", "") or value
    return [
        (f"{name} = {_quoted(value)}", lambda each: each.get(name) == value),
        (f"{name} <> {_quoted(value)}", lambda each: each.get(name) not in (None, value)),
        (f"{name} LIKE {_quoted(start + '%')}", lambda each: str(each.get(name) or "").startswith(start)),
        (f"{name} IN ({_quoted(value)}, 'no such value')", lambda each: each.get(name) == value),
        (f"CASEI({name}) = CASEI({_quoted(value)})",
         lambda each: each.get(name) is not None and cased(each[name]) == cased(value)),
    ]  # fmt: skip


def _numbers(stage: Stage) -> list[tuple[str, Test]]:
    name, middle = _middle(stage, "integer")
    if not name:
        return []

    def there(test: Callable[[Any], bool]) -> Test:
        return lambda each: each.get(name) is not None and test(each[name])

    return [
        (f"{name} > {middle}", there(lambda value: value > middle)),
        (f"{name} >= {middle} AND {name} < {middle + 10}",
         there(lambda value: middle <= value < middle + 10)),
        (f"{name} BETWEEN {middle - 5} AND {middle}", there(lambda value: middle - 5 <= value <= middle)),
        (f"NOT ({name} > {middle})", there(lambda value: value <= middle)),
        (f"{name} * 2 = {middle * 2}", there(lambda value: value == middle)),
        (f"{name} IS NULL", lambda each: each.get(name) is None),
        (f"{name} IS NULL OR {name} > {middle}",
         lambda each: each.get(name) is None or each[name] > middle),
    ]  # fmt: skip


def _moments(stage: Stage) -> list[tuple[str, Test]]:
    name, middle = _middle(stage, "datetime")
    if not name:
        return []
    moment = datetime.fromisoformat(middle)
    told = moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    def after(each: Record) -> bool:
        value = each.get(name)
        return value is not None and datetime.fromisoformat(value) > moment

    return [(f"T_AFTER({name}, TIMESTAMP('{told}'))", after)]


def _placed(stage: Stage) -> list[tuple[str, Test]]:
    box = _box(stage)
    if box is None:
        return []
    west, south, east, north = box
    ring = f"{west} {south}, {east} {south}, {east} {north}, {west} {north}, {west} {south}"
    return [(f"S_INTERSECTS(geometry, POLYGON(({ring})))", lambda each: _within(stage, each, box))]


@CASES.of("QUERY-03")
async def conditions_of_cql2_hold(server: Server, stage: Stage) -> Findings:
    told = [*_texts(stage), *_numbers(stage), *_moments(stage), *_placed(stage)]
    not_unless(told, "no field can be asked about", "条件にできる項目がありません")
    for text, wanted in told:
        page = await _found(server, stage, {"filter": text})
        if (fault := _held(stage, page, wanted)) is not None:
            yield fault


@CASES.of("QUERY-03")
async def conditions_may_come_as_json(server: Server, stage: Stage) -> Findings:
    name, middle = _middle(stage, "integer")
    not_unless(name, "no field is a number", "数値の項目がありません")
    asked = {"op": ">", "args": [{"property": name}, middle]}
    query = {"filter": orjson.dumps(asked).decode(), "filter-lang": "cql2-json"}
    page = await _found(server, stage, query)
    wanted: Test = lambda each: each.get(name) is not None and each[name] > middle  # noqa: E731
    if (fault := _held(stage, page, wanted)) is not None:
        yield fault


@CASES.of("QUERY-03")
async def what_is_no_condition_is_refused(server: Server, stage: Stage) -> Findings:
    for text in ("(((", "1 ="):
        refused = await _found(server, stage, {"filter": text})
        for each in expect(refused, 400, "invalid_filter"):
            yield each
    unknown = await _found(server, stage, {"filter": "no_such_field = 1"})
    # A field is named as a parameter would be: either code says what is wrong.
    if code_of(unknown) not in ("400 invalid_filter", "400 unknown_parameter"):
        yield wrong(unknown, "400 with code invalid_filter", code_of(unknown))


# --- places ---------------------------------------------------------------------------------------


def _place_fields(stage: Stage) -> tuple[str, str] | None:
    north, east = stage.of_type("latitude"), stage.of_type("longitude")
    return (east[0], north[0]) if north and east else None


def _point(stage: Stage, record: Record) -> tuple[float, float] | None:
    names = _place_fields(stage)
    if names is None or record.get(names[0]) is None or record.get(names[1]) is None:
        return None
    return float(record[names[0]]), float(record[names[1]])


def _box(stage: Stage) -> tuple[float, float, float, float] | None:
    """A box around the nearer half of the places; its edges lie on none of them."""
    points = sorted(p for each in stage.records if (p := _point(stage, each)) is not None)
    if len(points) < 4:
        return None
    half = points[: len(points) // 2]
    east, wests = half[-1][0], [p[0] for p in points if p[0] > half[-1][0]]
    if not wests:
        return None
    edge = round((east + wests[0]) / 2, 7)
    souths, norths = min(p[1] for p in points), max(p[1] for p in points)
    return round(half[0][0] - 0.001, 7), round(souths - 0.001, 7), edge, round(norths + 0.001, 7)


def _within(stage: Stage, record: Record, box: Sequence[float]) -> bool:
    point = _point(stage, record)
    if point is None:
        return False
    west, south, east, north = box
    return west <= point[0] <= east and south <= point[1] <= north


@CASES.of("QUERY-04")
async def a_box_finds_what_lies_in_it(server: Server, stage: Stage) -> Findings:
    box = _box(stage)
    not_unless(box, "fewer than four places are apart", "離れた位置が4件ありません")
    assert box is not None  # noqa: S101 - `not_unless` has seen to it
    page = await _found(server, stage, {"bbox": ",".join(map(str, box))})
    if (fault := _held(stage, page, lambda each: _within(stage, each, box))) is not None:
        yield fault
    west, south, east, north = box
    crossing = await _found(server, stage, {"bbox": f"{east},{south},{west},{north}"})

    def beyond(each: Record) -> bool:
        point = _point(stage, each)
        return point is not None and south <= point[1] <= north and not west < point[0] < east

    if (fault := _held(stage, crossing, beyond)) is not None:
        yield fault
    backwards = await _found(server, stage, {"bbox": f"{west},{north},{east},{south}"})
    for each in expect(backwards, 400, "invalid_parameter"):
        yield each


def _metres(one: tuple[float, float], other: tuple[float, float]) -> float:
    (lon1, lat1), (lon2, lat2) = ([math.radians(n) for n in each] for each in (one, other))
    part = math.sin((lat2 - lat1) / 2) ** 2
    part += math.cos(lat1) * math.cos(lat2) * math.sin((lon2 - lon1) / 2) ** 2
    return 2 * _EARTH_M * math.asin(math.sqrt(part))


@CASES.of("QUERY-05")
async def the_nearest_come_first_with_their_distance(server: Server, stage: Stage) -> Findings:
    points = [p for each in stage.records if (p := _point(stage, each)) is not None]
    not_unless(len(points) > 1, "fewer than two places are there", "位置が2件ありません")
    here = stage.chance.choice(points)
    radius = sorted(_metres(here, each) for each in points)[len(points) // 2] * 1.02 + 10
    query = {"lat": here[1], "lon": here[0], "radius": round(radius, 1)}
    page = await _found(server, stage, query)
    last = -1.0
    for record in records_of(page):
        point, told = _point(stage, record), record.get("distance")
        right = _metres(here, point) if point is not None else math.inf
        if not isinstance(told, int | float) or abs(told - right) > max(right * 0.005, 0.5):
            yield wrong(page, f"distance {right:.1f} (within 0.5 %)", told)
            return
        if told < last:
            yield wrong(page, "nearest first", f"{told} after {last}")
            return
        last = told
    sure = sum(_metres(here, each) < radius * 0.99 for each in points)
    if len(records_of(page)) < sure:
        yield wrong(page, f"at least {sure} records", len(records_of(page)))
    sorted_too = await _found(server, stage, {**query, "sort": stage.fields[0]["name"]})
    alone = await _found(server, stage, {"lat": here[1]})
    for refused in (sorted_too, alone):
        for each in expect(refused, 400, "invalid_parameter"):
            yield each


# --- order, fields, sums, words -------------------------------------------------------------------


@CASES.of("QUERY-06")
async def null_comes_last_both_ways(server: Server, stage: Stage) -> Findings:
    name, _ = _middle(stage, "integer", "decimal", "date")
    not_unless(name, "no field can be put in order", "並べ替えられる項目がありません")
    there = sorted(stage.values(name))
    nulls = [None] * (len(stage.records) - len(there))
    for sort, right in ((name, there), (f"-{name}", there[::-1])):
        page = await _found(server, stage, {"sort": sort})
        given = [each.get(name) for each in records_of(page)]
        if given != [*right, *nulls]:
            yield wrong(page, f"{[*right[:5], '…', *nulls[:1]]}", given[:8])


@CASES.of("QUERY-07")
async def only_the_fields_that_are_named(server: Server, stage: Stage) -> Findings:
    names = [each["name"] for each in stage.fields][:3][::-1]
    page = await _found(server, stage, {"fields": ",".join(names), "limit": 5})
    not_unless(stage.records, "there is no record", "レコードがありません")
    for record in records_of(page) or [{}]:
        if list(record) != names:
            yield wrong(page, f"the members {names}, in that order", list(record))
            return


@CASES.of("QUERY-08")
async def the_counts_of_groups_add_up(server: Server, stage: Stage) -> Findings:
    name, value = _common(stage, "code", "local_government_code", "text")
    not_unless(name, "no field parts the records", "レコードを分ける項目がありません")
    path = f"/v1/datasets/{stage.id}/aggregate"
    for query in ({}, {name: value}):
        asked = {"group_by": name, "metrics": "count", "limit": 1000, **query}
        groups = await server.get(path, asked)
        page = await server.get(stage.path, {"limit": 1, "count": "true", **query})
        told = groups.member("groups")
        counts = [
            each.get("values", {}).get("count") for each in told or [] if isinstance(each, dict)
        ]
        added = sum(each for each in counts if isinstance(each, int))
        if groups.status != 200 or added != page.member("numberMatched"):
            yield wrong(groups, f"counts that make {page.member('numberMatched')}", added)


@CASES.of("QUERY-12")
async def sums_are_exact(server: Server, stage: Stage) -> Findings:
    names = [name for name in stage.of_type("integer", "decimal") if stage.values(name)]
    not_unless(names, "no record has a number", "数値がありません")
    name = names[0]
    values = [Decimal(str(each)) for each in stage.values(name)]
    metrics = [f"sum({name})", f"avg({name})", f"min({name})", f"max({name})"]
    groups = await server.get(f"/v1/datasets/{stage.id}/aggregate", {"metrics": ",".join(metrics)})
    told = groups.member("groups")
    first = told[0].get("values", {}) if isinstance(told, list) and told else {}
    added = sum(values, Decimal(0))
    right = (added, added / len(values), min(values), max(values))
    for metric, wanted in zip(metrics, right, strict=True):
        given = first.get(metric)
        if given is None or abs(Decimal(str(given)) - wanted) > abs(wanted) * Decimal("1e-12"):
            yield wrong(groups, f"{metric} = {wanted}", given)
            return


@CASES.of("QUERY-09")
async def words_are_found_in_any_width_and_kana(server: Server, stage: Stage) -> Findings:
    texts = stage.of_type("text", "kana")
    words = [str(value) for name in texts for value in stage.values(name) if len(str(value)) > 1]
    not_unless(words, "no record has a text", "文字列がありません")
    word = stage.chance.choice(sorted(set(words)))[:4].strip().split(" ")[0]
    must = {key for key, each in zip(stage.keys(), stage.records, strict=True)
            if any(folded(word) in folded(str(each.get(name) or "")) for name in texts)}  # fmt: skip
    for spelling in dict.fromkeys((word, folded(word), _wide(word))):
        page = await _found(server, stage, {"q": spelling})
        missed = must - set(stage.keys(records_of(page)))
        if page.status != 200 or missed:
            yield wrong(
                page, f"at least {sorted(must)[:5]} for {spelling}", f"without {sorted(missed)[:5]}"
            )
    nothing = await _found(server, stage, {"q": "ゔ゛∮ no such words"})
    if records_of(nothing):
        yield wrong(nothing, "no record for words that stand nowhere", len(records_of(nothing)))


def _wide(text: str) -> str:
    """ASCII at full width, as it is often typed."""
    return "".join(chr(ord(sign) + 0xFEE0) if "!" <= sign <= "~" else sign for sign in text)


@CASES.of("QUERY-11")
async def what_was_read_at_a_time_is_read_again(server: Server, stage: Stage) -> Findings:
    stamp = "%Y-%m-%dT%H:%M:%SZ"
    # Since the records were read a whole second has to have passed, by the server's own clock.
    await asyncio.sleep(server.settle_seconds)
    now = _time_at(await server.get(f"/v1/datasets/{stage.id}"))
    then = now.strftime(stamp)
    page = await server.get(stage.path, {"as_of": then, "limit": 5})
    if stage.keys(records_of(page)) != stage.keys()[:5]:
        yield wrong(page, "the records since then", f"{page.status} {stage.keys(records_of(page))}")
    old = await server.get(stage.path, {"as_of": "1950-01-01T00:00:00Z"})
    for each in expect(old, 404, "version_not_found"):
        yield each
    to_come = (now + timedelta(days=30)).strftime(stamp)
    for query in (
        {"as_of": to_come},
        {"as_of": then, "version": stage.entry["version"]},
    ):
        refused = await server.get(stage.path, query)
        for each in expect(refused, 400, "invalid_parameter"):
            yield each


def _time_at(answer: Exchange) -> datetime:
    """What the server's clock said when it answered; ours where it says nothing."""
    told = answer.headers.get("date")
    try:
        found = parsedate_to_datetime(told) if told is not None else datetime.now(UTC)
    except ValueError:
        found = datetime.now(UTC)
    return found.astimezone(UTC).replace(microsecond=0)
