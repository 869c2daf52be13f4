"""RFC 8705 over real TLS: who a certificate proves, what is bound to it, whose header is believed."""

import asyncio
import json
import shutil
import subprocess
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from cryptography.x509.oid import ExtendedKeyUsageOID
from fastapi import FastAPI
from joserfc.jwk import ECKey

from app.audit.events import Event
from app.cli.serving import _config, _tls_of
from app.kit import clock
from app.kit.settings import Settings
from app.main import create_app, create_entrance
from app.models.parties import Role, Zone
from app.oauth.identity import USERINFO_PATH
from app.oauth.tokens import ONE_FACTOR, PersonGrant, TokenGrant, claims_of, issue
from app.parties import clients
from tests.cli.test_demo import free_port
from tests.conftest import ISSUER
from tests.oauth.certificates import (
    DAY,
    PROXY,
    Authority,
    Listener,
    Shown,
    bearer,
    form,
    got,
    registered,
    subject,
)
from tests.oauth.people import somebody
from tests.oauth.senders import TOKEN_PATH, proof, under
from tests.oauth.signing_in import CALLBACK, Attempt, signed_in
from tests.serving import serving_as
from tests.stock import KEYED, PURPOSE, agreed, path, stocked
from tests.world import KENKO, SAKAI, World

ADMIN = "/v1/admin/organizations/271004"
SMARTCITY = "270008-smartcity"
MTLS = "https://mtls.urbanos.test"
FORGED_ZONE = {
    "X-Zone": "lgwan",
    "X-Urbanos-Zone": "lgwan",
    "X-Forwarded-For": "10.0.0.1",
    "Forwarded": "for=10.0.0.1;host=lgwan.example.jp;proto=https",
}


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def app_certificate(authority: Authority) -> Shown:
    return authority.issue("app.city.test")


@pytest.fixture(scope="module")
def other(authority: Authority) -> Shown:
    return authority.issue("other.city.test")


@pytest.fixture(scope="module")
def gateway(authority: Authority) -> Shown:
    return authority.issue("gateway.lgwan.test")


@pytest.fixture(scope="module")
def settings(
    tmp_path_factory: pytest.TempPathFactory, authority: Authority, gateway: Shown
) -> Settings:
    """A platform that speaks TLS, believes one proxy, and has a gateway to LGWAN."""
    own = authority.issue("urbanos.test", use=ExtendedKeyUsageOID.SERVER_AUTH)
    return Settings(
        home=tmp_path_factory.mktemp("home"),
        public_url=ISSUER,
        tls_certificate=own.pem,
        tls_key=own.key,
        tls_client_ca=authority.pem,
        trusted_proxies=PROXY,
        client_certificate_header="client-cert",
        gateways=f"lgwan={gateway.fingerprint}",
        mtls_url=f"{MTLS}/",
    )


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def listener(
    app: FastAPI, settings: Settings, database_url: str, authority: Authority
) -> AsyncIterator[Listener]:
    """The one listener, on the internet; behind it the applications of both zones."""
    here, lgwan = settings.every_zone
    inside = create_app(lgwan, database_url)
    entrance = create_entrance(here, {here.zone: app, lgwan.zone: inside})
    config = _config(entrance, here, _tls_of(here))
    config.port = 0
    async with inside.router.lifespan_context(inside), serving_as(config) as port:
        yield Listener(f"https://127.0.0.1:{port}", authority)


async def test_a_bound_token_is_good_with_its_certificate_alone(
    world: World, listener: Listener, app_certificate: Shown, other: Shown
) -> None:
    party = await registered(world, "app.city.test", SMARTCITY, Role.OPERATOR)
    async with listener.by(app_certificate) as mine:
        answer = await got(mine, form(party, "admin:read"))
        used = [(await mine.get(ADMIN, headers=bearer(answer))).status_code for _ in range(2)]

    async with (
        listener.by(app_certificate) as again,
        listener.by(other) as thief,
        listener.by() as bare,
    ):
        moved = await again.get(ADMIN, headers=bearer(answer))
        stolen = await thief.get(ADMIN, headers=bearer(answer))
        without = await bare.get(ADMIN, headers=bearer(answer))
        as_dpop = await again.get(
            ADMIN, headers={"Authorization": f"DPoP {answer['access_token']}"}
        )

    assert claims_of(answer["access_token"])["cnf"] == {"x5t#S256": app_certificate.thumbprint}
    assert (used, moved.status_code) == ([200, 200], 200)
    assert [r.status_code for r in (stolen, without, as_dpop)] == [401, 401, 401]
    assert stolen.headers["WWW-Authenticate"].startswith('Bearer error="invalid_token"')
    refused = await world.log(Event.CALL_REFUSED)
    assert [e["why"] for e in refused] == ["certificate", "no_certificate", "scheme"]


