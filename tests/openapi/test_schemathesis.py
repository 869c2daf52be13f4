"""A machine asks every operation of the document all it can think of: no 5xx, nothing undescribed."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, cast

import httpx
import pytest
import pytest_asyncio
import requests
import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis.checks import not_a_server_error
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from app.models.parties import Role
from tests.bound import proof_for
from tests.serving import served
from tests.stock import stocked
from tests.world import KENKO, World

pytestmark = pytest.mark.long

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
EXAMPLES = 3  # of each operation, mode and caller
for media_type in (
    "application/offset+octet-stream",
    "application/jose",
    "application/zip",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
):
    schemathesis.serializer.alias(media_type, "application/octet-stream")


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
    callers: tuple[dict[str, str], ...] = (
        {},
        await world.token(
            operator,
            "admin:read admin:write invitations:write findings:read findings:write systems:read"
            " systems:write programmes:read programmes:write",
        ),
        await world.token(
            steward,
            f"catalogue:write agreements:write organization:write dataset:{dataset}:read dataset:{dataset}:write findings:read findings:write systems:read systems:write programmes:read programmes:write",
        ),
    )
    async with served(app) as port:
        yield Running(f"http://127.0.0.1:{port}", app.openapi(), dataset, callers)


def attack(running: Running, mode: GenerationMode) -> tuple[list[str], Counter[int], Counter[int]]:
    """Every complaint of every operation, how many answers had which status, and how many of those
    to a caller whose token is bound.
    """
    schema = schemathesis.openapi.from_dict(running.document)
    complaints: list[str] = []
    statuses: Counter[int] = Counter()
    proven: Counter[int] = Counter()
    with requests.Session() as session:
        session.auth = _prove
        for found in schema.get_all_operations():
            operation: Any = found.ok()  # type: ignore[union-attr]

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
                answer = case.call_and_validate(
                    base_url=running.url, session=session, checks=CHECKS, timeout=20
                )
                statuses[answer.status_code] += 1
                if caller.get("Authorization", "").startswith("DPoP"):
                    proven[answer.status_code] += 1

            try:
                holds()
            except Unsatisfiable:
                continue  # takes no input, or none that could be malformed
            except Exception as wrong:  # noqa: BLE001 - every complaint is wanted at once
                complaints.append(f"{operation.method} {operation.path}: {_told(wrong)}")
    return complaints, statuses, proven


def _prove(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """A proof of its own for a request whose token is bound."""
    shown = proof_for(request.method or "", request.path_url.encode(), cast(Any, request.headers))
    if shown is not None:
        request.headers["DPoP"] = shown
    return request


def _told(wrong: BaseException) -> str:
    inner = getattr(wrong, "exceptions", None)
    return "; ".join(_told(each) for each in inner) if inner else str(wrong)[:1500]


async def test_well_formed_requests_get_described_answers(running: Running) -> None:
    complaints, statuses, proven = await asyncio.to_thread(attack, running, GenerationMode.POSITIVE)

    assert not complaints, "\n\n".join(complaints)
    assert statuses[200] > 50
    assert proven[401] < sum(proven.values()) / 5  # nearly everywhere it is more than a token
    assert sum(statuses.values()) > 200


async def test_malformed_requests_get_described_answers(running: Running) -> None:
    complaints, statuses, _ = await asyncio.to_thread(attack, running, GenerationMode.NEGATIVE)

    assert not complaints, "\n\n".join(complaints)
    assert statuses[200] < statuses[400] + statuses[422]
