"""The reference provider as somebody reads it who builds his own: short, and never at a loss."""

import httpx
import pytest

from tests.certify.mutants import BASE, PROVIDER, provider


def test_the_reference_provider_can_be_read_in_one_sitting() -> None:
    assert len((PROVIDER / "provider.py").read_text("utf-8").splitlines()) <= 300


@pytest.mark.parametrize(
    ("query", "status", "said"),
    [
        ("aggregate?group_by=colour", 400, "invalid_parameter"),
        ("aggregate?metrics=sum(name)", 400, "invalid_parameter"),
        ("aggregate?group_by=ward,kind&metrics=count,max(capacity),distinct(kind)", 200, "distinct(kind)"),
        ("aggregate?filter=capacity > 1e9&metrics=avg(area),count", 200, '"count": 0'),
        ("records?bbox=nan,34,inf,35", 400, "invalid_parameter"),
        ("records?fields=", 400, "invalid_parameter"),
        ("records?sort=--no", 400, "invalid_parameter"),
        ("records?as_of=2026-02-30", 400, "invalid_parameter"),
        ("records?filter=(((&f=csv", 400, "invalid_filter"),
        ("records?f=csv&charset=cp932&limit=1", 200, "エービーシー"),
        ("records?f=csv&limit=1&no=none", 200, "no,name"),
        ("records/0001?fields=no", 200, '"no": "0001"'),
        ("records/none", 404, "record_not_found"),
        ("schema?f=tableschema", 200, "primaryKey"),
    ],
)  # fmt: skip
async def test_the_reference_provider_takes_whatever_it_is_asked(
    query: str, status: int, said: str
) -> None:
    transport = httpx.ASGITransport(provider.app)
    async with httpx.AsyncClient(transport=transport, base_url=BASE) as http:
        told = await http.get(f"/v1/datasets/sandbox-facilities/{query}")
        written = await http.post("/v1/health")

    encoding = "cp932" if "cp932" in query else "utf-8"
    assert (told.status_code, said in told.content.decode(encoding)) == (status, True), told.text
    assert written.json()["code"] == "method_not_allowed"
