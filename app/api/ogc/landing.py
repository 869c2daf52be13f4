"""The landing page of the OGC door, what it conforms to, and its API definition. No data."""

from typing import Any, Final

from fastapi import APIRouter, Request, Response

from app.api.access import PlatformDep
from app.api.ogc import definition
from app.api.ogc.answering import HTML, JSON, OPENAPI, ROOT, answered, both_forms, linked
from app.api.problem import language_of

router = APIRouter(prefix=ROOT, include_in_schema=False)


@router.head("")
@router.get("")
@router.head("/")
@router.get("/")
async def show_landing_page(
    request: Request, platform: PlatformDep, f: str | None = None
) -> Response:
    """Where everything is (17-069r4, 7.2)."""
    root = platform.issuer + ROOT
    english = language_of(request.headers.get("accept-language")) == "en"
    document: dict[str, Any] = {
        "title": "Urban OS features" if english else "都市OS 地物",
        "description": _DESCRIPTION[english],
        "links": [
            *both_forms(root),
            linked("service-desc", f"{root}/api", OPENAPI),
            linked("service-doc", f"{root}/api?f=html", HTML),
            linked("conformance", f"{root}/conformance", JSON),
            linked("data", f"{root}/collections", JSON),
            linked("data", f"{root}/collections?f=html", HTML),
        ],
    }
    return answered(request, document, form=f)


_DESCRIPTION: Final = (
    "位置を持つデータセットを OGC API - Features で提供します。",
    "Every dataset with a place on the map, by OGC API - Features.",
)


@router.head("/conformance")
@router.get("/conformance")
async def show_conformance(
    request: Request, platform: PlatformDep, f: str | None = None
) -> Response:
    """The conformance classes of the doors that are mounted (17-069r4, 7.4)."""
    document = {
        "conformsTo": list(request.app.state.ogc_conformance),
        "links": both_forms(f"{platform.issuer}{ROOT}/conformance"),
    }
    return answered(request, document, form=f)


@router.head("/api")
@router.get("/api")
async def show_definition(
    request: Request, platform: PlatformDep, f: str | None = None
) -> Response:
    """The paths of this door as OpenAPI 3.0 (17-069r4, 7.3)."""
    document = definition.document(platform.issuer + ROOT)
    if f == "html":
        document = definition.told(document, f"{platform.issuer}{ROOT}/api")
    return answered(request, document, form=f, media_type=OPENAPI)
