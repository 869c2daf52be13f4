"""`urbanos serve` with several listeners: the zone is that of the socket, whatever is sent."""

import signal
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID
from pydantic import ValidationError

from app.cli.doctor import _tls
from app.kit.settings import Settings
from app.models.parties import Zone
from tests.cli.test_demo import Home, free_port
from tests.oauth.certificates import DAY, Authority, Listener, Shown
from tests.world import KENKO, World

_BY_TLS: dict[str, Any] = {"tls_certificate": "c.pem", "tls_client_ca": "ca.pem"}
_PRINT = "0f" * 32
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


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def gateway(authority: Authority) -> Shown:
    return authority.issue("gateway.mynumber.test")


@pytest.fixture
def served(
    settings: Settings, database_url: str, lgwan_port: int, authority: Authority, gateway: Shown
) -> Iterator[None]:
    """The process: plain on the internet, by TLS in LGWAN, and a gateway from the third zone."""
    own = authority.issue("urbanos.test", use=ExtendedKeyUsageOID.SERVER_AUTH)
    process = Home(settings.home, settings.port).start(
        "serve", "--no-worker",
        URBANOS_DATABASE_URL=database_url,
        URBANOS_PUBLIC_URL=settings.issuer,
        URBANOS_LISTENERS=f"lgwan=127.0.0.1:{lgwan_port}",
        URBANOS_TLS_CERTIFICATE=str(own.pem),
        URBANOS_TLS_KEY=str(own.key),
        URBANOS_TLS_CLIENT_CA=str(authority.pem),
        URBANOS_TLS_ZONES="lgwan",
        URBANOS_GATEWAYS=f"mynumber={gateway.fingerprint}",
    )  # fmt: skip
    yield
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 0


async def test_the_zone_of_a_request_is_that_of_the_listener_it_came_by(
    world: World,
    settings: Settings,
    lgwan_port: int,
    authority: Authority,
    gateway: Shown,
    served: None,
) -> None:
    dataset = await world.dataset(KENKO, data_class="internal", zone="lgwan")
    party = await world.party(KENKO, zone=Zone.LGWAN)
    nearest = await world.party(KENKO, zone=Zone.MYNUMBER)
    internet, lgwan = settings.issuer, f"https://127.0.0.1:{lgwan_port}"
    path = f"/v1/datasets/{dataset}/records?purpose=own-duty"

    listener = Listener(lgwan, authority)
    trust = ssl.create_default_context(cafile=authority.pem)
    async with httpx.AsyncClient(verify=trust) as http, listener.by(gateway) as beyond:
        asked = [
            await http.post(f"{at}/oauth/token", data=party.form(f"dataset:{dataset}:read"), headers=_FORGED)
            for at in (internet, lgwan)
        ]  # fmt: skip
        shown = {"Authorization": f"Bearer {asked[1].json()['access_token']}"}
        inside = await http.get(lgwan + path, headers=shown)
        outside = await http.get(internet + path, headers=shown)
        forged = await http.get(internet + path, headers={**shown, **_FORGED})
        by_gateway = [
            await each.post(f"{lgwan}/oauth/token", data=nearest.form("agreements:write"))
            for each in (http, beyond)
        ]
        ready = [(await http.get(f"{at}/readyz")).status_code for at in (internet, lgwan)]

    assert [each.status_code for each in asked] == [400, 200]
    assert asked[0].json()["error"] == "unauthorized_client"
    assert (
        inside.json()["code"] == "no_version_published"
    )  # it is let in; there is nothing to read yet
    assert outside.status_code == forged.status_code == 401
    assert [each.json()["error"] for each in by_gateway] == ["unauthorized_client", "invalid_scope"]
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


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("TLS_KEY", {"tls_key": "k.pem"}),
        ("TLS_CLIENT_CA", {"tls_client_ca": "ca.pem"}),
        ("TLS_ZONES", {"tls_certificate": "c.pem", "tls_zones": "lgwan"}),
        ("CLIENT_CERTIFICATE_HEADER", {"client_certificate_header": "client-cert"}),
        ("CLIENT_CERTIFICATE_HEADER", _BY_TLS | {"client_certificate_header": "x-zone"}),
        ("GATEWAYS", {"gateways": f"lgwan={_PRINT}"}),
        ("GATEWAYS", _BY_TLS | {"gateways": _PRINT}),
        ("GATEWAYS", _BY_TLS | {"gateways": f"lgwan={_PRINT[2:]}"}),
        ("GATEWAYS", _BY_TLS | {"gateways": f"dmz={_PRINT}"}),
        ("GATEWAYS", _BY_TLS | {"gateways": f"lgwan={_PRINT} mynumber={_PRINT}"}),
    ],
)
def test_tls_and_gateways_that_cannot_be_are_named(name: str, wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as refused:
        Settings(**wrong)

    assert [error["loc"] for error in refused.value.errors()] == [(name.lower(),)]


def test_each_zone_of_a_listener_or_of_a_gateway_has_settings_of_its_own() -> None:
    given = Settings(
        **_BY_TLS, listeners="lgwan=10.1.0.5:8443", tls_zones="lgwan",
        gateways=f"lgwan={'a' * 64} mynumber={':'.join(['BB'] * 32)}",
    )  # fmt: skip

    internet, lgwan, mynumber = given.every_zone

    assert (given.issuer, mynumber.issuer) == ("http://127.0.0.1:8000", "http://127.0.0.1:8000")
    assert [each.takes_certificates for each in (internet, lgwan, mynumber)] == [False, True, False]
    assert given.gateway_zones == {b"\xaa" * 32: "lgwan", b"\xbb" * 32: "mynumber"}


def test_a_listener_that_speaks_tls_is_told_of_as_https() -> None:
    assert Settings(**_BY_TLS).issuer == "https://127.0.0.1:8000"


def test_the_doctor_tells_of_a_certificate_that_fails_or_ends(
    authority: Authority, tmp_path: Path
) -> None:
    names = {"good": 90 * DAY, "soon": 20 * DAY, "old": -DAY}
    shown = {name: authority.issue(name, ends_in=left) for name, left in names.items()}
    given = [Settings(tls_certificate=each.pem, tls_key=each.key) for each in shown.values()]
    given.append(Settings(tls_certificate=tmp_path / "none.pem"))
    given.append(Settings(tls_certificate=shown["good"].pem, tls_key=shown["old"].key))

    found = [next(iter(_tls(each))) for each in given]

    assert [each.ok for each in found] == [True, False, False, False, False]
    assert str(tmp_path / "none.pem") in found[3].says
    assert list(_tls(Settings())) == []
