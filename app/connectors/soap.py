"""The kind `soap`: rows of a service that a WSDL describes, by SOAP 1.1 and 1.2.

Every document that a WSDL leads to, and the service itself, is asked through the one way out; who
we are is told to the WSDL's own origin, or to the endpoint that the settings name.
"""

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Annotated, Any, ClassVar, Final, Literal

import orjson
from pydantic import ConfigDict, Field, StringConstraints

from app.connectors.connection import Connection
from app.connectors.errors import CannotAnswer, SourceBroken
from app.connectors.frame import (
    SILENT_SECONDS,
    Capabilities,
    Connector,
    Harvest,
    Known,
    Means,
    Proposal,
    Rows,
    Shape,
    parted,
)
from app.connectors.records import check_is_of_all, digest
from app.connectors.safe_xml import document
from app.connectors.soap_answer import envelope_of, rows_of
from app.connectors.soap_security import (
    NoSecurity,
    Security,
    check_installed,
    header_of,
)
from app.connectors.soap_wsdl import Described, Missing, describe
from app.connectors.web import Address, NoProof, Proof, Web, host_of, is_same_origin
from app.connectors.whole import asking, whole
from app.kit import clock
from app.kit.outbound import Bounds
from app.query.question import Both, Compare, Condition, Question

_DOCUMENT: Final = Bounds(most_bytes=8 << 20, seconds=30, silent_seconds=15)
_ANSWER: Final = Bounds(most_bytes=16 << 20, seconds=300, silent_seconds=SILENT_SECONDS)
_FAULTS: Final = range(400, 600)  # statuses under which a service says what is wrong
_MOST_DOCUMENTS: Final = 60
_MOST_PAGES: Final = 100_000
_TODAY: Final = re.compile(r"\{today([+-]\d{1,3})?\}")
_NO_XML: Final = re.compile(
    r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]"
)  # XML 1.0, 2.2
_Name = Annotated[str, StringConstraints(pattern=r"^[^\s/.]{1,200}$")]
_Dotted = Annotated[str, StringConstraints(pattern=r"^[^\s/.]{1,200}(\.[^\s/.]{1,200}){0,9}$")]
_Path = Annotated[
    str, StringConstraints(max_length=1_000, pattern=r"^(|[^\s/]{1,200}(/[^\s/]{1,200}){0,9})$")
]


class SoapSettings(Shape):
    """Where the WSDL is, which of its ports is meant, and how we prove ourselves."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "wsdl": "https://gis.example.lg.jp/services/shelters?wsdl",
                    "port": "SheltersSoap12",
                    "security": {"type": "username", "user": "renkei", "password": "********"},
                }
            ]
        }
    )

    wsdl: Address
    service: _Name | None = None
    port: _Name | None = None
    endpoint: Address | None = Field(
        default=None, description="Where the service is, if not where its WSDL says"
    )
    auth: Proof = Field(default_factory=NoProof, description="By HTTP")
    connection: Connection = Field(default_factory=Connection)
    security: Security = Field(default_factory=NoSecurity, description="Within the message")


class OneAnswer(Shape):
    """All rows stand in one answer."""

    style: Literal["none"] = "none"


class ByArgument(Shape):
    """Asked again, with the next number in an argument, until there is no row.

    `page` counts 1, 2, 3; `offset` counts the rows that have come.
    """

    style: Literal["page", "offset"]
    argument: _Dotted
    first: Annotated[int, Field(ge=0, le=1)] = 1
    size: Annotated[int, Field(ge=1, le=100_000)] | None = Field(
        default=None, description="Rows of a full page: a shorter one is the last"
    )


class SoapSelection(Shape):
    """Which operation, what it is told, and where in its answer the rows are.

    In an argument `{today}` is the day in Japan, `{today-7}` a week before. `asks` names the fields
    whose value the service can be asked for: a condition on one goes into the argument.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "operation": "GetShelters",
                    "arguments": {"since": "{today-7}"},
                    "rows": "shelters/shelter",
                    "paging": {"style": "page", "argument": "criteria.page", "size": 500},
                    "asks": {"no": "criteria.no"},
                }
            ]
        }
    )

    operation: _Name
    arguments: Annotated[dict[_Name, Any], Field(max_length=50, default_factory=dict)]
    rows: _Path = Field(default="", description="Elements below the answer's first, by slashes")
    paging: Annotated[OneAnswer | ByArgument, Field(discriminator="style")] = Field(
        default_factory=OneAnswer
    )
    asks: Annotated[dict[_Dotted, _Dotted], Field(max_length=20, default_factory=dict)]

    @property
    def path(self) -> tuple[str, ...]:
        """The elements that lead to a row."""
        return tuple(self.rows.split("/")) if self.rows else ()


