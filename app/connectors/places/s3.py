"""Files of a bucket of any service that speaks S3, by signed addresses in path style.

A signature is good for one address of the endpoint and for a few minutes; the secret goes nowhere.
"""

import asyncio
import hashlib
import hmac
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, unquote, urlsplit

from app.connectors.errors import SourceBroken, SourceError, SourceRefused
from app.connectors.places.http import BOUNDS
from app.connectors.places.place import (
    MOST_ENTRIES,
    Entry,
    Opened,
    Place,
    missing,
    size_of,
    usual,
    whole,
)
from app.connectors.places.settings import AccessKey, PlaceSettings
from app.connectors.places.webdav import check_same, moment, plain_tag
from app.connectors.places.xml import parsed
from app.connectors.web import Web, check_status
from app.kit import clock
from app.kit.outbound import Bounds, Streamed

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

_LISTING: Final = Bounds(most_bytes=8 << 20, seconds=60, silent_seconds=30)
_VALID_SECONDS: Final = 900  # that clocks may differ, and one connection may take to be made
_WRONG_KEY: Final = frozenset(
    ("InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken", "ExpiredToken",
     "AuthorizationHeaderMalformed", "AuthorizationQueryParametersError", "InvalidSecurity")
)  # fmt: skip
_MOST_PAGES: Final = 1_000  # a service gives a thousand keys at a time, and one at the least
_MOST_REFUSAL: Final = 16 << 10  # bytes that say why
_TAKES: Final = (200, 400, 403, 404)


class S3Place(Place):
    """A prefix of a bucket, whose "/" are taken for folders."""

    def __init__(self, settings: PlaceSettings, web: Web) -> None:
        parts = urlsplit(settings.base)
        self._bucket, self._prefix = parts.netloc, unquote(parts.path).strip("/")
        self._endpoint, self._region = (settings.endpoint or "").rstrip("/"), settings.region
        self._key = settings.auth if isinstance(settings.auth, AccessKey) else None
        self._web = web
        self.host = urlsplit(self._endpoint).hostname or "-"

    async def check(self) -> None:
        """That the bucket is there, and lets itself be listed."""
        await self._listed({"max-keys": "1"})

    async def look(self, path: str) -> Entry:
        """What HEAD tells; where that is not permitted, what a listing says is wrong."""
        url = self._signed("HEAD", self._at(path))
        async with self._web.get(url, bounds=_LISTING, method="HEAD", takes=_TAKES) as answer:
            status, told = answer.status, answer.headers
        if status == 200:
            return Entry(
                path, False, size_of(told.get("content-length", "")),
                moment(told.get("last-modified", "")), plain_tag(told.get("etag")),
            )  # fmt: skip
        if status == 404:
            raise missing(self.host, path)
        await self._listed({"max-keys": "1"})
        raise SourceRefused(source=self.host, at="permission")

    async def entries(self, folder: str) -> AsyncGenerator[Entry, None]:
        """The objects and the common prefixes below a prefix, page by page."""
        prefix = "".join(f"{part}/" for part in (self._prefix, folder) if part)
        asked = {"prefix": prefix, "delimiter": "/"}
        count = 0
        for _ in range(_MOST_PAGES):
            root = await self._listed(asked)
            for each in _children(root, "Contents", "CommonPrefixes"):
                count += 1
                if count > MOST_ENTRIES:
                    raise SourceBroken(source=self.host, at="crowded", detail=MOST_ENTRIES)
                entry = _entry(each, prefix, folder)
                if entry is not None:
                    yield entry
            following = _text(root, "NextContinuationToken")
            if _text(root, "IsTruncated") != "true" or not following:
                return
            asked["continuation-token"] = following
        raise SourceBroken(source=self.host, at="loop")

    @asynccontextmanager
    async def read(
        self, entry: Entry, known: Mapping[str, Any] | None = None
    ) -> AsyncIterator[Opened | None]:
        """The bytes, of the version that was looked at."""
        del known
        url = self._signed("GET", self._at(entry.path))
        async with self._web.get(url, bounds=BOUNDS, takes=_TAKES) as answer:
            if answer.status != 200:
                raise await self._refusal(answer, entry.path)
            check_same(entry, answer.headers, self.host)
            yield Opened(whole(answer.pieces, entry, self.host), entry.proof)

    async def _listed(self, asked: Mapping[str, str]) -> "Element":
        url = self._signed("GET", self._at(None), {"list-type": "2", **asked})
        async with self._web.get(url, bounds=_LISTING, takes=_TAKES) as answer:
            if answer.status != 200:
                raise await self._refusal(answer, self._bucket)
            body = b"".join([piece async for piece in answer.pieces])
        return await asyncio.to_thread(parsed, body, self.host, "S3")

    async def _refusal(self, answer: Streamed, path: str) -> SourceError:
        """What the service says is wrong: a status tells a wrong key from no permission nowhere."""
        body = bytearray()
        async for piece in answer.pieces:
            body += piece
            if len(body) > _MOST_REFUSAL:
                break
        try:
            code = _text(parsed(bytes(body[:_MOST_REFUSAL]), self.host, "S3"), "Code")
        except SourceBroken:
            code = ""
        if code in _WRONG_KEY:
            return SourceRefused(source=self.host, at="credentials")
        if answer.status == 404:
            return missing(self.host, path)
        try:
            check_status(self.host, answer.status, answer.headers)
        except SourceError as refusal:
            return refusal
        return SourceBroken(source=self.host, at="status", detail=answer.status)

    def _at(self, path: str | None) -> str:
        """The address of a key; of the bucket itself for None."""
        parts = (self._bucket, self._prefix, path) if path is not None else (self._bucket,)
        return f"{self._endpoint}/{quote('/'.join(part for part in parts if part), safe='/~')}"

    def _signed(self, method: str, url: str, asked: Mapping[str, str] | None = None) -> str:
        if self._key is None:
            return f"{url}?{_query(asked)}" if asked else url
        return signed(method, url, asked or {}, self._key, self._region, clock.now())


