"""`urbanos serve` with several listeners: the zone is that of the socket, whatever is sent."""

import signal
from collections.abc import Iterator

import httpx
import pytest

from app.kit.settings import Settings
from app.models.parties import Zone
from tests.cli.test_demo import Home, free_port
from tests.world import KENKO, World

_FORGED = {
    "X-Zone": "lgwan",
    "X-Urbanos-Zone": "lgwan",
    "X-Forwarded-For": "10.0.0.1",
    "X-Forwarded-Host": "lgwan.example.jp",
    "Forwarded": "for=10.0.0.1;host=lgwan.example.jp;proto=https",
}


@pytest.fixture(scope="module")
def lgwan_port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """One platform: its issuer is the address of its first listener."""
    port = free_port()
    return Settings(
        home=tmp_path_factory.mktemp("home"), port=port, public_url=f"http://127.0.0.1:{port}"
    )


@pytest.fixture
def served(settings: Settings, database_url: str, lgwan_port: int) -> Iterator[None]:
    """The process, with a listener on the internet and one in LGWAN."""
    process = Home(settings.home, settings.port).start(
        "serve", "--no-worker",
        URBANOS_DATABASE_URL=database_url,
        URBANOS_PUBLIC_URL=settings.issuer,
        URBANOS_LISTENERS=f"lgwan=127.0.0.1:{lgwan_port}",
    )  # fmt: skip
    yield
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 0


async def test_the_zone_of_a_request_is_that_of_the_listener_it_came_by(
    world: World, settings: Settings, lgwan_port: int, served: None
) -> None:
    dataset = await world.dataset(KENKO, data_class="internal", zone="lgwan")
    party = await world.party(KENKO, zone=Zone.LGWAN)
    internet, lgwan = settings.issuer, f"http://127.0.0.1:{lgwan_port}"
    path = f"/v1/datasets/{dataset}/records?purpose=own-duty"

    async with httpx.AsyncClient() as http:
        asked = [
            await http.post(f"{at}/oauth/token", data=party.form(f"dataset:{dataset}:read"), headers=_FORGED)
            for at in (internet, lgwan)
        ]  # fmt: skip
        shown = {"Authorization": f"Bearer {asked[1].json()['access_token']}"}
        inside = await http.get(lgwan + path, headers=shown)
        outside = await http.get(internet + path, headers=shown)
        forged = await http.get(internet + path, headers={**shown, **_FORGED})
        ready = [(await http.get(f"{at}/readyz")).status_code for at in (internet, lgwan)]

    assert [each.status_code for each in asked] == [400, 200]
    assert asked[0].json()["error"] == "unauthorized_client"
    assert (
        inside.json()["code"] == "no_version_published"
    )  # it is let in; there is nothing to read yet
    assert outside.status_code == forged.status_code == 401
    assert ready == [200, 200]


@pytest.mark.parametrize(
    "listeners",
    ["lgwan", "lgwan=127.0.0.1:0", "lgwan=127.0.0.1:70000", "internet=127.0.0.1:81",
     "lgwan=a:1 lgwan=b:2", "dmz=127.0.0.1:81"],
)  # fmt: skip
def test_listeners_that_cannot_be_are_named(settings: Settings, listeners: str) -> None:
    said = Home(settings.home, settings.port).run("serve", URBANOS_LISTENERS=listeners)

    assert said.returncode == 2
    assert "URBANOS_LISTENERS" in said.stderr + said.stdout
