"""Every refusal is a problem document in the caller's language, and none shows our insides."""

import asyncio
import time
from typing import Any, get_args

import httpx
import pytest
from fastapi import FastAPI
from pydantic_core.core_schema import ErrorType

from app.api.envelope import Envelope, Traffic
from app.api.input_words import japanese
from app.api.problem import language_of
from app.audit.events import Event
from app.kit.db import DatabaseUnavailable
from app.models.parties import Role
from tests.world import World


async def test_an_unknown_path_is_a_problem_in_japanese_by_default(
    client: httpx.AsyncClient,
) -> None:
    response = await client.get("/nowhere", headers={"Accept-Language": ""})

    assert response.status_code == 404
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert (problem["code"], problem["detail"]) == ("route_not_found", "このパスはありません。")
    assert problem["request_id"] == response.headers["x-request-id"]
    assert problem["instance"] == "/nowhere"


@pytest.mark.parametrize(
    ("header", "language"),
    [
        (None, "ja"),
        ("en", "en"),
        ("en-GB,ja;q=0.5", "en"),
        ("ja;q=0.9, en;q=0.1", "ja"),
        ("fr", "ja"),
        ("en;q=x", "ja"),
        ("fr, en;q=0.3", "en"),
    ],
)
def test_the_language_is_the_one_preferred(header: str | None, language: str) -> None:
    assert language_of(header) == language


async def test_a_wrong_method_names_the_right_ones(client: httpx.AsyncClient) -> None:
    response = await client.delete("/healthz")

    assert (response.status_code, response.headers["allow"]) == (405, "GET")
    assert response.json()["code"] == "method_not_allowed"


async def test_an_unknown_parameter_is_answered_with_the_nearest_name(
    client: httpx.AsyncClient, world: World
) -> None:
    party = await world.party("270008-smartcity", Role.OPERATOR)
    headers = await world.token(party, "admin:read")

    response = await client.get("/v1/admin/clients?limitt=1", headers=headers)

    assert (response.status_code, response.json()["code"]) == (400, "unknown_parameter")
    assert "limit" in response.json()["detail"]
    assert response.json()["errors"][0]["pointer"] == "limitt"


async def test_a_wrong_parameter_is_named(client: httpx.AsyncClient, world: World) -> None:
    party = await world.party("270008-smartcity", Role.OPERATOR)
    headers = await world.token(party, "admin:read")

    limit = await client.get("/v1/admin/clients?limit=0", headers=headers)
    cursor = await client.get("/v1/admin/clients?cursor=%F0%9F%98%80", headers=headers)

    assert limit.json()["errors"][0]["pointer"] == "limit"
    assert cursor.json()["code"] == "invalid_cursor"


async def test_broken_json_is_a_400(client: httpx.AsyncClient, world: World) -> None:
    party = await world.party("270008-smartcity", Role.OPERATOR)
    headers = await world.token(party, "admin:write")
    headers["Content-Type"] = "application/json"

    broken = await client.post("/v1/admin/clients", content=b'{"a":', headers=headers)
    bytes_ = await client.post("/v1/admin/clients", content=b"\xff\xfe", headers=headers)

    assert (broken.status_code, broken.json()["code"]) == (400, "malformed_body")
    assert bytes_.status_code == 400


def test_every_type_of_error_has_japanese_words() -> None:
    assert [kind for kind in get_args(ErrorType) if japanese(kind, {}) is None] == []


async def test_a_database_that_went_away_is_a_503(app: FastAPI, client: httpx.AsyncClient) -> None:
    @app.get("/away", include_in_schema=False)
    async def away() -> None:
        raise ConnectionRefusedError("secret address")

    response = await client.get("/away")

    assert (response.status_code, response.json()["code"]) == (503, "database_unavailable")
    assert response.headers["retry-after"] == "5"
    assert "secret" not in response.text


