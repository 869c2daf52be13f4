"""The kind `ckan`: a portal's catalogue, its resources as files, and its DataStore as a table.

The key goes to the portal alone, never along with a resource's address to somebody else's server.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Annotated, Any, ClassVar, Final, Literal
from urllib.parse import unquote, urlencode, urlsplit, urlunsplit

from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    SecretStr,
    StringConstraints,
    model_validator,
)
from pydantic_core import PydanticCustomError

from app.connectors.ckan_asking import (
    PAGE_ROWS,
    Result,
    asked_of,
    fields_of,
    file_name,
    newest,
    part_of,
    proof_of,
    proposal,
    rows_of,
)
from app.connectors.connection import Connection
from app.connectors.documents import MOST_PAGES, encoded, told
from app.connectors.errors import CannotAnswer, SourceBroken, SourceChanged, SourceError
from app.connectors.frame import (
    MOST_SECONDS,
    SILENT_SECONDS,
    Capabilities,
    Connector,
    Harvest,
    Known,
    Means,
    Proposal,
    Rows,
    Shape,
)
from app.connectors.web import (
    Address,
    KeyInHeader,
    NoProof,
    Web,
    below,
    check_is_no_page,
    conditions,
    host_of,
    is_same_origin,
    is_visible,
    joined,
    validators,
)
from app.kit.outbound import Bounds, OutboundRefused, OutboundUnreachable
from app.query.question import Question

_MOST_PROPOSALS: Final = 10_000
_MOST_ASKED_TYPES: Final = 100  # tables whose columns are asked for, one by one
_BOUNDS: Final = Bounds(most_bytes=1 << 40, seconds=MOST_SECONDS, silent_seconds=SILENT_SECONDS)
_LOOK: Final = Bounds(most_bytes=1 << 40, seconds=15, silent_seconds=10)
_Text = Annotated[str, StringConstraints(min_length=1, max_length=300)]
_Word = Annotated[str, StringConstraints(max_length=100)]


class CkanSettings(Shape):
    """Where the portal is: what stands before `/api/3/action`."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"base": "https://catalog.example.lg.jp", "key": "..."}]}
    )
    base: Address
    key: (
        Annotated[SecretStr, Field(min_length=1, max_length=4_000), AfterValidator(is_visible)]
        | None
    ) = None
    key_header: Literal["Authorization", "X-CKAN-API-Key"] = "Authorization"
    connection: Connection = Field(default_factory=Connection)


