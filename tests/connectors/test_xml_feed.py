"""The kind `xml_feed`: feeds that are made up here, and telegrams that the JMA gives as samples."""

import asyncio
import csv
import io
import os
import threading
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import structlog

from app.connectors import feed_entries, feed_memory, safe_xml, xml_feed
from app.connectors.errors import SourceError
from app.connectors.frame import Changes, Known
from app.connectors.xml_feed import XmlFeedConnector, XmlFeedSelection, XmlFeedSettings
from app.kit import clock
from tests.connectors.contract import Contract, Row, Stage
from tests.connectors.feeds import Office, atom, telegram
from tests.connectors.sources import Asked, means, reply, web

DATA = Path(os.environ.get("URBANOS_REAL_DATA", Path(__file__).parents[3] / "shared" / "data"))
ROWS: list[Row] = [{"id": "a", "title": "架空第一"}, {"id": "b", "title": "架空、第二"}]
ALERTS: list[Row] = [
    {"event_id": "E1", "headline": "架空の大雨"},
    {"event_id": "E2", "headline": "架空の強風"},
]
NOW = datetime(2026, 11, 29, 3, tzinfo=UTC)


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[datetime]:
    """What the clock says; a test moves it."""
    told = [NOW]
    monkeypatch.setattr(clock, "now", lambda: told[0])
    return told


def _made(base: str, its: Any) -> XmlFeedConnector:
    return XmlFeedConnector(XmlFeedSettings.model_validate({"base": base}), its)


def _selection(**read: Any) -> XmlFeedSelection:
    return XmlFeedSelection.model_validate({"read": {"type": "jma", **read}})


async def harvested(
    made: XmlFeedConnector, selection: XmlFeedSelection, known: Known | None = None
) -> tuple[list[dict[str, str]] | None, Known | None]:
    """The rows, None where nothing changed; and what is known afterwards."""
    async with made.harvest(selection, known) as got:
        if got is None:
            return None, known
        body = b"".join([piece async for piece in got.pieces]).decode()
        return list(csv.DictReader(io.StringIO(body))), Known(got.validators or {})


def states(rows: list[dict[str, str]] | None) -> list[tuple[str, str, str]]:
    """What is so, where, in short."""
    return [(row["event_id"], row["area_code"], row["state"]) for row in rows or ()]


async def _gone(connector: XmlFeedConnector) -> None:
    connector.settings = connector.settings.model_copy(update={"base": "http://127.0.0.1:9/"})


class TestAtom(Contract):
    """Entries, behind a password."""

    @pytest_asyncio.fixture(loop_scope="session")
    async def stage(self) -> AsyncIterator[Stage]:
        rows = list(ROWS)

        def answer(asked: Asked) -> bytes:
            assert asked.headers["authorization"].startswith("Basic ")
            body = atom([(row["id"], row["title"], f"/{row['id']}") for row in rows])
            return reply(body, kind="application/atom+xml")

        async with web(answer) as server, means() as its:
            proof = {"type": "basic", "user": "u", "password": "hidden-word-x"}
            told = {"base": server.base, "auth": proof}
            connector = XmlFeedConnector(XmlFeedSettings.model_validate(told), its)
            selection = XmlFeedSelection.model_validate({"columns": ["id", "title"]})

            async def add(row: Row) -> None:
                rows.append(row)

            yield Stage(
                connector, selection, ROWS, add, lambda: _gone(connector),
                lambda: server.open_now, "hidden-word-x", ["entries"],
            )  # fmt: skip


class TestJma(Contract):
    """Telegrams of two events."""

    @pytest_asyncio.fixture(loop_scope="session")
    async def stage(self, now: list[datetime]) -> AsyncIterator[Stage]:
        office = Office()

        async def add(row: Row) -> None:
            sent = f"2026-11-29T00:00:0{len(office.telegrams)}Z"
            office.publish(telegram(row["event_id"], sent=sent, headline=row["headline"]))

        for row in ALERTS:
            await add(row)
        async with web(office.answer) as server, means() as its:
            connector = _made(server.base, its)
            told = {"read": {"type": "jma"}, "columns": list(ALERTS[0])}
            yield Stage(
                connector, XmlFeedSelection.model_validate(told), ALERTS, add,
                lambda: _gone(connector), lambda: server.open_now,
            )  # fmt: skip