async def test_our_own_failure_is_a_500_that_tells_nothing(
    app: FastAPI, client: httpx.AsyncClient, capsys: pytest.CaptureFixture[str]
) -> None:
    @app.get("/fails", include_in_schema=False)
    async def fails() -> None:
        raise RuntimeError("a secret row")

    response = await client.get("/fails")

    assert (response.status_code, response.json()["code"]) == (500, "internal_error")
    assert "Traceback" not in response.text
    assert "secret" not in response.text
    said = "".join(capsys.readouterr())
    assert response.json()["request_id"] in said
    assert "secret row" not in said


async def test_a_refusal_that_cannot_be_written_is_a_503(
    client: httpx.AsyncClient, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def cannot(*_: Any, **__: Any) -> int:
        raise DatabaseUnavailable

    with monkeypatch.context() as patch:
        patch.setattr(world.platform.log, "write", cannot)
        response = await client.get("/v1/admin/clients")

    assert response.status_code == 503
    assert await world.log(Event.CALL_REFUSED) == []


async def test_a_well_formed_request_id_is_kept_and_another_is_not(
    client: httpx.AsyncClient,
) -> None:
    kept = await client.get("/healthz", headers={"X-Request-Id": "abc-12345"})
    made = await client.get("/healthz", headers={"X-Request-Id": "<script>"})

    assert kept.headers["x-request-id"] == "abc-12345"
    assert len(made.headers["x-request-id"]) == 32
    assert made.headers["x-content-type-options"] == "nosniff"


async def test_the_operators_pages_answer(client: httpx.AsyncClient) -> None:
    assert (await client.get("/healthz")).json() == {"status": "ok"}
    assert (await client.get("/readyz")).json()["status"] == "ok"
    metrics = (await client.get("/metrics")).text
    assert 'urbanos_requests_total{method="GET",route="/healthz",status="200"}' in metrics
    page = await client.get("/docs")
    assert "/oauth/token" in page.text
    assert "http://" not in page.text.replace("http://urbanos.test", "")
    assert "https://" not in page.text


async def test_the_log_can_be_read_by_an_auditor(client: httpx.AsyncClient, world: World) -> None:
    party = await world.party("271004", Role.AUDITOR)
    headers = await world.token(party, "audit:read")

    listed = await client.get(
        "/v1/admin/audit",
        params={"client": party.id, "event": "token.issued", "limit": "1"},
        headers=headers,
    )

    assert [item["facts"]["client"] for item in listed.json()["items"]] == [party.id]


def test_every_operation_is_described_and_names_its_refusals(app: FastAPI) -> None:
    for path, operations in app.openapi()["paths"].items():
        for method, operation in operations.items():
            assert operation.get("summary"), (method, path)
            assert operation.get("description"), (method, path)
            assert operation.get("tags"), (method, path)


async def test_the_envelope_costs_less_than_40_microseconds() -> None:
    async def inner(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def ignore(_: Any) -> None:
        return None

    envelope = Envelope(inner, traffic=Traffic(), issuer="http://urbanos.test", access_log=False)
    scope = {"type": "http", "headers": [], "method": "GET", "path": "/x"}
    best = 1.0
    for _ in range(5):
        began = time.process_time()
        for _ in range(500):
            await envelope(dict(scope), ignore, ignore)  # type: ignore[arg-type]
        best = min(best, (time.process_time() - began) / 500)

    assert best < 40e-6  # 20 is the aim; a busy machine gets twice that


async def test_a_body_that_is_too_large_is_a_413(client: httpx.AsyncClient, world: World) -> None:
    party = await world.party("270008-smartcity", Role.OPERATOR)
    headers = await world.token(party, "admin:write")

    large = await client.post("/v1/admin/clients", json={"name": "x" * 2_000_000}, headers=headers)

    assert (large.status_code, large.json()["code"]) == (413, "body_too_large")


async def test_what_two_ask_at_once_is_a_conflict_for_one(
    client: httpx.AsyncClient, world: World
) -> None:
    party = await world.party("270008-smartcity", Role.OPERATOR)
    headers = await world.token(party, "admin:write")
    new = {"id": "v-twice", "kind": "vendor", "name_ja": "x"}

    answers = await asyncio.gather(
        *(client.post("/v1/admin/organizations", json=new, headers=headers) for _ in range(5))
    )

    assert sorted(a.status_code for a in answers) == [201, 409, 409, 409, 409]
