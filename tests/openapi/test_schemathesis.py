"""A machine asks every operation of the document all it can think of: no 5xx, nothing undescribed."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest_asyncio
import requests
import schemathesis
import uvicorn
from fastapi import FastAPI
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from app.models.parties import Role
from tests.stock import stocked
from tests.world import KENKO, World

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
EXAMPLES = 8  # of each operation, mode and caller


@dataclass(frozen=True, slots=True)
class Running:
    """A real server with something in it."""

    url: str
    document: dict[str, Any]
    dataset: str
    callers: tuple[dict[str, str], ...]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def running(app: FastAPI, platform: Any, client: httpx.AsyncClient) -> AsyncIterator[Running]:
    world = World(platform, client)
    await world.start()
    dataset = await stocked(world, [{"no": "1", "name": "架空"}])
    operator = await world.party("270008-smartcity", Role.OPERATOR, Role.AUDITOR)
    steward = await world.party(KENKO, Role.STEWARD)
    callers = (
        {},
        await world.token(operator, "admin:read admin:write"),
        await world.token(
            steward,
            f"catalogue:write agreements:write dataset:{dataset}:read dataset:{dataset}:write",
        ),
    )
    server = uvicorn.Server(
        uvicorn.Config(app, port=0, lifespan="off", log_level="critical", access_log=False)
    )
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield Running(f"http://127.0.0.1:{port}", app.openapi(), dataset, callers)
    server.should_exit = True
    await serving


def attack(running: Running, mode: GenerationMode) -> list[str]:
    """Every complaint of every operation."""
    schema = schemathesis.openapi.from_dict(running.document)
    complaints: list[str] = []
    with requests.Session() as session:
        for found in schema.get_all_operations():
            operation = found.ok()

            @settings(
                max_examples=EXAMPLES,
                deadline=None,
                derandomize=True,
                database=None,
                suppress_health_check=list(HealthCheck),
            )
            @given(
                case=operation.as_strategy(generation_mode=mode),
                caller=st.sampled_from(running.callers),
                real=st.booleans(),
            )
            def holds(case: Any, caller: dict[str, str], real: bool) -> None:
                if real and "dataset_id" in (case.path_parameters or {}):
                    case.path_parameters["dataset_id"] = running.dataset
                headers = {**(case.headers or {}), **caller}
                case.headers = headers
                case.call_and_validate(
                    base_url=running.url, session=session, checks=CHECKS, timeout=20
                )

            try:
                holds()
            except Exception as wrong:  # noqa: BLE001 - every complaint is wanted at once
                complaints.append(f"{operation.method} {operation.path}: {_told(wrong)}")
    return complaints


def _told(wrong: BaseException) -> str:
    inner = getattr(wrong, "exceptions", None)
    return "; ".join(_told(each) for each in inner) if inner else str(wrong)[:1500]


async def test_well_formed_requests_get_described_answers(running: Running) -> None:
    complaints = await asyncio.to_thread(attack, running, GenerationMode.POSITIVE)

    assert not complaints, "\n\n".join(complaints)


async def test_malformed_requests_get_described_answers(running: Running) -> None:
    complaints = await asyncio.to_thread(attack, running, GenerationMode.NEGATIVE)

    assert not complaints, "\n\n".join(complaints)