async def test_what_is_taken_back_or_is_over_is_marked_and_no_telegram_is_asked_for_twice(
    now: list[datetime],
) -> None:
    office = Office()
    places = (("2799100", "架空市"), ("2799200", "想像町"))
    office.publish(telegram("E1", areas=places))
    office.publish(telegram("E2", until="2026-11-29T15:00:00+09:00"))
    async with web(office.answer) as server, means() as its:
        made, selection = _made(server.base, its), _selection()
        first, known = await harvested(made, selection)
        office.publish(
            telegram(
                "E1", sent="2026-11-29T01:00:00Z", what="取消", areas=(), headline="取消します"
            )
        )
        second, known = await harvested(made, selection, known)
        same, known = await harvested(made, selection, known)
        now[0] = NOW + timedelta(hours=4)  # and the feed does not change
        third, known = await harvested(made, selection, known)
        left, _ = await harvested(made, _selection(ended="left_out", empty_is_an_answer=False))
        none, _ = await harvested(made, _selection(ended="left_out"))
        now[0] = NOW + timedelta(days=8)
        forgotten, _ = await harvested(made, selection, known)

    assert states(first) == [
        ("E1", "2799100", "in_force"), ("E1", "2799200", "in_force"), ("E2", "2799100", "in_force"),
    ]  # fmt: skip
    assert states(second) == [
        ("E2", "2799100", "in_force"), ("E1", "2799100", "cancelled"), ("E1", "2799200", "cancelled"),
    ]  # fmt: skip
    assert second is not None
    assert (second[2]["headline"], second[2]["area_name"]) == ("取消します", "想像町")
    assert same is None
    assert states(third)[0] == ("E2", "2799100", "expired")
    assert (states(left), none, forgotten) == ([("E1", "2799200", "cancelled")], [], [])
    paths = [asked.path for asked in server.asked if asked.path != "/"]
    assert paths == [
        "/2.xml",
        "/1.xml",
        "/3.xml",
        "/3.xml",
        "/2.xml",
        "/1.xml",
        "/3.xml",
        "/2.xml",
        "/1.xml",
    ]  # `left` and `none` knew nothing


async def test_that_no_alert_is_in_force_is_said_by_who_knows_what_was(
    now: list[datetime],
) -> None:
    office, listed = Office(), _selection(ended="left_out", titles=["架空情報"])
    office.publish(telegram("E1", until="2026-11-29T15:00:00+09:00"))
    async with web(office.answer) as server, means() as its:
        made = _made(server.base, its)
        _, known = await harvested(made, listed)
        now[0] = NOW + timedelta(hours=4)
        of_none = _selection(ended="left_out", titles=["他の情報"])
        said = []
        for selection, knows in (
            (listed, known), (of_none, None),
            (of_none, Known({"memory": "of another edition"})),
        ):  # fmt: skip
            async with made.harvest(selection, knows) as got:
                assert got is not None
                said.append(got.is_empty)
        office.telegrams.clear()
        async with made.harvest(listed, None) as got:
            assert got is not None
            said.append(got.is_empty)

    assert said == [True, True, False, False]


async def test_who_does_not_remember_is_not_content_with_a_feed_that_has_not_changed(
    now: list[datetime], monkeypatch: pytest.MonkeyPatch
) -> None:
    office = Office()
    office.publish(telegram("E1"))
    async with web(office.answer) as server, means() as its:
        made = _made(server.base, its)
        _, known = await harvested(made, _selection())
        assert known is not None
        spoilt = Known({**known.validators, "memory": "x", "sha256": "-"})
        rows, _ = await harvested(made, _selection(), spoilt)
        monkeypatch.setattr(feed_memory, "_MOST", 10)
        _, forgetful = await harvested(made, _selection())

    assert states(rows) == [("E1", "2799100", "in_force")]
    assert forgetful is not None
    assert set(forgetful.validators) == {"sha256"}


async def test_a_drill_is_never_among_what_is_real(now: list[datetime]) -> None:
    office = Office()
    office.publish(telegram("E1"))
    office.publish(telegram("E1", status="訓練", sent="2026-11-29T02:00:00Z", what="取消"))
    office.publish(telegram("E9", status="試験"))
    async with web(office.answer) as server, means() as its:
        made = _made(server.base, its)
        real, known = await harvested(made, _selection())
        again, _ = await harvested(made, _selection(), known)
        drill, _ = await harvested(made, _selection(status="訓練"))
        office.publish(telegram("E3", status="演習"))
        odd, _ = await harvested(made, _selection(), known)  # what it is, nobody knows

    assert states(real) == [("E1", "2799100", "in_force")]
    assert (again, odd) == (None, None)
    assert states(drill) == [("E1", "2799100", "cancelled")]


