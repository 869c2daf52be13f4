"""For whom another platform may speak here, and through which client. Reads no word of theirs."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncSession

from app.audit import log as audit
from app.audit.events import Event
from app.kit.errors import Fault
from app.models.parties import AuthMethod, Client
from app.parties.clients import ClientInvalid, check_in_force, get


@dataclass(frozen=True, slots=True)
class SpokenFor:
    """A reader of another platform, and the client that the reader has here."""

    issuer: str
    reader: str
    client: str


async def speak_for(
    session: AsyncSession, client_id: str, readers: Sequence[SpokenFor], *, by: str
) -> Client:
    """Name the readers of other platforms, and no others, for whom these may speak through a client.

    Tokens that were got for one who is named no more are refused from now on.
    """
    client = await get(session, client_id, lock=True)
    check_in_force(client)
    faults: list[Fault] = []
    if client.auth_method == AuthMethod.CLIENT_SECRET_BASIC:
        faults.append(Fault(
            "/readers", "by_secret", "秘密だけで認証するクライアントは代理できません。",
            "A client that proves itself by a secret alone speaks for nobody.",
        ))  # fmt: skip
    if len({(each.issuer, each.reader) for each in readers}) < len(readers):
        faults.append(Fault(
            "/readers", "named_twice", "同じ利用者が二度指定されています。", "A reader is named twice."
        ))  # fmt: skip
    for at, each in enumerate(readers):
        its = await get(session, each.client)
        check_in_force(its)
        if its.id == client_id or its.zone != client.zone:
            faults.append(Fault(
                f"/readers/{at}/client", "other_zone", "同じゾーンの別のクライアントを指定してください。",
                "Name another client, of the same zone.",
            ))  # fmt: skip
    if faults:
        raise ClientInvalid(faults=faults)
    client.speaks_for = sorted([each.issuer, each.reader, each.client] for each in readers)
    await audit.append(
        session, Event.CLIENT_CHANGED, client=client.id, by=by, speaks_for=client.speaks_for
    )
    return client
