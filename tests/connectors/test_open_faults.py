"""What goes wrong at platforms, portals and map servers: one table, the outcome of each stated."""

import asyncio
import ssl
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from app.connectors import ckan as ckan_module
from app.connectors import documents, linkage_tokens
from app.connectors import ogc_features as features_module
from app.connectors import ogc_wfs as wfs_module
from app.connectors.ckan import CkanConnector
from app.connectors.errors import (
    SourceBroken,
    SourceChanged,
    SourceError,
    SourceRefused,
    SourceSlow,
    SourceUnreachable,
)
from app.connectors.frame import AnyConnector, Means, Shape
from app.connectors.linkage import LinkageConnector
from app.connectors.linkage_shapes import LinkageSelection, LinkageSettings
from app.connectors.ogc import OgcConnector
from app.connectors.ogc_asking import Shown, features_of
from app.kit import clock, passage
from app.kit.outbound import Allowed, Outbound, OutboundRefused
from tests.connectors.contract import rows_of
from tests.connectors.other import Other
from tests.connectors.sources import Asked, means, reply, web
from tests.kit.test_outbound import _certificate
from tests.stock import agreed, stocked

Made = tuple[AnyConnector, Shape]


def _always(said: bytes, _: Asked) -> bytes:
    return said


def _made(kind: type[AnyConnector], **selection: Any) -> Callable[..., Made]:
    def make(base: str, its: Means) -> Made:
        more = {"speaks": "wfs"} if selection.get("collection") == "wfs" else {}
        settings = kind.settings_shape.model_validate({"base": base, **more})
        return kind(settings, its), kind.selection_shape.model_validate(selection)

    return make


_KINDS: dict[str, Callable[..., Made]] = {
    "linkage": _made(LinkageConnector, dataset="shelters"),
    "ckan": _made(CkanConnector, resource="r1", via="datastore"),
    "ckan file": _made(CkanConnector, package="p", resource="r1"),
    "ogc": _made(OgcConnector, collection="shelters"),
    "wfs": _made(OgcConnector, collection="wfs"),
}
_HALF = b"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: 500\r\n\r\n<a>"
_HUGE_HEAD = b"HTTP/1.1 200 OK\r\nX-Large: " + b"x" * 200_000 + b"\r\nContent-Length: 2\r\n\r\n{}"
_PAGE = reply(b"<html><body>sign in</body></html>", kind="text/html; charset=utf-8")
_DATE = "Wed, 01 Jan 2110 00:00:00 GMT"  # of a clock that is wrong
# What is said, and the class and the place that are told of it, by every kind but those named.
_FAULTS: dict[str, tuple[bytes, type[SourceError], str, dict[str, str]]] = {
    "half an answer": (_HALF, SourceBroken, "cut_off", {}),
    "a gigantic header": (_HUGE_HEAD, SourceBroken, "cut_off", {}),
    "no HTTP": (b"SSH-2.0-OpenSSH\r\n\r\n", SourceBroken, "cut_off", {}),
    "a web page": (_PAGE, SourceBroken, "html", {}),
    "too often": (reply(b"", "429 -", Retry_After="3600"), SourceSlow, "pace", {}),
    "too often, until a day of another clock": (
        reply(b"", "429 -", Retry_After=_DATE, Date=_DATE), SourceSlow, "pace", {},
    ),
    "round in circles": (reply(b"", "302 Found", Location="/x"), SourceBroken, "redirect", {}),
    "an error of its own": (reply(b"", "500 Oops"), SourceBroken, "server", {}),
    "nothing there": (reply(b"", "404 -"), SourceBroken, "missing", {}),
    "a wrong key": (reply(b"", "401 -"), SourceRefused, "credentials", {}),
    "no permission": (reply(b"", "403 -"), SourceRefused, "permission", {}),
    "a text that is no UTF-8": (
        reply('{"架空":1}'.encode("cp932")), SourceBroken, "charset", {"wfs": "format"},
    ),
    "a character set that nobody has": (
        reply(b"{}", kind="application/json; charset=klingon"), SourceBroken, "charset",
        {"wfs": "format"},
    ),
    "no document": (reply(b"{"), SourceBroken, "format", {}),
    "nothing at all": (reply(b""), SourceBroken, "format", {}),
}  # fmt: skip