async def test_a_stolen_token_is_refused_before_anybody_used_it(
    world: World, listener: Listener, app_certificate: Shown, other: Shown
) -> None:
    party = await registered(world, "app.city.test", SMARTCITY, Role.OPERATOR)
    async with listener.by(app_certificate) as mine, listener.by(other) as thief:
        answer = await got(mine, form(party, "admin:read"))

        stolen = await thief.get(ADMIN, headers=bearer(answer))

    assert (stolen.status_code, stolen.json()["code"]) == (401, "invalid_token")


async def test_a_token_that_acts_for_somebody_is_bound_as_any_other(
    world: World, listener: Listener, app_certificate: Shown, other: Shown
) -> None:
    party = await registered(world, "app.city.test", SMARTCITY)
    async with world.platform.database.writing() as session:
        await clients.set_sign_in(
            session, party.id, redirect_uris=[], staff_of=[SMARTCITY], by="test"
        )
    world.platform.live.changed("client", party.id)
    person = PersonGrant(await somebody(world, SMARTCITY, Role.OPERATOR), ONE_FACTOR, 0)
    grant = TokenGrant(
        client_id=party.id, organization_id=SMARTCITY, zone="internet", scope=("admin:read",),
        epoch=0, lifetime_s=300, x5t=app_certificate.thumbprint, person=person,
    )  # fmt: skip
    issued = issue(await world.platform.keys.get(), ISSUER, grant)
    shown = {"Authorization": f"Bearer {issued.token}"}

    async with listener.by(app_certificate) as mine, listener.by(other) as thief:
        answers = [await http.get(ADMIN, headers=shown) for http in (thief, mine, thief)]

    assert [each.status_code for each in answers] == [401, 200, 401]


async def test_somebody_signs_in_to_an_app_whose_tokens_are_bound_to_its_certificate(
    world: World, listener: Listener, app_certificate: Shown, other: Shown
) -> None:
    party = await registered(world, "app.city.test")
    async with world.platform.database.writing() as session:
        await clients.set_sign_in(
            session, party.id, redirect_uris=[CALLBACK], staff_of=[SAKAI], by="test"
        )
    world.platform.live.changed("client", party.id)
    browser = await signed_in(world)
    by_key = ("client_assertion", "client_assertion_type")
    async with listener.by(app_certificate) as mine, listener.by(other) as thief:
        attempt = Attempt(world, party, at=mine)
        both = await attempt.push(without=by_key, proven=True)
        code = await attempt.code(browser, without=by_key)
        stolen = await attempt.redeem(code, without=by_key, proven=False, client=thief)
        granted = (await attempt.redeem(code, without=by_key, proven=False)).json()
        headers = bearer(granted)
        answers = [await each.get(USERINFO_PATH, headers=headers) for each in (mine, thief)]

    assert (both.status_code, both.json()["error"]) == (400, "invalid_request")
    assert (stolen.status_code, stolen.json()["error"]) == (401, "invalid_client")
    assert granted["token_type"] == "Bearer" and granted["id_token"]
    assert [each.status_code for each in answers] == [200, 401]
    assert answers[0].json() == {"sub": browser.person_id}


async def test_introspection_tells_what_a_token_is_bound_to(
    world: World, listener: Listener, app_certificate: Shown
) -> None:
    party = await registered(world, "app.city.test", SMARTCITY, Role.OPERATOR)
    async with listener.by(app_certificate) as mine:
        answer = await got(mine, form(party, "admin:read"))
        asked = {"token": answer["access_token"], "client_id": party.id}

        before = (await mine.post("/oauth/introspect", data=asked)).json()
        revoked = await mine.post("/oauth/revoke", data=asked)
        after = (await mine.post("/oauth/introspect", data=asked)).json()

    assert (before["active"], before["token_type"]) == (True, "Bearer")
    assert before["cnf"] == {"x5t#S256": app_certificate.thumbprint}
    assert (revoked.status_code, after) == (200, {"active": False})


