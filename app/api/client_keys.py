"""The door by which a client brings its next key itself. Decides nothing."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict
from starlette.responses import JSONResponse, Response

from app.api.access import PlatformDep, Writing
from app.api.clients import EXAMPLE_JWKS
from app.api.oauth import NO_STORE, REFUSALS
from app.api.parameters import reads_own_parameters
from app.oauth.assertions import TYPE as ASSERTION_TYPE
from app.oauth.forms import LONGEST_BODY, read_form
from app.oauth.new_keys import PATH, NewKey
from app.oauth.refusals import InvalidClient, InvalidRequest
from app.parties import clients
from app.parties.client_keys import KeysInvalid
from app.parties.clients import ClientInvalid, ClientRevoked

router = APIRouter(tags=["OAuth"], max_body_size=4 * LONGEST_BODY)
_FORM: Final[dict[str, Any]] = {
    "parameters": [
        {
            "name": "DPoP",
            "in": "header",
            "required": True,
            "description": "A proof by the new key, for this address (RFC 9449, 4)",
            "schema": {"type": "string"},
        }
    ],
    "requestBody": {
        "required": True,
        "content": {
            "application/x-www-form-urlencoded": {
                "schema": {
                    "type": "object",
                    "required": ["client_assertion_type", "client_assertion"],
                    "properties": {
                        "client_id": {"type": "string"},
                        "client_assertion_type": {"type": "string", "const": ASSERTION_TYPE},
                        "client_assertion": {
                            "type": "string",
                            "description": "by the present key, with `cnf.jkt`: the new key's"
                            " thumbprint (RFC 7638)",
                        },
                    },
                },
                "example": {
                    "client_assertion_type": ASSERTION_TYPE,
                    "client_assertion": "eyJhbGciOiJFUzI1NiIsImtpZCI6Ii4uLiJ9…",
                },
            }
        },
    },
}


class ClientKeysOut(BaseModel):
    """The client's keys from now on: the one that signed, and the new one."""

    keys: list[dict[str, Any]]

    model_config = ConfigDict(json_schema_extra={"example": EXAMPLE_JWKS})


async def _brought(request: Request, platform: PlatformDep) -> NewKey:
    """Who brings which key. Before a transaction: proofs are used up whatever comes after."""
    content_type = request.headers.get("content-type")
    form = read_form(content_type, request.scope["query_string"], await request.body())
    proofs = [value for name, value in request.scope["headers"] if name == b"dpop"]
    return await platform.new_keys.read(form, request.headers.get("authorization"), proofs)


@router.post(
    PATH,
    response_model=ClientKeysOut,
    summary="Bring a client's next key",
    openapi_extra=_FORM,
    responses=REFUSALS,
)
@reads_own_parameters
async def bring_key(new: Annotated[NewKey, Depends(_brought)], session: Writing) -> Response:
    """Put a new key beside the one that you have, without the operator.

    Authenticate by `private_key_jwt` with the present key; that assertion names the new key in
    `cnf.jkt`, and a DPoP proof shows that you hold it. There are two slots: a third key, which did
    not sign, goes. To leave the old key out, bring the next one with the new key.
    """
    try:
        client = await clients.add_key(session, new.client_id, new.jwk, beside=new.signed_by)
    except (ClientRevoked, ClientInvalid) as gone:
        raise InvalidClient("key_gone", client=new.client_id) from gone
    except KeysInvalid as wrong:
        (fault,) = wrong.faults
        told = {"mend_ja": fault.ja, "mend_en": fault.en}
        raise InvalidRequest(fault.code, client=new.client_id, **told) from wrong
    return JSONResponse(client.jwks, headers=NO_STORE)
