"""The kind `soap`, asked of a service that judges what it is sent."""

import asyncio
import json
import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID
from pydantic import ValidationError

from app.connectors import soap_security
from app.connectors.errors import (
    CannotAnswer,
    SigningNotInstalled,
    SourceChanged,
    SourceError,
    SourceRefused,
)
from app.connectors.soap import SoapConnector, SoapSelection, SoapSettings
from app.kit import clock
from app.kit.outbound import OutboundRefused
from app.query.fields import Field, FieldType
from app.query.question import Both, Compare, Like, Question
from tests.connectors import soap_server
from tests.connectors.contract import Contract, Row, Stage
from tests.connectors.soap_server import (
    Service,
    enveloped,
    fault,
    knows_certificate,
    knows_password,
    wsdl,
)
from tests.connectors.sources import Asked, Web, means, reply, web

DATA = Path(os.environ.get("URBANOS_REAL_DATA", Path(__file__).parents[3] / "shared" / "data"))
ROWS: list[Row] = [{"no": "01", "name": "架空第一"}, {"no": "02", "name": "架空、第二"}]
GET = {"operation": "GetShelters", "rows": "shelters/shelter"}
USER = {"type": "username", "user": "u", "password": "hidden-word-s"}


@asynccontextmanager
async def serving(service: Service, **settings: Any) -> AsyncIterator[tuple[SoapConnector, Web]]:
    """A connector to a service."""
    async with web(service.answer) as server, means() as its:
        service.base = server.base
        told = {"wsdl": f"{server.base}/service?wsdl", **settings}
        yield SoapConnector(SoapSettings.model_validate(told), its), server


async def harvested(made: SoapConnector, **selection: Any) -> list[dict[str, Any]]:
    """All rows."""
    async with made.harvest(SoapSelection.model_validate({**GET, **selection})) as got:
        assert got is not None
        body = b"".join([piece async for piece in got.pieces])
    return [json.loads(line) for line in body.splitlines()]


class _OfService(Contract):
    async def _staged(self, service: Service, **settings: Any) -> AsyncIterator[Stage]:
        async with serving(service, **settings) as (made, server):

            async def add(row: Row) -> None:
                service.rows.append(row)

            async def go_away() -> None:
                gone = {"wsdl": "http://127.0.0.1:9/service?wsdl"}
                made.settings = made.settings.model_copy(update=gone)

            selection = SoapSelection.model_validate({**GET, "asks": {"no": "no"}})
            yield Stage(
                made, selection, ROWS, add, go_away, lambda: server.open_now,
                "hidden-word-s", ["GetShelters"],
            )  # fmt: skip


class TestSoap11(_OfService):
    """By a digest of the password."""

    @pytest_asyncio.fixture(loop_scope="session")
    async def stage(self) -> AsyncIterator[Stage]:
        service = Service(list(ROWS), judge=knows_password("u", "hidden-word-s", digest=True))
        async for each in self._staged(service, security=USER):
            yield each


class TestSoap12(_OfService):
    """By the password itself."""

    @pytest_asyncio.fixture(loop_scope="session")
    async def stage(self) -> AsyncIterator[Stage]:
        judge = knows_password("u", "hidden-word-s", digest=False)
        service = Service(list(ROWS), version="1.2", judge=judge)
        async for each in self._staged(service, security={**USER, "digest": False}):
            yield each


@pytest.fixture(scope="module")
def signer() -> dict[str, str]:
    """A certificate and its key."""
    key = rsa.generate_private_key(65537, 2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "架空市")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(7).not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1)).sign(key, hashes.SHA256())
    )  # fmt: skip
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    its = made.public_bytes(serialization.Encoding.PEM)
    return {"type": "signature", "certificate": its.decode(), "key": pem.decode()}