async def test_only_the_certificate_of_the_registered_subject_proves_a_client(
    world: World, listener: Listener, app_certificate: Shown, other: Shown
) -> None:
    party = await registered(world, "app.city.test", SMARTCITY, Role.OPERATOR)
    by_key = await registered(world, None, SMARTCITY, Role.OPERATOR)
    data = form(party, "admin:read")
    async with (
        listener.by(other) as wrong,
        listener.by() as bare,
        listener.by(app_certificate) as mine,
    ):
        refused = [
            await wrong.post(TOKEN_PATH, data=data),
            await bare.post(TOKEN_PATH, data=data),
            await mine.post(TOKEN_PATH, data={**data, "client_id": "nobody"}),
            await mine.post(TOKEN_PATH, data={n: v for n, v in data.items() if n != "client_id"}),
            # A key's client is not proven by any certificate, nor a certificate's by any key.
            await mine.post(TOKEN_PATH, data=form(by_key, "admin:read")),
            await mine.post(TOKEN_PATH, data=party.form("admin:read")),
        ]
        two = await mine.post(TOKEN_PATH, data=by_key.form("admin:read"), auth=(party.id, "x"))

    assert {r.status_code for r in refused} == {401}
    assert {r.text for r in refused} == {refused[0].text}
    assert (two.status_code, two.json()["error"]) == (400, "invalid_request")


async def test_a_key_and_a_certificate_are_one_proof_and_one_bond(
    world: World, listener: Listener, app_certificate: Shown
) -> None:
    party = await registered(world, None, SMARTCITY, Role.OPERATOR, bound=True)
    free = await registered(world, None, SMARTCITY, Role.OPERATOR)
    dpop = proof(ECKey.generate_key("P-256"), "POST", TOKEN_PATH)
    async with listener.by(app_certificate) as mine, listener.by() as bare:
        bound = await got(mine, party.form("admin:read"))
        unbound = await got(mine, free.form("admin:read"))
        by_proof = await got(mine, free.form("admin:read"), DPoP=dpop)
        without = await bare.post(TOKEN_PATH, data=party.form("admin:read"))
        both = await mine.post(TOKEN_PATH, data=party.form("admin:read"), headers={"DPoP": dpop})

    assert claims_of(bound["access_token"])["cnf"] == {"x5t#S256": app_certificate.thumbprint}
    assert "cnf" not in claims_of(unbound["access_token"])
    assert by_proof["token_type"] == "DPoP"
    assert [r.json()["error"] for r in (without, both)] == ["invalid_request"] * 2


@pytest.mark.parametrize("fault", ["expired", "authority", "use"])
async def test_a_certificate_that_does_not_hold_gets_no_connection(
    listener: Listener, authority: Authority, tmp_path: Path, fault: str
) -> None:
    wrong = {
        "expired": lambda: authority.issue("app.city.test.old", ends_in=-DAY),
        "authority": lambda: Authority(tmp_path, "authority").issue("app.city.test"),
        "use": lambda: authority.issue("web.city.test", use=ExtendedKeyUsageOID.SERVER_AUTH),
    }[fault]()

    async with listener.by(wrong) as http:
        with pytest.raises(httpx.TransportError):
            await http.get("/healthz")


