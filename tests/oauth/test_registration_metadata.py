"""What a vendor may not say of its client, and what nobody may send as metadata."""

from typing import Any

import pytest
from joserfc.jwk import ECKey, RSAKey

from app.audit.events import Event
from app.models.parties import Role
from tests.oauth.registering import (
    REGISTER,
    make,
    person,
    public,
    register,
)
from tests.world import World


def _private() -> dict[str, Any]:
    return {"keys": [dict(ECKey.generate_key("P-256").as_dict(private=True))]}


def _keys(*keys: Any) -> dict[str, Any]:
    return {"keys": list(keys)}


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"jwks": _private()}, "invalid_client_metadata"),
        ({"jwks": None}, "invalid_client_metadata"),
        ({"jwks": []}, "invalid_client_metadata"),
        ({"jwks": _keys()}, "invalid_client_metadata"),
        ({"jwks": _keys(*public()["keys"] * 2)}, "invalid_client_metadata"),
        ({"jwks": _keys(*[{}] * 3_000)}, "invalid_client_metadata"),
        ({"jwks": _keys({"kty": "oct", "k": "eA"})}, "invalid_client_metadata"),
        (
            {"jwks": _keys(RSAKey.generate_key(2048).as_dict(private=False))},
            "invalid_client_metadata",
        ),
        (
            {"jwks": _keys(ECKey.generate_key("P-384").as_dict(private=False))},
            "invalid_client_metadata",
        ),
        ({"jwks_uri": "https://vendor.example/jwks"}, "invalid_client_metadata"),
        ({"software_statement": "eyJ"}, "invalid_client_metadata"),
        ({"token_endpoint_auth_method": "none"}, "invalid_client_metadata"),
        ({"token_endpoint_auth_method": "client_secret_basic"}, "invalid_client_metadata"),
        ({"grant_types": ["password"]}, "invalid_client_metadata"),
        ({"grant_types": "client_credentials"}, "invalid_client_metadata"),
        ({"grant_types": ["authorization_code"]}, "invalid_client_metadata"),
        ({"response_types": ["token"]}, "invalid_client_metadata"),
        ({"response_types": ["code"]}, "invalid_client_metadata"),
        ({"client_name": None}, "invalid_client_metadata"),
        ({"client_name": " "}, "invalid_client_metadata"),
        ({"client_name": "x" * 201}, "invalid_client_metadata"),
        ({"client_name": "\u202egro.ytic"}, "invalid_client_metadata"),
        ({"client_name": "a\x00b"}, "invalid_client_metadata"),
        ({"scope": "a  b"}, "invalid_client_metadata"),
        ({"scope": 1}, "invalid_client_metadata"),
        ({"software_version": {"a": 1}}, "invalid_client_metadata"),
        ({"redirect_uris": ["javascript:alert(1)"]}, "invalid_redirect_uri"),
        ({"redirect_uris": ["https://a.example/cb#x"]}, "invalid_redirect_uri"),
        ({"redirect_uris": ["https://*.example/cb"]}, "invalid_redirect_uri"),
        ({"redirect_uris": ["http://a.example/cb"]}, "invalid_redirect_uri"),
        ({"redirect_uris": ["https://u:p@a.example/cb"]}, "invalid_redirect_uri"),
        ({"redirect_uris": [1]}, "invalid_redirect_uri"),
        ({"redirect_uris": [f"https://a.example/{n}" for n in range(11)]}, "invalid_redirect_uri"),
    ],
)
async def test_metadata_that_are_wrong_are_refused_and_mend_is_told(
    world: World, wrong: dict[str, Any], error: str
) -> None:
    token = await make(world, await person(world, Role.OPERATOR))

    response = await register(world, token, **wrong)

    assert (response.status_code, response.json()["error"]) == (400, error), response.text
    assert response.json()["error_description"].isascii()
    (entry,) = await world.log(Event.TOKEN_REFUSED)
    assert (entry["code"], entry["path"]) == (error, REGISTER)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"[]", 400),
        (b"\xff", 400),
        (b'{"client_name": "a"', 400),
        (b'{"a":' * 100_000, 413),
        (b'{"a":' * 2_000 + b"1" + b"}" * 2_000, 400),
        (b" " * 17_000, 400),
        (b" " * 2_000_000, 413),
    ],
    ids=lambda each: repr(each)[:20],
)
async def test_a_body_that_is_no_metadata_is_refused_however_long_or_deep(
    world: World, body: bytes, status: int
) -> None:
    token = await make(world, await person(world, Role.OPERATOR))
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}

    response = await world.client.post(REGISTER, content=body, headers=headers)
    as_text = await world.client.post(
        REGISTER, content=b"{}", headers={**headers, "Content-Type": "text/plain"}
    )

    assert (response.status_code, as_text.status_code) == (status, 400)
