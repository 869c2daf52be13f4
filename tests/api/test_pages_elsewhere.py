"""What a page of another origin may ask, as its browser asks it (Fetch Standard, 3.3)."""

import httpx

from app.kit.settings import Settings
from app.main import create_app
from tests.stock import path, stocked
from tests.world import World

ORIGIN = "https://app.city.example.jp"


async def test_a_page_of_any_origin_reads_open_data_and_its_headers(
    client: httpx.AsyncClient, world: World
) -> None:
    dataset = await stocked(world, [{"no": "1", "name": "架空"}], data_class="public")

    asked = await client.get(path(dataset), headers={"Origin": ORIGIN})
    before = await client.options(
        path(dataset),
        headers={
            "Origin": ORIGIN,
            "Access-Control-Request-Method": "GET",
            "Access-Control-Request-Headers": "authorization,dpop",
        },
    )

    assert (asked.status_code, asked.headers["access-control-allow-origin"]) == (200, "*")
    unasked = await client.get(path(dataset))
    assert unasked.headers.get_list("vary") == ["Accept, Accept-Language, Authorization, Origin"]
    assert "access-control-allow-origin" not in unasked.headers
    assert "ETag" in asked.headers["access-control-expose-headers"]
    assert before.status_code == 200
    assert "dpop" in before.headers["access-control-allow-headers"].lower()


async def test_no_answer_to_a_cookie_is_shown_to_another_origin(client: httpx.AsyncClient) -> None:
    answer = await client.get("/sign-in", headers={"Origin": ORIGIN, "Cookie": "session=x"})

    assert "access-control-allow-credentials" not in answer.headers


async def test_inside_a_closed_network_no_page_of_another_origin_asks(
    database_url: str, settings: Settings
) -> None:
    app = create_app(settings.model_copy(update={"zone": "lgwan"}), database_url)
    async with app.router.lifespan_context(app):
        inside = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=settings.issuer)
        async with inside:
            answer = await inside.get("/v1/datasets", headers={"Origin": ORIGIN})

    assert answer.status_code == 200
    assert "access-control-allow-origin" not in answer.headers


async def test_the_bare_address_leads_to_what_there_is(client: httpx.AsyncClient) -> None:
    answer = await client.get("/")

    assert (answer.status_code, answer.headers["location"]) == (303, "/docs")