async def test_a_connection_proves_nobody_any_more_once_its_certificate_has_ended(
    world: World, listener: Listener, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    brief = authority.issue("brief.city.test", ends_in=timedelta(minutes=2))
    party = await registered(world, "brief.city.test", SMARTCITY, Role.OPERATOR)
    async with listener.by(brief) as http:
        answer = await got(http, form(party, "admin:read"))
        before = await http.get(ADMIN, headers=bearer(answer))
        later = clock.now() + timedelta(minutes=3)  # of the 15 that the token lives
        monkeypatch.setattr(clock, "now", lambda: later)

        used = await http.get(ADMIN, headers=bearer(answer))
        asked = await http.post(TOKEN_PATH, data=form(party, "admin:read"))

    assert (before.status_code, used.status_code, asked.status_code) == (200, 401, 401)
    assert "no_certificate" in used.json()["detail"]


async def test_a_gateways_connection_is_of_its_zone_no_longer_than_its_certificate_is_valid(
    world: World, listener: Listener, gateway: Shown, monkeypatch: pytest.MonkeyPatch
) -> None:
    party = await registered(world, None, SMARTCITY, Role.OPERATOR, zone=Zone.LGWAN)
    async with listener.by(gateway) as inside:
        before = await inside.post(TOKEN_PATH, data=party.form("admin:read"))
        later = clock.now() + 2 * DAY
        monkeypatch.setattr(clock, "now", lambda: later)

        by_then = party.assertion(iat=int(later.timestamp()), exp=int(later.timestamp()) + 30)
        after = await inside.post(
            TOKEN_PATH, data=party.form("admin:read", client_assertion=by_then)
        )

    assert (before.status_code, after.json().get("error")) == (200, "unauthorized_client")


async def test_a_forged_header_is_read_from_nobody_but_the_proxy(
    world: World, listener: Listener, app_certificate: Shown, other: Shown
) -> None:
    party = await registered(world, "app.city.test", SMARTCITY, Role.OPERATOR)
    data, told = form(party, "admin:read"), {"Client-Cert": app_certificate.sequence}
    async with listener.by(proxy=True) as proxy, listener.by() as bare, listener.by(other) as else_:
        answer = await got(proxy, data, **told)
        used = await proxy.get(ADMIN, headers={**bearer(answer), **told})
        unsaid = await proxy.get(ADMIN, headers=bearer(answer))
        foreign = await proxy.get(ADMIN, headers={**bearer(answer), "Client-Cert": other.sequence})
        forged = [
            await http.post(TOKEN_PATH, data=data, headers=told | {"X-Forwarded-For": PROXY})
            for http in (bare, else_)
        ]
        stolen = [
            await http.get(ADMIN, headers={**bearer(answer), **told}) for http in (bare, else_)
        ]

    assert used.status_code == 200
    assert [r.status_code for r in (unsaid, foreign, *forged, *stolen)] == [401] * 6


async def test_a_proxys_own_certificate_is_never_its_clients(
    world: World, listener: Listener, app_certificate: Shown
) -> None:
    party = await registered(world, "app.city.test", SMARTCITY, Role.OPERATOR)

    async with listener.by(app_certificate, proxy=True) as proxy:
        refused = await proxy.post(TOKEN_PATH, data=form(party, "admin:read"))

    assert refused.json()["error"] == "invalid_client"


async def test_an_expired_certificate_that_a_proxy_forwards_proves_nobody(
    world: World, listener: Listener, authority: Authority
) -> None:
    old = authority.issue("old.city.test", ends_in=timedelta(seconds=-1))
    party = await registered(world, "old.city.test", SMARTCITY, Role.OPERATOR)

    async with listener.by(proxy=True) as proxy:
        refused = await proxy.post(
            TOKEN_PATH, data=form(party, "admin:read"), headers={"Client-Cert": old.sequence}
        )

    assert refused.json()["error"] == "invalid_client"


@pytest.mark.parametrize(
    "sent",
    [
        [":MIIB:"], ["MIIB"], [": :"], ["x" * 20_000],
        ["RIGHT", "RIGHT"], ["RIGHT, RIGHT"], ["RIGHT;a=1"],
    ],
)  # fmt: skip
async def test_a_header_that_names_no_one_certificate_is_refused(
    world: World, listener: Listener, app_certificate: Shown, sent: list[str]
) -> None:
    party = await registered(world, "app.city.test", SMARTCITY, Role.OPERATOR)
    right = app_certificate.sequence
    told = [("Client-Cert", each.replace("RIGHT", right)) for each in sent]
    async with listener.by(proxy=True) as proxy:
        answer = await got(proxy, form(party, "admin:read"), **{"Client-Cert": right})

        asked = await proxy.post(TOKEN_PATH, data=form(party, "admin:read"), headers=told)
        used = await proxy.get(ADMIN, headers=[*bearer(answer).items(), *told])

    assert (asked.status_code, asked.json()["error"]) == (400, "invalid_request")
    assert (used.status_code, used.json()["code"]) == (401, "invalid_token")


async def test_a_gateways_certificate_and_nothing_else_gives_its_zone(
    world: World, listener: Listener, app_certificate: Shown, gateway: Shown
) -> None:
    dataset = await world.dataset(KENKO, data_class="internal", zone="lgwan")
    scope, where = f"dataset:{dataset}:read", path(dataset)
    party = await registered(world, None, zone=Zone.LGWAN)
    async with listener.by(gateway) as inside, listener.by(app_certificate) as outside:
        answer = await got(inside, party.form(scope))
        refused = [
            await outside.post(TOKEN_PATH, data=party.form(scope), headers=headers)
            for headers in ({}, FORGED_ZONE, {"Client-Cert": gateway.sequence})
        ]
        let_in = await inside.get(where, params={"purpose": "own-duty"}, headers=bearer(answer))
        kept_out = [
            await outside.get(
                where, params={"purpose": "own-duty"}, headers={**bearer(answer), **headers}
            )
            for headers in ({}, FORGED_ZONE, {"Client-Cert": gateway.sequence})
        ]
        from_inside = await inside.get(ADMIN, headers=await _internet_token(world))

    assert claims_of(answer["access_token"])["zone"] == "lgwan"
    assert let_in.json()["code"] == "no_version_published"  # let in; nothing to read yet
    assert {r.json()["error"] for r in refused} == {"unauthorized_client"}
    assert {r.status_code for r in (*kept_out, from_inside)} == {401}


async def _internet_token(world: World) -> dict[str, str]:
    return await world.token(await world.party(SMARTCITY, Role.OPERATOR), "admin:read")


async def test_a_gateway_forwards_its_clients_certificates_and_has_none_of_its_own(
    world: World, listener: Listener, app_certificate: Shown, gateway: Shown, other: Shown
) -> None:
    party = await registered(world, "app.city.test", SMARTCITY, Role.OPERATOR, zone=Zone.LGWAN)
    itself = await registered(
        world, "gateway.lgwan.test", SMARTCITY, Role.OPERATOR, zone=Zone.LGWAN
    )
    told = {"Client-Cert": app_certificate.sequence}
    async with listener.by(gateway) as inside:
        answer = await got(inside, form(party, "admin:read"), **told)
        used = await inside.get(ADMIN, headers={**bearer(answer), **told})
        foreign = await inside.get(ADMIN, headers={**bearer(answer), "Client-Cert": other.sequence})
        own = await inside.post(TOKEN_PATH, data=form(itself, "admin:read"))

    assert (used.status_code, foreign.status_code) == (200, 401)
    assert own.json()["error"] == "invalid_client"


async def test_personal_data_is_read_on_a_certificate_under_one_agreement(
    world: World, listener: Listener, app_certificate: Shown, other: Shown
) -> None:
    rows: list[dict[str, Any]] = [{"no": "1", "name": "架空", "size": 3}]
    dataset = await stocked(world, [], KEYED, data_class="personal")
    owner = await registered(world, "other.city.test")
    party, asker = (
        await registered(world, "app.city.test", SAKAI),
        await world.party(SAKAI, Role.DEVELOPER),
    )
    agreement, _ = await agreed(world, dataset, asker, columns=["no", "name"])
    scope, asked = f"dataset:{dataset}:read", {"purpose": PURPOSE}
    async with listener.by(other) as publisher, listener.by(app_certificate) as mine:
        writing = bearer(await got(publisher, form(owner, f"dataset:{dataset}:write")))
        wrote = await publisher.post(path(dataset), json=rows, headers=writing)
        details = under(agreement)
        answer = await got(mine, form(party, scope, authorization_details=details))
        unnamed = await mine.post(TOKEN_PATH, data=form(party, scope))

        read = await mine.get(path(dataset), params=asked, headers=bearer(answer))
        stolen = await publisher.get(path(dataset), params=asked, headers=bearer(answer))

    assert wrote.status_code == 200, wrote.text
    assert (answer["expires_in"], answer["authorization_details"]) == (60, json.loads(details))
    assert unnamed.json()["error"] == "invalid_scope"
    assert read.json()["records"] == [{"no": "1", "name": "架空"}]
    assert stolen.status_code == 401


async def test_the_metadata_tell_of_certificates_where_they_are_taken(
    client: httpx.AsyncClient,
) -> None:
    server = (await client.get("/.well-known/oauth-authorization-server")).json()
    resource = (await client.get("/.well-known/oauth-protected-resource")).json()

    assert "tls_client_auth" in server["token_endpoint_auth_methods_supported"]
    assert server["tls_client_certificate_bound_access_tokens"] is True
    assert server["mtls_endpoint_aliases"] == {
        "token_endpoint": f"{MTLS}/oauth/token",
        "revocation_endpoint": f"{MTLS}/oauth/revoke",
        "introspection_endpoint": f"{MTLS}/oauth/introspect",
        "pushed_authorization_request_endpoint": f"{MTLS}/oauth/par",
        "userinfo_endpoint": f"{MTLS}/oauth/userinfo",
    }
    assert resource["tls_client_certificate_bound_access_tokens"] is True


_NGINX = """
daemon off; pid {folder}/pid; error_log stderr;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;
    uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
    server {{
        listen 127.0.0.1:{port} ssl;
        ssl_certificate {own.pem}; ssl_certificate_key {own.key};
        ssl_client_certificate {authority.pem};
        ssl_verify_client optional;
        location / {{
            proxy_pass http://127.0.0.1:{to};
            proxy_set_header X-SSL-Client-Cert $ssl_client_escaped_cert;
        }}
    }}
}}
"""


@pytest.mark.skipif(shutil.which("nginx") is None, reason="nginx is not installed")
async def test_an_nginx_before_us_tells_of_the_certificate_that_it_saw(
    world: World,
    settings: Settings,
    database_url: str,
    authority: Authority,
    app_certificate: Shown,
    other: Shown,
    tmp_path: Path,
) -> None:
    party = await registered(world, "app.city.test", SMARTCITY, Role.OPERATOR)
    told = {"X-SSL-Client-Cert": app_certificate.escaped}
    plain = Settings(
        home=settings.home, public_url=ISSUER, trusted_proxies="127.0.0.1",
        client_certificate_header="x-ssl-client-cert",
    )  # fmt: skip
    behind = create_app(plain, database_url)
    config = _config(create_entrance(plain, {"internet": behind}), plain)
    config.port = 0
    own = authority.issue("nginx.test", use=ExtendedKeyUsageOID.SERVER_AUTH)
    async with behind.router.lifespan_context(behind), serving_as(config) as to:
        port = free_port()
        written = tmp_path / "nginx.conf"
        written.write_text(
            _NGINX.format(folder=tmp_path, port=port, own=own, authority=authority, to=to)
        )
        nginx = subprocess.Popen(
            ["nginx", "-p", tmp_path, "-c", written], stderr=subprocess.DEVNULL
        )
        try:
            front = Listener(f"https://127.0.0.1:{port}", authority)
            async with (
                front.by(app_certificate) as mine,
                front.by(other) as thief,
                front.by() as bare,
            ):
                await _answers(bare)
                answer = await got(mine, form(party, "admin:read"))
                used = await mine.get(ADMIN, headers=bearer(answer))
                stolen = [
                    await http.get(ADMIN, headers={**bearer(answer), **told})
                    for http in (thief, bare)
                ]
        finally:
            nginx.terminate()
            nginx.wait(10)

    assert used.status_code == 200
    assert [r.status_code for r in stolen] == [401, 401]


async def _answers(http: httpx.AsyncClient) -> None:
    async with asyncio.timeout(10):
        while True:
            try:
                await http.get("/healthz")
                return
            except httpx.TransportError:
                await asyncio.sleep(0.02)


async def test_a_client_of_a_certificate_is_registered_by_its_subject(
    client: httpx.AsyncClient, world: World
) -> None:
    headers = await world.token(await world.party(SMARTCITY, Role.OPERATOR), "admin:write")
    told = {"organization_id": KENKO, "name": "試験", "auth_method": "tls_client_auth"}

    right = await client.post(
        "/v1/admin/clients", json={**told, "tls_subject": subject("a.test")}, headers=headers
    )
    wrong = [
        await client.post("/v1/admin/clients", json={**told, **fault}, headers=headers)
        for fault in (
            {},
            {"tls_subject": ""},
            {"tls_subject": "a.test"},
            {"tls_subject": subject("a.test"), "auth_method": "client_secret_basic"},
            {"tls_subject": subject("a.test"), "jwks": {"keys": []}},
        )
    ]

    assert right.status_code == 201, right.text
    added = right.json()
    assert added["secret"] is None
    assert (added["client"]["tls_subject"], added["client"]["certificate_bound"]) == (
        subject("a.test"),
        True,
    )
    assert {r.status_code for r in wrong} == {422}
    assert {r.json()["errors"][0]["code"] for r in wrong} == {
        "tls_subject_required",
        "invalid_subject",
        "one_credential",
    }