@dataclass(frozen=True, slots=True)
class _Service:
    """A WSDL that was read, and where its service is."""

    settings: SoapSettings
    described: Described
    address: str


class SoapConnector(Connector[SoapSettings, SoapSelection]):
    """Web services of the 2000s, which cities still run."""

    kind = "soap"
    title_ja = "SOAP（WSDL）"
    title_en = "SOAP (WSDL)"
    settings_shape: ClassVar[type[Shape]] = SoapSettings
    selection_shape: ClassVar[type[Shape]] = SoapSelection
    capabilities = Capabilities(answers=True, filters=True, discovers=True)

    def __init__(self, settings: SoapSettings, means: Means) -> None:
        super().__init__(settings, means)
        self._web = Web(means.outbound, settings.auth, settings.connection.way)
        self._read: _Service | None = None

    def check_settings(self) -> None:
        """Raises `OutboundRefused`, and `SigningNotInstalled`."""
        self._web.check(self.settings.wsdl)
        if self.settings.endpoint is not None:
            self._web.check(self.settings.endpoint)
        check_installed(self.settings.security)

    async def check(self, selection: SoapSelection | None = None) -> None:
        """Read the WSDL; with a selection, ask for the first answer."""
        service = await self._service()
        if selection is not None:
            await self._page(service, selection, _counted(selection, {}, 0, 0))

    @asynccontextmanager
    async def harvest(
        self, selection: SoapSelection, known: Known | None = None, first: int | None = None
    ) -> AsyncIterator[Harvest | None]:
        """The rows as JSON lines; every value is the text that was sent."""
        service = await self._service()
        async with aclosing(self._pages(service, selection, {}, first)) as pages:
            # What is wrong with the first page is told before anything is handed out.
            page: list[dict[str, Any]] = await anext(pages, [])
            async with aclosing(_lines(page, pages)) as lines:
                yield Harvest(lines, f"{selection.operation}.ndjson")

    def part(self, selection: SoapSelection, question: Question) -> Question:
        """The equalities of fields that the service can be asked for."""
        kept: dict[str, Condition] = {}
        for each in _parts(question.where):
            if _is_asked(each, selection):
                kept.setdefault(each.field.name, each)
        where = Both(tuple(kept.values())) if len(kept) > 1 else next(iter(kept.values()), None)
        return Question(question.fields, where=where, limit=None)

    @asynccontextmanager
    async def fetch(
        self, selection: SoapSelection, question: Question, known: Known | None = None
    ) -> AsyncIterator[Rows | None]:
        """The rows of an operation that is told the values of the question."""
        told: dict[str, Any] = {}
        for each in _parts(question.where):
            if not _is_asked(each, selection) or each.field.name in told:
                why_ja = "対応する引数のない条件です"
                raise CannotAnswer(
                    connector=self.kind, why="a condition has no argument", why_ja=why_ja
                )
            told[each.field.name] = _said(each.value)
        check_is_of_all(self.kind, replace(question, where=None))
        arguments = {selection.asks[name]: value for name, value in told.items()}
        service = await self._service()
        async with aclosing(self._pages(service, selection, arguments, None)) as pages:
            yield Rows(pages)

    async def discover(self) -> Sequence[Proposal]:
        """The operations, each with the element that repeats in its answer."""
        described = (await self._service()).described
        made = []
        for name in described.operations:
            path, fields = await asyncio.to_thread(described.repeated, name)
            selection = {"operation": name, "rows": "/".join(path)}
            made.append(Proposal(name, selection, tuple(fields)))
        return made

    async def _service(self) -> _Service:
        """The WSDL with all that it leads to, read once for an object."""
        settings = self.settings
        if self._read is not None and self._read.settings is settings:
            return self._read
        host, held = host_of(settings.wsdl), dict[str, bytes]()
        while True:
            try:
                described = await asyncio.to_thread(
                    describe, host, settings.wsdl, held, settings.service, settings.port
                )
                break
            except Missing as missing:
                if len(held) >= _MOST_DOCUMENTS:
                    raise SourceBroken(source=host, at="loop") from None
                held[missing.url] = await self._document(missing.url)
                if sum(map(len, held.values())) > _DOCUMENT.most_bytes:
                    most = _DOCUMENT.most_bytes
                    raise SourceBroken(source=host, at="too_long", detail=most) from None
        address = settings.endpoint or described.address
        if settings.endpoint is None and not is_same_origin(address, settings.wsdl):
            raise SourceBroken(source=host, at="redirect")
        self._read = _Service(settings, described, address)
        return self._read

    async def _document(self, url: str) -> bytes:
        found = await whole(asking(self._web, self.settings.wsdl, url), url, _DOCUMENT)
        if found is None:  # no condition was set
            raise SourceBroken(source=host_of(url), at="status", detail=304)
        await asyncio.to_thread(document, found.host, found.body, "WSDL")
        return found.body

    async def _pages(
        self, service: _Service, selection: SoapSelection, told: Mapping[str, Any],
        first: int | None,
    ) -> AsyncGenerator[list[dict[str, Any]], None]:  # fmt: skip
        """The rows of each answer, until one has none. Raises `SourceBroken` for endless ones."""
        paging, seen, count = selection.paging, set[str](), 0
        for number in range(_MOST_PAGES):
            page, mark = await self._page(
                service, selection, _counted(selection, told, number, count)
            )
            if page and mark in seen:
                raise SourceBroken(source=host_of(service.address), at="loop")
            seen.add(mark)
            count += len(page)
            if page:
                yield page
            is_short = isinstance(paging, ByArgument) and len(page) < (paging.size or 1)
            is_enough = first is not None and count >= first
            if isinstance(paging, OneAnswer) or is_short or is_enough:
                return
        raise SourceBroken(source=host_of(service.address), at="loop")

    async def _page(
        self, service: _Service, selection: SoapSelection, arguments: Mapping[str, Any]
    ) -> tuple[list[dict[str, Any]], str]:
        message = await asyncio.to_thread(self._message, service, selection, arguments)
        answer = await self._web.send(
            "POST", message.address, headers=message.headers, content=message.body, bounds=_ANSWER,
            fine=_FAULTS,
        )  # fmt: skip

        hidden = [*_flat(parted(self.settings)[1]), *self._web.sent]

        def read() -> tuple[list[dict[str, Any]], str]:
            envelope = envelope_of(answer, hidden)
            found = rows_of(answer.host, envelope, selection.path)
            if not found:
                service.described.check_answer(selection.operation, envelope, selection.path)
            return found, digest(found)

        return await asyncio.to_thread(read)

    def _message(
        self, service: _Service, selection: SoapSelection, arguments: Mapping[str, Any]
    ) -> Any:
        described = service.described
        described.check_rows(selection.operation, selection.path)
        security = header_of(self.settings.security)
        return described.message(service.address, selection.operation, arguments, security)