@pytest.mark.parametrize("kind", _KINDS)
async def test_each_fault_is_told_apart_and_leaves_nothing_open(kind: str) -> None:
    before, found = asyncio.all_tasks(), {}
    for fault, (said, _, _, _) in _FAULTS.items():
        async with web(partial(_always, said)) as server, means() as its:
            connector, selection = _KINDS[kind](server.base, its)
            with pytest.raises(SourceError) as refused:
                await rows_of(connector, selection)
            for _ in range(100):
                if server.open_now == 0:
                    break
                await asyncio.sleep(0.01)
            assert (fault, server.open_now) == (fault, 0)
            assert refused.value.words("ja") != refused.value.words("en")
        found[fault] = (type(refused.value), refused.value.at)

    assert found == {
        fault: (told, but.get(kind, at)) for fault, (_, told, at, but) in _FAULTS.items()
    }
    assert asyncio.all_tasks() - before == set()


@pytest.mark.parametrize("kind", _KINDS)
async def test_one_that_hangs_is_slow_one_that_is_gone_unreachable_and_a_private_one_not_asked(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module, name in ((documents, "PAGE"), (ckan_module, "_BOUNDS"), (wfs_module, "_STREAM")):
        monkeypatch.setattr(module, name, replace(getattr(module, name), silent_seconds=0.2))
    async with web(lambda _: b"") as server, means() as its:
        server.hang = True
        with pytest.raises(SourceSlow):
            await rows_of(*_KINDS[kind](server.base, its))
        with pytest.raises(SourceUnreachable):
            await rows_of(*_KINDS[kind]("http://127.0.0.1:9", its))
        async with means("") as nobodys:
            connector, selection = _KINDS[kind](server.base, nobodys)
            with pytest.raises(OutboundRefused):
                connector.check_settings()
            with pytest.raises(OutboundRefused):
                await rows_of(connector, selection)


@pytest.mark.parametrize(("ends", "at"), [(-1, "tls_expired"), (1, "cut_off")])
@pytest.mark.parametrize("kind", _KINDS)
async def test_a_certificate_that_has_expired_is_not_taken(
    kind: str, ends: int, at: str, tmp_path: Path
) -> None:
    file = _certificate(tmp_path, "open.example.jp", days=ends)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)

    async def speak(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async def resolve(_host: str, _port: int) -> list[str]:
        return ["127.0.0.1"]

    server = await asyncio.start_server(speak, "127.0.0.1", 0, ssl=context)
    trusted = ssl.create_default_context(cafile=str(file))
    outbound = Outbound(Allowed.parse("127.0.0.1"), trusted=trusted, resolve=resolve)
    async with server:
        base = f"https://open.example.jp:{server.sockets[0].getsockname()[1]}"
        with pytest.raises(SourceError) as refused:
            await rows_of(*_KINDS[kind](base, Means(outbound)))
    await outbound.close()

    assert refused.value.at == at


@pytest.mark.parametrize("kind", _KINDS)
async def test_whoever_is_asked_is_told_the_way_of_the_question_and_a_circle_is_told_apart(
    kind: str,
) -> None:
    said = reply(b"", "508 Loop Detected")
    async with web(partial(_always, said)) as server, means() as its:
        with (
            passage.taken_up([(b"linkage-via", b"https://a.test")], ("https://b.test",)),
            pytest.raises((SourceBroken, passage.FederationLoop)) as refused,
        ):
            await rows_of(*_KINDS[kind](server.base, its))

    assert server.asked[0].headers["linkage-via"] == "https://a.test, https://b.test"
    if isinstance(refused.value, SourceBroken):
        assert refused.value.at == "circle"
    else:
        assert kind == "linkage"  # which tells it on


_OTHER_SHAPES: dict[str, Callable[[Asked], Any]] = {
    "linkage": lambda asked: {"numberMatched": 1, "changes": [{"op": "upsert"}], "links": []}
    if asked.path.endswith("changes") else {"numberMatched": 1, "records": [], "links": []},
    "ckan": lambda _: {"success": True, "result": {"records": {"no": 1}}},
    "ckan file": lambda _: {"success": True, "result": ["p"]},
    "ogc": lambda _: {"type": "FeatureCollection", "features": [1]},
}  # fmt: skip


@pytest.mark.parametrize("kind", _OTHER_SHAPES)
async def test_another_shape_than_before_is_told_as_such(kind: str) -> None:
    async with web(lambda asked: reply(_OTHER_SHAPES[kind](asked))) as server, means() as its:
        with pytest.raises(SourceChanged):
            await rows_of(*_KINDS[kind](server.base, its))


async def test_a_moment_that_is_asked_for_is_waited_within_the_work() -> None:
    page = {"type": "FeatureCollection", "features": [], "links": []}
    said = [reply(b"", "429 -", Retry_After="0"), reply(page)]
    async with web(lambda _: said.pop(0)) as server, means() as its:
        assert await rows_of(*_KINDS["ogc"](server.base, its)) == []


async def test_a_platform_whose_clock_is_another_than_ours_refuses_our_proofs(
    other: Other, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = await stocked(other.world, [], data_class="restricted")
    party, auth = await other.client_of()
    await agreed(other.world, dataset, party)

    class Fast:
        """A clock that is ten minutes ahead."""

        @staticmethod
        def now() -> Any:
            return clock.now() + timedelta(minutes=10)

    monkeypatch.setattr(linkage_tokens, "clock", Fast)
    async with means() as its:
        with pytest.raises(SourceRefused) as refused:
            await other.connector(its, auth).check(LinkageSelection(dataset=dataset))

    assert refused.value.at == "credentials"


@pytest.mark.parametrize(
    ("told", "kind", "at"),
    [
        ({"issuer": "https://other.example.jp", "token_endpoint": "/t"}, SourceBroken, "format"),
        ({"token_endpoint": "http://127.0.0.1:9/token"}, SourceBroken, "redirect"),
        ({}, SourceBroken, "format"),
    ],
)
async def test_a_token_is_asked_of_nobody_but_the_issuer_itself(
    told: dict[str, str], kind: type[SourceError], at: str, other: Other
) -> None:
    _, auth = await other.client_of()

    def answer(asked: Asked) -> bytes:
        own = {"issuer": f"http://{asked.headers['host']}"}
        return reply({**own, **told})

    async with web(answer) as server, means() as its:
        settings = LinkageSettings.model_validate({"base": server.base, "auth": auth})
        with pytest.raises(kind) as refused:
            await rows_of(LinkageConnector(settings, its), LinkageSelection(dataset="a"))

    assert refused.value.at == at
    assert [each.path for each in server.asked] == ["/.well-known/oauth-authorization-server"]


@pytest.mark.parametrize(
    ("kind", "module", "name"),
    [
        ("ckan", ckan_module, "rows_of"), ("ogc", features_module, "features_of"),
        ("wfs by json", wfs_module, "features_of"),
    ],
)  # fmt: skip
async def test_a_page_is_taken_apart_beside_the_loop(
    kind: str, module: Any, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: set[bool] = set()
    made = getattr(module, name)

    def noted(*given: Any, **more: Any) -> Any:
        threads.add(threading.current_thread() is threading.main_thread())
        return made(*given, **more)

    monkeypatch.setattr(module, name, noted)
    features = {"type": "FeatureCollection", "features": []}
    table = {"success": True, "result": {"records": []}}
    by_json = _made(OgcConnector, collection="wfs", json="application/json")
    async with web(partial(_always, reply({**features, **table}))) as server, means() as its:
        await rows_of(*(by_json if kind == "wfs by json" else _KINDS[kind])(server.base, its))

    assert threads == {False}


def test_lists_within_lists_without_a_position_are_no_place() -> None:
    coordinates: Any = []
    for _ in range(900):
        coordinates = [coordinates]
    feature = {"geometry": {"type": "Polygon", "coordinates": coordinates}}
    said = {"type": "FeatureCollection", "features": [feature]}
    system = {"content-crs": "<http://www.opengis.net/def/crs/EPSG/0/6668>"}

    with pytest.raises(SourceChanged) as refused:
        features_of(documents.Document("h", said, system), Shown())

    assert refused.value.at == "shape"