@pytest.mark.parametrize("version", ["1.1", "1.2"])
async def test_a_signed_message_is_taken_and_one_that_is_not_or_is_late_is_told(
    version: str, signer: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    service = Service(list(ROWS), version, knows_certificate(signer["certificate"].encode()))
    async with serving(service, security=signer) as (made, _):
        rows = await harvested(made)
        late = datetime.now(UTC) - timedelta(hours=1)
        monkeypatch.setattr(clock, "now", lambda: late)
        with pytest.raises(SourceRefused) as clocks:
            await harvested(made)
    async with serving(service) as (made, _):
        with pytest.raises(SourceRefused) as unsigned:
            await harvested(made)

    assert rows == ROWS
    assert (clocks.value.at, unsigned.value.at) == ("clock", "credentials")


def test_a_key_of_another_certificate_is_none_and_signing_is_an_extra(
    signer: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    at = "https://example.jp/?wsdl"
    other = rsa.generate_private_key(65537, 2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    for wrong in ({"key": other.decode()}, {"key": "x"}, {"certificate": "x"}):
        with pytest.raises(ValidationError):
            SoapSettings.model_validate({"wsdl": at, "security": {**signer, **wrong}})
    told = SoapSettings.model_validate({"wsdl": at, "security": signer})
    monkeypatch.setattr(soap_security, "find_spec", lambda _: None)
    with pytest.raises(SigningNotInstalled):
        soap_security.check_installed(told.security)


async def test_pages_days_and_members_go_into_arguments() -> None:
    service = Service([{"no": str(number), "name": "x"} for number in range(5)])
    day = datetime.now(clock.TOKYO).date()
    async with serving(service) as (made, _):
        paging = {"style": "page", "argument": "page", "size": 2}
        arguments = {"ward": {"code": "27100"}, "since": "{today-1}"}
        rows = await harvested(made, paging=paging, arguments=arguments)
        endless = await harvested(made, paging={"style": "page", "argument": "page"})

    assert [row["no"] for row in rows] == [row["no"] for row in endless] == list("01234")
    said = [[each.text for each in body.iter() if each.text] for body in service.bodies]
    asked = [*said[:3][0][:2], *(each[-1] for each in said[:3])]
    assert asked == ["27100", (day - timedelta(days=1)).isoformat(), "1", "2", "3"]
    assert [each[-1] for each in said[3:]] == ["1", "2", "3", "4"]  # until there is none


async def test_a_service_that_gives_the_same_page_again_and_again_is_told() -> None:
    async with serving(Service(list(ROWS))) as (made, server):
        with pytest.raises(SourceError) as refused:  # it counts by another argument
            await harvested(made, paging={"style": "offset", "argument": "ward.code"})

    assert (refused.value.at, [asked.method for asked in server.asked].count("POST")) == ("loop", 2)


async def test_a_question_goes_into_arguments_as_far_as_it_was_said_and_no_further() -> None:
    fields = [Field(name=n, column=n, label=n, type=FieldType.TEXT) for n in ("no", "name")]
    asked = Compare(fields[0], "=", "02")
    where = Both((asked, Like(fields[1], "架%"), Compare(fields[0], "=", "01")))
    async with serving(Service(list(ROWS))) as (made, _):
        selection = SoapSelection.model_validate({**GET, "asks": {"no": "no"}})
        question = Question(tuple(fields), where=where, limit=10)
        part = made.part(selection, question)
        async with made.fetch(selection, part) as got:
            assert got is not None
            rows = [row async for batch in got.batches for row in batch]
        odd = Question(tuple(fields), where=Compare(fields[0], "=", "\x01"), limit=None)
        assert made.part(selection, odd).where is None  # nothing that XML cannot say
        for other in (question, odd, Question((), limit=None, offset=1)):
            with pytest.raises(CannotAnswer):
                async with made.fetch(selection, other):
                    pass

    assert (part.where, part.limit, rows) == (asked, None, ROWS[1:])


_UNSAID = ("hidden-word-s", "123456789018", "dTpw", "pass")


@pytest.mark.parametrize("version", ["1.1", "1.2"])
async def test_a_fault_is_told_in_its_own_words_but_no_secret_and_no_number(version: str) -> None:
    said: dict[str, tuple[str, str]] = {}
    service = Service(list(ROWS), version)
    basic = {"type": "basic", "user": "u", "password": "pass  word"}
    async with serving(service, security=USER, auth=basic) as (made, _):
        for name, code, words in (
            ("client", "Client", "no such ward " + "x" * 500),
            ("server", "Server", "out of memory"),
            ("secret", "Client", "wrong: hidden-word-s"),
            ("as sent", "Client", "Basic dTpwYXNzICB3b3Jk"),
            ("blanks", "Client", "not pass  word"),
            ("number", "Client", "個人番号 123456789018"),
        ):
            service.said = lambda space, code=code, words=words: fault(space, code, words)
            with pytest.raises(SourceError) as refused:
                await harvested(made)
            said[name] = (refused.value.at, refused.value.words("en"))

    assert {name: at for name, (at, _) in said.items()} == {
        "client": "fault", "server": "server", "secret": "fault", "as sent": "fault",
        "blanks": "fault", "number": "fault",
    }  # fmt: skip
    assert "no such ward" in said["client"][1]
    assert len(said["client"][1]) < 350
    assert "out of memory" in said["server"][1]
    assert not any(word in str(said) for word in _UNSAID)


_ROW = '<r:GetSheltersResponse xmlns:r="urn:example:shelters">{}</r:GetSheltersResponse>'


@pytest.mark.parametrize(
    ("inner", "rows"),
    [
        (_ROW.format(""), []),
        (_ROW.format("<r:shelters/>"), []),
        (_ROW.format("<r:shelters><r:person/></r:shelters>"), None),
        (_ROW.format("<r:places/>"), None),
        (_ROW.format("<r:total>架空</r:total><r:shelters/>"), None),
        ('<r:Other xmlns:r="urn:example:shelters"/>', None),
        ("", None),
    ],
)  # fmt: skip
async def test_no_rows_are_none_only_where_the_wsdl_says_so(
    inner: str, rows: list[Row] | None, caplog: pytest.LogCaptureFixture
) -> None:
    service = Service([], said=lambda space: enveloped(space, inner))
    async with serving(service) as (made, _):
        if rows is not None:
            assert await harvested(made) == rows
            return
        with pytest.raises(SourceChanged):
            await harvested(made)
    assert [each for each in caplog.records if each.name.startswith("zeep")] == []


_NAMES = ["x" * 150, "y" * 150, "z"]


async def test_a_row_is_flat_whatever_is_within_it() -> None:
    inner = _ROW.format(
        '<r:shelters><r:shelter id="7" xmlns:i="http://www.w3.org/2001/XMLSchema-instance">'
        '<no> 01 </no><name i:nil="true"/><at><lat>34.50</lat></at><tel>1</tel><tel>2</tel>'
        "</r:shelter><r:shelter>x</r:shelter></r:shelters>"
    )
    service = Service([], said=lambda space: enveloped(space, inner))
    async with serving(service) as (made, _):
        rows = await harvested(made)

    nested = "".join(f"<{name}>" for name in _NAMES) + "".join(f"</{n}>" for n in reversed(_NAMES))
    service.said = lambda space: enveloped(space, _ROW.format(nested))
    async with serving(service) as (made, _):
        with pytest.raises(SourceError) as refused:
            await harvested(made, rows="")

    assert refused.value.at == "format"  # of whose names a few megabytes would take hours
    assert rows == [
        {"@id": "7", "no": "01", "name": None, "at.lat": "34.50", "tel": ["1", "2"]},
        {"value": "x"},
    ]


@pytest.mark.parametrize("action", ["urn:避難所", "urn:&#10;X-Other: 1"])
async def test_an_action_that_no_header_can_hold_is_told_of_the_wsdl(action: str) -> None:
    async with serving(Service(list(ROWS), action=action)) as (made, _):
        with pytest.raises(SourceError) as refused:
            await harvested(made)

    assert (refused.value.at, "soapAction" in refused.value.words("en")) == ("format", True)


@pytest.mark.parametrize(
    "selection",
    [
        {"operation": "GetHouses"}, {"rows": "shelters/house"}, {"arguments": {"colour": "red"}},
        {"arguments": {"ward": {}}},
    ],
)  # fmt: skip
async def test_what_the_wsdl_does_not_have_is_told_before_anything_is_asked(
    selection: dict[str, Any],
) -> None:
    service = Service(list(ROWS))
    async with serving(service) as (made, _):
        with pytest.raises(SourceChanged):
            await harvested(made, **selection)

    assert service.bodies == []


async def test_no_document_and_no_service_is_gone_to_that_may_not_be() -> None:
    def other(_: Asked) -> bytes:
        return reply(b"", "404 Not Found")

    async with web(other) as elsewhere:
        for wrong, kind in (
            ({"imported": "file:///etc/passwd"}, OutboundRefused),
            ({"imported": "http://192.0.2.1/x.xsd"}, OutboundRefused),
            ({"imported": "/etc/passwd"}, SourceError),  # of the Web server, that is
            ({"imported": f"{elsewhere.base}/x.xsd"}, SourceError),
            ({"address": f"{elsewhere.base}/service"}, SourceError),
            ({"address": "file:///etc/passwd"}, SourceError),
        ):
            service = Service(list(ROWS), **wrong)  # type: ignore[arg-type]
            proof = {"type": "api_key", "key": "hidden-key"}
            async with serving(service, auth=proof, security=USER) as (made, server):
                with pytest.raises(kind):
                    await harvested(made)
            if wrong.get("imported") == "/etc/passwd":
                assert server.asked[-1].path == "/etc/passwd"
        proof_sent = [asked.headers.get("x-api-key") for asked in elsewhere.asked]
        methods = [asked.method for asked in elsewhere.asked]

    assert (methods, proof_sent) == (["GET"], [None])


async def test_an_endpoint_that_the_settings_name_goes_before_the_one_of_the_wsdl() -> None:
    service = Service(list(ROWS), address="http://internal.invalid:8080/service")
    async with web(service.answer) as server, means() as its:
        told = {"wsdl": f"{server.base}/service?wsdl", "endpoint": f"{server.base}/service"}
        rows = await harvested(SoapConnector(SoapSettings.model_validate(told), its))

    assert rows == ROWS


_BOMB = b'<!DOCTYPE d [<!ENTITY a "xx"><!ENTITY b "&a;&a;">]><wsdl:definitions xmlns:wsdl="http://schemas.xmlsoap.org/wsdl/" name="&b;"/>'


_AMISS = wsdl("http://127.0.0.1/", "1.1").replace(b't:GetShelters"', b't:Nothing"')
_ALONE = re.sub(rb"<xsd:import[^>]*>", b"", _AMISS)


@pytest.mark.parametrize("body", [_BOMB, b"<a/>", b"{}", b"", _ALONE])
async def test_what_is_no_wsdl_is_told(body: bytes) -> None:
    async with web(lambda _: reply(body, kind="text/xml")) as server, means() as its:
        told = {"wsdl": server.base, "endpoint": server.base}
        made = SoapConnector(SoapSettings.model_validate(told), its)
        with pytest.raises(SourceError) as refused:
            await made.check(SoapSelection.model_validate(GET))

    assert refused.value.at in ("format", "shape")


async def test_types_that_hold_each_other_end_somewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    its = "".join(f'<xsd:element name="e{n}" type="t:Shelter" minOccurs="0"/>' for n in range(40))
    xsd = soap_server.XSD.replace(' maxOccurs="unbounded"', "")
    monkeypatch.setattr(
        soap_server, "XSD", xsd.replace('<xsd:element name="no"', f'{its}<xsd:element name="no"', 1)
    )
    async with serving(Service([])) as (made, _):
        found = await asyncio.wait_for(made.discover(), 10)

    assert [(each.name, each.selection["rows"]) for each in found] == [("GetShelters", "")]


@pytest.mark.skipif(
    not DATA.exists(), reason=f"left out: the real files are not at {DATA} (URBANOS_REAL_DATA)"
)
@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("zeep/soap.wsdl", "2 GetLastTradePrice"),
        ("zeep/hello_world_recursive.wsdl", "6 greetMe"),  # which imports itself in the end
        ("zeep/http.wsdl", "shape"),  # of a service that is no SOAP
        ("x-road/managementservices.wsdl", "10 addressChange"),
    ],
)
async def test_the_wsdls_that_others_wrote_are_read_or_told_of(name: str, found: str) -> None:
    folder = (DATA / "soap" / name).parent

    def answer(asked: Asked) -> bytes:
        file = folder / Path(asked.path).name
        return reply(file.read_bytes(), kind="text/xml") if file.exists() else reply(b"", "404 -")

    async with web(answer) as server, means() as its:
        url = f"{server.base}/{Path(name).name}"
        told = SoapSettings.model_validate({"wsdl": url, "endpoint": url})
        try:
            names = [each.name for each in await SoapConnector(told, its).discover()]
            assert f"{len(names)} {names[0]}" == found
        except SourceError as refusal:
            assert refusal.at == found