async def test_the_last_word_counts_whatever_comes_last(now: list[datetime]) -> None:
    office = Office()
    office.publish(telegram("", sent="2026-11-29T02:00:00Z", kind="架空警報解除"))
    office.publish(telegram("", sent="2026-11-29T01:00:00Z", areas=(("2799300", "夢村"),)))
    async with web(office.answer) as server, means() as its:
        rows, _ = await harvested(_made(server.base, its), _selection())
        elsewhere, _ = await harvested(_made(server.base, its), _selection(areas=["28"]))

    assert states(rows) == [("", "2799100", "lifted")]
    assert elsewhere == []


async def test_telegrams_beyond_the_bound_and_those_that_are_lost_are_for_the_next_time(
    now: list[datetime],
) -> None:
    office = Office()
    for number in range(3):
        office.publish(telegram(f"E{number}", sent=f"2026-11-29T00:00:0{number}Z"))
    async with web(office.answer) as server, means() as its:
        made, selection = _made(server.base, its), _selection(most_telegrams=2)
        office.lost.add("/2.xml")
        first, known = await harvested(made, selection)
        office.lost.clear()
        second, known = await harvested(made, selection, known)
        office.lost.update(f"/{number}.xml" for number in range(4, 8))
        for _ in range(4):
            office.publish(b"")
        with pytest.raises(SourceError) as refused:
            await harvested(made, _selection(), known)
        office.publish(telegram("E7", sent="2026-11-29T00:00:07Z"))
        third, _ = await harvested(made, _selection(), known)

    assert [row[0] for row in states(first)] == ["E2"]
    assert [row[0] for row in states(second)] == ["E0", "E1", "E2"]
    assert [row[0] for row in states(third)] == ["E0", "E1", "E2", "E7"]  # though four are lost
    assert refused.value.at == "missing"


async def test_one_telegram_that_is_amiss_keeps_no_cancellation_from_readers(
    now: list[datetime],
) -> None:
    office = Office()
    office.publish(telegram("E1"))
    many = [(f"27{number:05}", "架空市") for number in range(250)]
    odd = (
        b"<Report>",
        telegram("E8", headline="長" * 10_001),
        telegram("E9", areas=many, kind="警" * 4_000),
    )
    async with web(office.answer) as server, means() as its:
        made = _made(server.base, its)
        _, known = await harvested(made, _selection())
        for body in odd:
            office.publish(body)
        office.publish(telegram("E1", sent="2026-11-29T01:00:00Z", what="取消", areas=()))
        with structlog.testing.capture_logs() as logs:
            rows, known = await harvested(made, _selection(), known)
        asked = len(server.asked)
        office.telegrams["/2.xml"] = telegram("E7", sent="2026-11-29T02:00:00Z")  # mended
        mended, _ = await harvested(made, _selection(), known)

    assert states(rows) == [("E1", "2799100", "cancelled")]
    assert [(each["event"], each["at"]) for each in logs] == [
        ("xml_feed.telegram_left", at) for at in ("too_many", "shape", "format")
    ]
    assert [asked.path for asked in server.asked[asked:]] == ["/", "/4.xml", "/3.xml", "/2.xml"]
    assert states(mended) == [("E1", "2799100", "cancelled"), ("E7", "2799100", "in_force")]


@pytest.mark.parametrize(
    ("module", "bound"),
    [(xml_feed, "_MOST_HELD"), (xml_feed, "_MOST_PLACES"), (safe_xml, "_MOST")],
)
async def test_alerts_of_more_places_than_can_be_held_are_refused(
    module: Any, bound: str, now: list[datetime], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, bound, 1)
    office = Office()
    office.publish(telegram("E1", areas=(("2799100", "架空市"), ("2799200", "想像町"))))
    async with web(office.answer) as server, means() as its:
        with pytest.raises(SourceError) as refused:
            await harvested(_made(server.base, its), _selection())

    assert refused.value.at == "too_many"


async def test_no_event_takes_the_key_of_another(now: list[datetime]) -> None:
    office = Office()
    office.publish(telegram("", areas=(("2799100", "架空市"),)))
    office.publish(telegram("2799100", areas=()))
    async with web(office.answer) as server, means() as its:
        rows, _ = await harvested(_made(server.base, its), _selection())

    assert len({row["key"] for row in rows or ()}) == 2