class CkanSelection(Shape):
    """Which resource: by its id, or by its package and its name there.

    With both, one that was put in another's place under a new id is found again by its name. `via`
    is what a harvest takes; whoever asks live asks the DataStore.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"package": "shelters", "name": "避難所一覧", "format": "CSV"},
                {"resource": "0ed4…", "via": "datastore", "types": {"収容人数": "numeric"}},
            ]
        }
    )
    package: _Text | None = None
    resource: _Text | None = None
    name: _Text | None = None
    format: _Word | None = None
    via: Literal["file", "datastore"] = "file"
    types: Annotated[dict[_Text, _Word], Field(max_length=1_000)] = Field(
        default_factory=dict,
        description="The DataStore's columns as it tells them: conditions on others are left to us."
        " `text` says as well that no blank stands around its values, and no full-width letter in codes",
    )
    encoding: Annotated[str, StringConstraints(max_length=20)] | None = None
    table: _Text | None = None
    crs: _Word | None = None

    @model_validator(mode="after")
    def _names_one(self) -> "CkanSelection":
        if self.resource is None and (self.package is None or (self.name or self.format) is None):
            raise PydanticCustomError(
                "no_resource", "Name a resource, or a package and its resource's name or format."
            )
        return self

    @property
    def told(self) -> dict[str, str] | None:
        """The words on how the file is read."""
        words = {"encoding": self.encoding, "table": self.table, "crs": self.crs}
        return {name: word for name, word in words.items() if word is not None} or None


class CkanConnector(Connector[CkanSettings, CkanSelection]):
    """Open data portals."""

    kind = "ckan"
    title_ja = "CKAN（オープンデータカタログ・DataStore）"
    title_en = "CKAN (open data portals, DataStore)"
    settings_shape: ClassVar[type[Shape]] = CkanSettings
    selection_shape: ClassVar[type[Shape]] = CkanSelection
    capabilities = Capabilities(
        answers=True, filters=True, pages=True, notices_changes=True, discovers=True
    )

    def __init__(self, settings: CkanSettings, means: Means) -> None:
        super().__init__(settings, means)
        way = settings.connection.way
        self._elsewhere = Web(means.outbound, way=way.unproven)
        key = settings.key
        proof = (
            KeyInHeader(type="api_key", header=settings.key_header, key=key) if key else NoProof()
        )
        self._portal = Web(means.outbound, proof, way)

    def check_settings(self) -> None:
        """Raises `OutboundRefused`."""
        self._portal.check(self.settings.base)

    async def check(self, selection: CkanSelection | None = None) -> None:
        """That it answers as CKAN does; of a resource, that its file or its table is there."""
        if selection is None:
            (await self._action("package_search", rows=0)).member("count", int)
        elif selection.via == "datastore":
            await self._table(await self._id(selection), limit=1)
        else:
            web, url = await self._file(await self._resource(selection))
            async with web.get(url, bounds=_LOOK) as answer:
                check_is_no_page(answer)

    @asynccontextmanager
    async def harvest(
        self, selection: CkanSelection, known: Known | None = None, first: int | None = None
    ) -> AsyncIterator[Harvest | None]:
        """The resource's file as it is, or the rows of its table."""
        if selection.via == "datastore":
            async with aclosing(self._lines(await self._id(selection), first)) as lines:
                yield Harvest(lines, "records.ndjson")
            return
        resource = await self._resource(selection)
        proof = proof_of(resource)
        if proof is not None and known is not None and known.validators.get("resource") == proof:
            yield None
            return
        web, url = await self._file(resource)
        is_same = known is not None and known.validators.get("url") == url
        async with web.get(
            url, bounds=_BOUNDS, headers=conditions(known if is_same else None)
        ) as got:
            if got.status == 304:
                yield None
                return
            check_is_no_page(got)
            own = validators(got.headers) or {}
            proven = {"url": url, **own, **({"resource": proof} if proof else {})}
            yield Harvest(
                got.pieces,
                file_name(resource, unquote(urlsplit(url).path)),
                selection.told,
                proven if own or proof is not None else None,
            )

    def part(self, selection: CkanSelection, question: Question) -> Question:
        """Equality, and where all conditions are so and no order is asked, bounds."""
        return part_of(selection.types, question)

    @asynccontextmanager
    async def fetch(
        self, selection: CkanSelection, question: Question, known: Known | None = None
    ) -> AsyncIterator[Rows | None]:
        """Rows of the DataStore."""
        if self.part(selection, question) != question:
            why_ja = "等値以外の条件と並べ替えは扱えません"
            raise CannotAnswer(
                connector=self.kind, why="DataStore takes equality alone", why_ja=why_ja
            )
        resource = await self._id(selection)
        async with aclosing(self._found(resource, question)) as batches:
            yield Rows(batches)

    async def discover(self) -> Sequence[Proposal]:
        """Every resource of every package, with the columns of the first tables."""
        found: list[Proposal] = []
        start, tables = 0, 0
        for _ in range(MOST_PAGES):
            page = await self._action("package_search", rows=100, start=start, sort="name asc")
            packages = page.objects("results")
            for package in packages:
                for resource in newest(package):
                    columns: dict[str, str] = {}
                    if resource.get("datastore_active") is True and tables < _MOST_ASKED_TYPES:
                        tables += 1
                        columns = await self._columns(str(resource.get("id")))
                    found.append(proposal(package, resource, columns))
            start += len(packages)
            if not packages or start >= page.member("count", int) or len(found) >= _MOST_PROPOSALS:
                break
        return found[:_MOST_PROPOSALS]

    async def _columns(self, resource: str) -> dict[str, str]:
        """None where the catalogue speaks of a table that is not there."""
        try:
            return fields_of(await self._table(resource, limit=1))
        except SourceError as broken:
            if broken.at not in ("missing", "permission", "shape", "server"):
                raise
            return {}

    async def _id(self, selection: CkanSelection) -> str:
        if selection.package is None and selection.resource is not None:
            return selection.resource
        return str((await self._resource(selection)).get("id"))

    async def _resource(self, selection: CkanSelection) -> Mapping[str, Any]:
        """The resource as the catalogue has it now. Raises `SourceBroken` where there is none."""
        if selection.package is None:
            return (await self._action("resource_show", id=selection.resource)).told
        package = await self._action("package_show", id=selection.package)
        its = newest(package.told)
        for each in its:
            if selection.resource is not None and each.get("id") == selection.resource:
                return each
        for each in its:
            named = selection.name is None or each.get("name") == selection.name
            wanted = (selection.format or "").casefold()
            if (
                named
                and wanted in ("", str(each.get("format")).casefold())
                and (selection.name or wanted)
            ):
                return each
        detail = selection.name or selection.resource or selection.format
        raise SourceBroken(source=host_of(self.settings.base), at="missing", detail=detail)

    async def _file(self, resource: Mapping[str, Any]) -> tuple[Web, str]:
        """Where the file is, and as whom it is asked for.

        Catalogues are full of `http:` for files that have long moved to `https:`, and we ask by the
        former only whom a deployment lists.
        """
        base, said = self.settings.base, resource.get("url")
        if not isinstance(said, str) or not said.strip():
            raise SourceBroken(source=host_of(base), at="missing", detail="url")
        url = joined(base, said.strip())
        if url.startswith("http:") and not await self._may_be_plain(url):
            parts = urlsplit(url)
            url = urlunsplit(
                parts._replace(scheme="https", netloc=parts.netloc.removesuffix(":80"))
            )
        return (self._portal if is_same_origin(url, base) else self._elsewhere), url

    async def _may_be_plain(self, url: str) -> bool:
        try:
            host = self.means.outbound.check(url)
            await self.means.outbound.addresses(host, urlsplit(url).port or 80, is_plain=True)
        except OutboundRefused:
            return False
        except (OutboundUnreachable, OSError, UnicodeError):
            return True  # whoever asks is told
        return True

    async def _lines(self, resource: str, first: int | None) -> AsyncGenerator[bytes, None]:
        host = host_of(self.settings.base)
        async with aclosing(self._rows(resource, {}, 0, first)) as pages:
            async for rows in pages:
                yield await asyncio.to_thread(encoded, rows, host)

    async def _found(
        self, resource: str, question: Question
    ) -> AsyncGenerator[Sequence[Mapping[str, Any]], None]:
        most = question.limit
        async with aclosing(
            self._rows(resource, asked_of(question), question.offset, most)
        ) as pages:
            async for rows in pages:
                yield rows

    async def _rows(
        self, resource: str, asked: Mapping[str, str], offset: int, most: int | None
    ) -> AsyncGenerator[list[dict[str, Any]], None]:
        """Page after page, until one is short; all that it says there are."""
        start = offset
        before: list[dict[str, Any]] = []
        for _ in range(MOST_PAGES):
            left = PAGE_ROWS if most is None else min(PAGE_ROWS, offset + most - start)
            if left <= 0:
                return
            page = await self._table(resource, limit=left, offset=start, **asked)
            rows = await asyncio.to_thread(rows_of, page)
            if rows and rows == before:  # it passes the offset over
                break
            start, before = start + len(rows), rows
            if rows:
                yield rows
            if page.is_last(len(rows), left):
                page.check_whole(start, most is None)
                return
        raise SourceBroken(source=host_of(self.settings.base), at="loop")

    async def _table(self, resource: str, **asked: Any) -> Result:
        """`datastore_search`, in the order of its own row numbers where it has any."""
        try:
            return await self._action("datastore_search", resource_id=resource, sort="_id", **asked)
        except SourceBroken as broken:
            if broken.at != "status":
                raise
        try:  # a view has no row numbers
            return await self._action("datastore_search", resource_id=resource, **asked)
        except SourceBroken as broken:
            if broken.at != "status":
                raise
            host = host_of(self.settings.base)
            raise SourceChanged(source=host, at="shape", detail=resource[:40]) from broken

    async def _action(self, name: str, **asked: Any) -> Result:
        """What an action gives. Raises `SourceError`, also for what CKAN refuses with a 200."""
        url = below(self.settings.base, f"api/3/action/{name}?{urlencode(asked)}")
        return Result.of(await told(self._portal, url))
