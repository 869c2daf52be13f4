"""The reader's door: the list of operations as one page that loads nothing from outside."""

from collections.abc import Iterator
from html import escape
from typing import Any, Final

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse, RedirectResponse

router = APIRouter(include_in_schema=False)
POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"
_STYLE: Final = """
body{font:16px/1.6 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}
code,pre{font:14px/1.5 ui-monospace,monospace}pre{background:#f4f4f4;padding:.7rem;overflow:auto}
summary{cursor:pointer;padding:.3rem 0}b{display:inline-block;min-width:4.5rem}
"""


@router.get("/")
async def lead_in() -> RedirectResponse:
    """Who opens the bare address in a browser is shown what there is."""
    return RedirectResponse("/docs", status_code=303)


@router.get("/docs")
async def show_operations(request: Request) -> HTMLResponse:
    """Every operation by area, with its parameters, examples and refusals."""
    page = "".join(_page(request.app.openapi()))
    return HTMLResponse(page, headers={"Content-Security-Policy": POLICY})


def _page(document: dict[str, Any]) -> Iterator[str]:
    title = escape(document["info"]["title"])
    yield f'<!doctype html><html lang="ja"><meta charset="utf-8"><title>{title}</title>'
    yield f"<style>{_STYLE}</style><h1>{title}</h1>"
    yield f"<p>{escape(document['info']['description'])}</p>"
    yield '<p>OpenAPI 3.1: <a href="/openapi.json">/openapi.json</a></p>'
    areas: dict[str, list[str]] = {}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            area = (operation.get("tags") or [""])[0]
            areas.setdefault(area, []).append("".join(_operation(path, method, operation)))
    for area, operations in areas.items():
        yield f"<h2>{escape(area)}</h2>"
        yield from operations


def _operation(path: str, method: str, operation: dict[str, Any]) -> Iterator[str]:
    yield f"<details><summary><b>{escape(method.upper())}</b><code>{escape(path)}</code> "
    yield f"{escape(operation.get('summary', ''))}</summary>"
    yield f"<p>{escape(operation.get('description', ''))}</p><ul>"
    for parameter in operation.get("parameters", ()):
        told = escape(parameter.get("description", ""))
        yield f"<li><code>{escape(parameter['name'])}</code> ({parameter['in']}) {told}"
    yield "</ul><ul>"
    for status, response in operation.get("responses", {}).items():
        yield f"<li>{escape(status)}: {escape(response.get('description', ''))}"
    yield "</ul></details>"