async def test_what_is_taken_back_is_told_of_its_places_though_it_is_read_first(
    now: list[datetime],
) -> None:
    office = Office()
    office.publish(telegram("E1"))
    office.publish(telegram("E1", sent="2026-11-29T01:00:00Z", what="取消", areas=()))
    async with web(office.answer) as server, means() as its:
        made, selection = _made(server.base, its), _selection(most_telegrams=1)
        _, known = await harvested(made, selection)
        rows, _ = await harvested(made, selection, known)

    assert states(rows) == [("E1", "2799100", "cancelled")]


async def test_a_telegram_elsewhere_is_asked_for_only_where_that_is_allowed_and_without_our_key(
    now: list[datetime],
) -> None:
    office = Office()
    office.publish(telegram("E1"))
    async with web(office.answer) as other, means() as its:
        listed = atom([("1", "架空情報", f"{other.base.replace('127.0.0.1', 'localhost')}/1.xml")])
        async with web(lambda _: reply(listed)) as server, means("127.0.0.0/8,localhost") as both:
            proof = {"type": "api_key", "key": "hidden-key"}
            told = XmlFeedSettings.model_validate({"base": server.base, "auth": proof})
            with pytest.raises(SourceError) as refused:
                await harvested(XmlFeedConnector(told, its), _selection())
            rows, _ = await harvested(XmlFeedConnector(told, both), _selection(hosts=["localhost"]))

    assert (refused.value.at, states(rows)) == ("redirect", [("E1", "2799100", "in_force")])
    assert [asked.headers.get("x-api-key") for asked in other.asked] == [None]