async def _lines(
    page: list[dict[str, Any]], pages: AsyncGenerator[list[dict[str, Any]], None]
) -> AsyncGenerator[bytes, None]:
    if page:
        yield await asyncio.to_thread(_encoded, page)
    async for each in pages:
        yield await asyncio.to_thread(_encoded, each)


def _encoded(rows: list[dict[str, Any]]) -> bytes:
    return b"".join(orjson.dumps(each) + b"\n" for each in rows)


def _parts(where: Condition | None) -> Sequence[Any]:
    """The conditions that all have to hold."""
    if where is None:
        return ()
    return where.parts if isinstance(where, Both) else (where,)


def _is_asked(condition: Any, selection: SoapSelection) -> bool:
    is_equality = isinstance(condition, Compare) and condition.op == "="
    if not is_equality or condition.field.name not in selection.asks:
        return False
    return _NO_XML.search(str(condition.value)) is None


def _flat(secrets: Mapping[str, Any]) -> list[str]:
    """Every secret of the settings, wherever it stands."""
    return [
        word
        for each in secrets.values()
        for word in (_flat(each) if isinstance(each, Mapping) else [str(each)])
    ]


def _said(value: Any) -> Any:
    if isinstance(value, bool):
        return value
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def _counted(
    selection: SoapSelection, told: Mapping[str, Any], number: int, count: int
) -> dict[str, Any]:
    """The arguments of one answer: those of the selection, of the question, and of the page."""
    made: dict[str, Any] = _dated(selection.arguments)
    for path, value in told.items():
        _set(made, path, value)
    match selection.paging:
        case ByArgument(style="page", argument=path, first=first):
            _set(made, path, first + number)
        case ByArgument(argument=path):
            _set(made, path, count)
    return made


def _dated(value: Any) -> Any:
    """A copy in which the days that are named are days."""
    if isinstance(value, dict):
        return {name: _dated(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_dated(each) for each in value]
    return _TODAY.sub(_day, value) if isinstance(value, str) else value


def _day(found: re.Match[str]) -> str:
    today = clock.now().astimezone(clock.TOKYO).date()
    return (today + timedelta(days=int(found[1] or 0))).isoformat()


def _set(arguments: dict[str, Any], path: str, value: Any) -> None:
    *way, last = path.split(".")
    for name in way:
        inner = arguments.get(name)
        arguments[name] = dict(inner) if isinstance(inner, dict) else {}
        arguments = arguments[name]
    arguments[last] = value
