"""Opens the place that settings name. A transport's library is loaded when it is first spoken."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from app.connectors.frame import Means
from app.connectors.places.folder import FolderPlace
from app.connectors.places.http import HttpPlace
from app.connectors.places.place import Place
from app.connectors.places.settings import AccessKey, KeyPair, PlaceSettings
from app.connectors.web import NoProof, Web


@asynccontextmanager
async def opened_place(settings: PlaceSettings, means: Means) -> AsyncIterator[Place]:
    """The place, and what is open for it until the end of the block."""
    match settings.scheme:
        case "/":
            yield FolderPlace(settings.base, means.folders)
        case "sftp":
            from app.connectors.places.sftp import sftp_place  # noqa: PLC0415

            async with sftp_place(settings, means.outbound) as place:
                yield place
        case "ftp" | "ftps":
            from app.connectors.places.ftp import ftp_place  # noqa: PLC0415

            async with ftp_place(settings, means.outbound) as place:
                yield place
        case _:
            yield _on_the_web(settings, means)


def check_settings(settings: PlaceSettings, means: Means) -> None:
    """Raises `OutboundRefused` or `FolderNotLent`. SFTP and FTP name no address until they ask."""
    match settings.scheme:
        case "/":
            FolderPlace(settings.base, means.folders).folder()
        case "sftp" | "ftps":
            means.outbound.check(_as_http(settings, "https"))
        case "ftp":
            means.outbound.check(_as_http(settings, "http"))
        case _:
            _web(settings, means).check(settings.endpoint or _address(settings))


def _on_the_web(settings: PlaceSettings, means: Means) -> Place:
    web = _web(settings, means)
    match settings.scheme:
        case "s3":
            from app.connectors.places.s3 import S3Place  # noqa: PLC0415

            return S3Place(settings, web)
        case "dav" | "davs":
            from app.connectors.places.webdav import DavPlace  # noqa: PLC0415

            return DavPlace(_address(settings), web)
    return HttpPlace(settings.base, web)


def _web(settings: PlaceSettings, means: Means) -> Web:
    proof = settings.auth
    told = NoProof() if isinstance(proof, AccessKey | KeyPair) else proof
    return Web(means.outbound, told, settings.connection.way)


def _address(settings: PlaceSettings) -> str:
    """`davs://` is WebDAV by https."""
    if settings.scheme in ("dav", "davs"):
        return "http" + settings.base.removeprefix("dav")
    return settings.base


def _as_http(settings: PlaceSettings, scheme: str) -> str:
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return f"{scheme}://{host}:{settings.port}/"