async def test_a_stream_tells_what_came_what_changed_and_what_went_and_goes_on_after_a_break(
    now: list[datetime], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(xml_feed, "_AT_ONCE", 1)
    office = Office()
    office.publish(telegram("E1", until="2026-11-29T15:00:00+09:00"))
    told, came = list[Changes](), asyncio.Event()
    async with web(office.answer) as server, means() as its:
        made = _made(server.base, its)
        selection = _selection(ended="left_out").model_copy(update={"poll_seconds": 0.02})

        async def hear(most: int, position: Any) -> None:
            async with made.listen(selection, position) as heard:
                async for changes in heard:
                    told.append(changes)
                    came.set()
                    if len(told) == most:
                        return

        listening = asyncio.create_task(hear(2, None))
        await asyncio.wait_for(came.wait(), 5)
        places = (("2799100", "架空市"), ("2799200", "想像町"))
        office.publish(telegram("E2", areas=places))
        await asyncio.wait_for(listening, 5)  # with one of the two places
        await asyncio.wait_for(hear(3, told[-1].position), 5)
        now[0] = NOW + timedelta(hours=4)
        await asyncio.wait_for(hear(4, told[-1].position), 5)

    def places_of(rows: Any) -> list[str]:
        return [row["key"].removeprefix("架空情報/架空気象台/") for row in rows]

    assert [(places_of(each.rows), places_of(each.gone)) for each in told] == [
        (["E1/2799100"], []), (["E2/2799100"], []), (["E2/2799200"], []), ([], ["E1/2799100"])
    ]  # fmt: skip


_RSS = """<?xml version="1.0" encoding="Shift_JIS"?><rss version="2.0"
 xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:o="urn:other"><channel><title>架空市</title>
<item><title>断水のお知らせ</title><link>https://example.jp/1</link><description><![CDATA[<b>本文</b>]]>
</description><pubDate>Sun, 29 Nov 2026 09:00:00 +0900</pubDate><dc:creator>水道局</dc:creator>
<category>暮らし</category><category>水道</category></item>
<item><guid>g2</guid><title>古い</title><pubDate>Sun, 29 Nov 2026 09:00:00</pubDate>
<o:quoted><item><title>引用</title></item></o:quoted></item></channel></rss>"""


async def test_rss_is_as_atom_and_a_time_without_a_zone_is_none() -> None:
    body = _RSS.encode("cp932")
    async with web(lambda _: reply(body, kind="text/xml")) as server, means() as its:
        rows, _ = await harvested(_made(server.base, its), XmlFeedSelection())

    assert rows is not None
    assert [list(row.values()) for row in rows] == [
        ["https://example.jp/1", "断水のお知らせ", "https://example.jp/1", "<b>本文</b>", "水道局",
         "暮らし, 水道", "2026-11-29T09:00:00+09:00", ""],
        ["g2", "古い", "", "", "", "", "", ""],
    ]  # fmt: skip


_TWICE = """<feed xmlns="http://www.w3.org/2005/Atom"><x/>{}
<entry><id>1</id><title>後</title><updated>2026-11-29T00:30:00Z</updated></entry>
<entry><id>1</id><title>前</title><updated>2026-11-29T09:00:00+09:00</updated></entry></feed>"""


async def test_of_two_entries_of_one_id_the_later_counts_whatever_their_zones() -> None:
    async with web(lambda _: reply(_TWICE.format("").encode())) as server, means() as its:
        rows, _ = await harvested(_made(server.base, its), XmlFeedSelection())

    assert [row["title"] for row in rows or ()] == ["後"]


async def test_a_feed_is_read_beside_the_loop_and_holds_no_more_than_an_entry(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(feed_entries, "_MOST_HELD", 50)
    many = "".join(f"<entry><id>e{number}</id><x y='1'/></entry>" for number in range(100))
    threads, read = set[int](), safe_xml.Reader.feed

    def noted(self: safe_xml.Reader, piece: bytes) -> Iterator[tuple[str, Any]]:
        threads.add(threading.get_ident())
        return read(self, piece)

    monkeypatch.setattr(safe_xml.Reader, "feed", noted)
    said = [_TWICE.format(many), _TWICE.format("<x y='1'/>" * 30)]
    async with web(lambda _: reply(said.pop(0).encode())) as server, means() as its:
        rows, _ = await harvested(_made(server.base, its), XmlFeedSelection())
        with pytest.raises(SourceError) as refused:
            await harvested(_made(server.base, its), XmlFeedSelection())

    assert (len(rows or ()), refused.value.at) == (101, "too_many")
    assert threading.get_ident() not in threads


_BOMB = b'<!DOCTYPE feed [<!ENTITY a "xxxxxxxxxx"><!ENTITY b "&a;&a;&a;&a;&a;">]><feed>&b;</feed>'
_FILE = b'<!DOCTYPE feed [<!ENTITY a SYSTEM "file:///etc/passwd">]><feed>&a;</feed>'


@pytest.mark.parametrize(
    ("body", "at"),
    [
        (_BOMB, "format"),
        (_FILE, "format"),
        (_BOMB.decode().encode("utf-16"), "format"),
        (b'<!DOCTYPE feed SYSTEM "http://127.0.0.1:9/x.dtd"><feed/>', "format"),
        (b"<feed><entry>", "format"),
        (b"", "format"),
        (b"<report/>", "shape"),
        ('<?xml version="1.0"?><feed>架空</feed>'.encode("cp932"), "charset"),
        (b'<?xml version="1.0" encoding="klingon"?><feed/>', "charset"),
        (b"<!doctype html><p>sign in", "html"),
    ],
)  # fmt: skip
async def test_what_is_no_feed_or_would_harm_is_refused(body: bytes, at: str) -> None:
    async with web(lambda _: reply(body, kind="text/xml")) as server, means() as its:
        with pytest.raises(SourceError) as refused:
            await harvested(_made(server.base, its), XmlFeedSelection())

    assert refused.value.at == at


@pytest.mark.skipif(
    not DATA.exists(), reason=f"left out: the real files are not at {DATA} (URBANOS_REAL_DATA)"
)
async def test_the_samples_of_the_jma_are_read_each_place_with_its_code(
    now: list[datetime],
) -> None:
    rows: list[dict[str, str]] = []
    for file in sorted((DATA / "jma_xml").glob("*.xml")):
        body = file.read_bytes()
        sent = body.partition(b"<DateTime>")[2].partition(b"<")[0].decode()
        now[0] = datetime.fromisoformat(sent)
        office = Office()
        office.publish(body)
        async with web(office.answer) as server, means() as its:
            found, known = await harvested(_made(server.base, its), _selection())
        assert known is not None
        assert len(str(known.validators)) < 20_000  # of up to 300,000 bytes
        rows += found or []

    assert len({row["event"] for row in rows}) == 14
    assert len({row["key"] for row in rows}) == len(rows)
    by_key = {(row["title"], row["area_code"]): row for row in rows}
    warned = by_key["気象特別警報・警報・注意報", "280000"]
    assert warned["kinds"] == "大雨特別警報 洪水警報 暴風特別警報 波浪特別警報 高潮特別警報"
    shaken = by_key["震源・震度に関する情報", "4620300"]
    assert (shaken["area_name"], shaken["local_government_code"]) == ("鹿屋市", "462039")