def signed(
    method: str, url: str, asked: Mapping[str, str], key: AccessKey, region: str, now: datetime,
    seconds: int = _VALID_SECONDS,
) -> str:  # fmt: skip
    """An address that proves who asks (AWS Signature Version 4, by query parameters)."""
    day, time = now.strftime("%Y%m%d"), now.strftime("%Y%m%dT%H%M%SZ")
    scope = f"{day}/{region}/s3/aws4_request"
    query = _query({
        **asked,
        "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
        "X-Amz-Credential": f"{key.key_id}/{scope}",
        "X-Amz-Date": time,
        "X-Amz-Expires": str(seconds),
        "X-Amz-SignedHeaders": "host",
    })  # fmt: skip
    parts = urlsplit(url)
    said = f"{method}\n{parts.path}\n{query}\nhost:{parts.netloc}\n\nhost\nUNSIGNED-PAYLOAD"
    digest = hashlib.sha256(said.encode()).hexdigest()
    by = f"AWS4{key.secret.get_secret_value()}".encode()
    for part in (day, region, "s3", "aws4_request"):
        by = hmac.digest(by, part.encode(), "sha256")
    told = f"AWS4-HMAC-SHA256\n{time}\n{scope}\n{digest}"
    return f"{url}?{query}&X-Amz-Signature={hmac.digest(by, told.encode(), 'sha256').hex()}"


def _query(asked: Mapping[str, str]) -> str:
    return "&".join(
        f"{quote(name, safe='~')}={quote(value, safe='~')}" for name, value in sorted(asked.items())
    )


def _entry(told: "Element", prefix: str, folder: str) -> Entry | None:
    """An object or a common prefix; none is the prefix itself."""
    is_folder = told.tag.endswith("CommonPrefixes")
    key = _text(told, "Prefix" if is_folder else "Key")
    name = key.removeprefix(prefix).rstrip("/")
    if not key.startswith(prefix) or name in ("", ".", "..") or "/" in name:
        return None
    path = f"{folder}/{name}" if folder else name
    if is_folder or key.endswith("/"):
        return Entry(path, True)
    try:
        modified = usual(datetime.fromisoformat(_text(told, "LastModified")))
    except ValueError:
        modified = None
    size = size_of(_text(told, "Size"))
    return Entry(path, False, size, modified, plain_tag(_text(told, "ETag")))


def _children(root: "Element", *names: str) -> "list[Element]":
    return [each for each in root if each.tag.rpartition("}")[2] in names]


def _text(told: "Element", name: str) -> str:
    found = _children(told, name)
    return (found[0].text or "").strip("\r\n") if found else ""
