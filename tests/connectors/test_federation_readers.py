"""A platform that brokers for its readers has the other one decide for each of them, by its own log."""

import json
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio
from joserfc import jws, jwt
from joserfc.jwk import ECKey

from app.audit.events import Event
from app.connectors.errors import SourceError
from app.connectors.linkage import LinkageConnector
from app.connectors.linkage_shapes import LinkageSelection, LinkageSettings
from app.kit.behalf import Reader, Speech, reading_for
from app.models.parties import Role
from app.oauth.authority import TokenOfReader
from app.oauth.exchange import GRANT_TYPE
from app.oauth.speaking import JWT
from app.query.question import Question
from tests.connectors.other import Counting, Other
from tests.connectors.sources import Asked, Web, means, reply, web
from tests.oauth.senders import proof
from tests.stock import KEYED, PURPOSE, agreed, declared, path, stocked
from tests.world import KENKO, SAKAI, Party

_SILENT = "http://127.0.0.1:9"
_ROWS = [{"no": str(at), "name": f"施設{at}", "size": at} for at in range(3)]
_TYPES = {"no": "code", "name": "text", "size": "integer"}


@dataclass(slots=True)
class Bridge:
    """A dataset of there that is read here, and who is who on both sides."""

    here: Other
    there: Other
    dataset: str
    theirs: str
    broker: Party
    reader: Party
    known_as: Party
    agreement: str
    steward: dict[str, str]

    async def name(self, *pairs: tuple[Party, Party]) -> None:
        """Have the operator there name readers of here, each with their client there."""
        readers = [(self.here.base, ours.id, its.id) for ours, its in pairs]
        await _named(self.there, self.broker, readers)

    async def suspend(self) -> Any:
        """Have the publisher there take the reader's right back for now."""
        at = f"/v1/agreements/{self.agreement}/suspend"
        told = {"reason": "試験"}
        return await self.there.world.client.post(at, json=told, headers=self.steward)

    async def read(self, reader: Party, **query: Any) -> Any:
        """What a reader of here gets."""
        headers = await self.here.world.token(reader, f"dataset:{self.dataset}:read")
        asked = {"purpose": PURPOSE, **query}
        return await self.here.world.client.get(path(self.dataset), params=asked, headers=headers)


@pytest_asyncio.fixture(loop_scope="session")
async def bridge(third: Other, other: Other) -> Bridge:
    here = third
    theirs = await stocked(other.world, _ROWS, data_class="internal")
    dataset = await here.world.dataset(data_class="internal", fields=declared(KEYED))
    broker, auth = await other.client_of()
    known_as = await other.world.party(SAKAI, Role.DEVELOPER)
    agreement, steward = await agreed(other.world, theirs, known_as)
    keeper = await here.world.token(await here.world.party(KENKO, Role.STEWARD), "catalogue:write")
    selection = {"dataset": theirs, "types": _TYPES, "for_reader": True, "purpose": "own-duty"}
    feed = {"dataset": dataset, "mode": "live", "selection": selection, "stale_for_seconds": 600}
    body = {
        "kind": "linkage",
        "name": "連携",
        "settings": {"base": other.base, "auth": auth},
        "feeds": [feed],
    }
    added = await here.world.client.post("/v1/connectors", json=body, headers=keeper)
    assert added.status_code == 201, added.text
    here.world.platform.live.changed("dataset", dataset)
    reader = await here.world.party(KENKO)
    made = Bridge(here, other, dataset, theirs, broker, reader, known_as, agreement, steward)
    await made.name((reader, known_as))
    return made


async def test_the_other_platform_decides_for_the_reader_and_logs_them_and_their_purpose(
    bridge: Bridge,
) -> None:
    there = bridge.there.world

    first, again = await bridge.read(bridge.reader), await bridge.read(bridge.reader, sort="-size")

    assert [row["no"] for row in first.json()["records"]] == ["0", "1", "2"], first.text
    assert [row["no"] for row in again.json()["records"]] == ["2", "1", "0"]
    read = [
        each for each in await there.log(Event.RECORDS_READ) if each["dataset"] == bridge.theirs
    ]
    assert {(each["client"], each["via"], each["consumer"]) for each in read} == {
        (bridge.known_as.id, bridge.broker.id, SAKAI)
    }
    assert {(each["purpose"], each["agreement"]) for each in read} == {(PURPOSE, bridge.agreement)}
    (issued,) = [
        each for each in await there.log(Event.TOKEN_ISSUED) if each["client"] == bridge.broker.id
    ]  # one for both questions
    assert (issued["reader"], issued["platform"]) == (bridge.known_as.id, bridge.here.base)
    assert issued["there_org"] == KENKO
    assert issued["seconds"] <= 60
    assert issued["bound"] is True


async def test_a_no_of_the_other_platform_is_the_readers_and_never_anothers_copy(
    bridge: Bridge,
) -> None:
    here, stranger = bridge.here.world, await bridge.here.world.party(KENKO)
    good = await bridge.read(bridge.reader)

    unknown = await bridge.read(stranger)
    ended = await bridge.suspend()
    bridge.there.world.platform.live.changed("dataset", bridge.theirs)
    suspended = await bridge.read(bridge.reader)
    table = await bridge.read(bridge.reader, f="csv")
    await bridge.name()
    unnamed = await bridge.read(bridge.reader)

    assert (good.status_code, ended.is_success) == (200, True)
    told = [
        (each.status_code, each.json()["code"]) for each in (unknown, suspended, table, unnamed)
    ]
    assert told == [(403, "live_source_denies")] * 4
    assert "(agreement_suspended)" in suspended.json()["detail"]
    assert "(unauthorized_client)" in unnamed.json()["detail"]
    refused = [
        each["client"] for each in await here.log(Event.RECORDS_REFUSED)
        if each["dataset"] == bridge.dataset and each["reason"] == "live_source_denies"
    ]  # fmt: skip
    assert refused == [stranger.id, *[bridge.reader.id] * 3]


async def test_whom_the_other_platform_refused_gets_no_earlier_answer_while_it_is_away(
    bridge: Bridge,
) -> None:
    there, door = bridge.there, bridge.there.door
    page, ordered = await bridge.read(bridge.reader), await bridge.read(bridge.reader, sort="-size")
    with _away(door):
        stale = await bridge.read(bridge.reader, sort="-size")
    its = await there.world.party(KENKO, Role.STEWARD)
    keeper, at = await there.world.token(its, "catalogue:write"), f"/v1/datasets/{bridge.theirs}"
    hidden = await there.world.client.patch(at, json={"hidden": True}, headers=keeper)
    ended = await bridge.suspend()
    there.world.platform.live.changed("dataset", bridge.theirs)
    refused = await bridge.read(bridge.reader)

    with _away(door):
        away = await bridge.read(bridge.reader, sort="-size")

    assert (page.status_code, hidden.is_success, ended.is_success) == (200, True, True)
    assert stale.json()["records"] == ordered.json()["records"]
    assert (refused.status_code, refused.json()["code"]) == (403, "live_source_denies")
    assert "(dataset_not_found)" in refused.json()["detail"]
    assert away.status_code == 502


@contextmanager
def _away(door: Counting) -> Iterator[None]:
    door.is_away = True
    yield
    door.is_away = False


_READER = Reader("r-1", KENKO, PURPOSE, None)


@pytest.mark.parametrize(
    ("whom", "answer", "at"),
    [
        (None, reply({"records": []}), "permission"),
        (_READER, reply(b"", "429 Slow", Retry_After="30"), "reader_pace"),
        (None, reply(b"", "429 Slow", Retry_After="30"), "pace"),
        (_READER, reply({"code": "dataset_not_found"}, "404 No"), "permission"),
        (_READER, reply(b"", "404 No"), "missing"),
    ],
    ids=["nobody", "asks too often", "we ask too often", "may not know of it", "a proxy's"],
)
async def test_what_is_said_to_one_reader_is_of_that_reader_and_nobody_is_asked_for_without_one(
    whom: Reader | None, answer: bytes, at: str
) -> None:
    def say(asked: Asked) -> bytes:
        if asked.path == "/token":
            return reply({"access_token": "t", "token_type": "DPoP", "expires_in": 60})
        if asked.path.startswith("/.well-known"):
            return reply({"issuer": server.base, "token_endpoint": f"{server.base}/token"})
        return answer

    async def speak(_: Speech) -> str:
        return "said"

    key = json.dumps(ECKey.generate_key("P-256").as_dict(private=True))
    async with web(say) as server, means() as its:
        auth = {"type": "private_key_jwt", "client_id": "us", "key": key}
        settings = LinkageSettings.model_validate({"base": server.base, "auth": auth})
        connector = LinkageConnector(settings, replace(its, speak=speak))
        selection = LinkageSelection(dataset="d", for_reader=at != "pace")
        with pytest.raises(SourceError) as refused, reading_for(whom):
            async with connector.fetch(selection, Question((), limit=1)):
                pass

        assert (refused.value.at, refused.value.passes) == (at, at == "pace")
        assert refused.value.after_seconds == (30.0 if "pace" in at else None)
        assert bool(server.asked) is (whom is not None or at == "pace")


Change = Callable[[dict[str, Any], dict[str, Any]], Any]
# What another platform says, and what is wrong with it: its header and its claims, or the form.
_WRONG: dict[str, tuple[Change, str | None]] = {
    "nothing": (lambda head, said: None, None),
    "to another platform": (lambda head, said: said.update(aud="https://a.example"), "aud"),
    "to several": (lambda head, said: said.update(aud=[said["aud"]]), "aud"),
    "through another client": (lambda head, said: said.update(act={"sub": "x"}), "act"),
    "through nobody": (lambda head, said: said.pop("act"), "act"),
    "an access token": (lambda head, said: head.update(typ="at+jwt"), "typ"),
    "with a key of its own": (lambda head, said: head.update(jwk={}), "typ"),
    "by a key that is not published": (lambda head, said: head.update(kid="other"), "signature"),
    "by nobody": (lambda head, said: None, "forged"),
    "too old": (lambda head, said: said.update(iat=said["iat"] - 90, exp=said["exp"] - 90), "exp"),
    "for too long": (lambda head, said: said.update(exp=said["iat"] + 61), "exp"),
    "of a reader that nobody named": (lambda head, said: said.update(sub="x"), "unknown"),
    "of one whose keys cannot be had": (lambda head, said: said.update(iss=_SILENT), "keys"),
    "of an issuer that nobody named": (lambda head, said: said.update(iss="http://127.0.0.1:1"), "issuer"),
    "of a right to write": (
        lambda head, said: said.update(scope=said["scope"].replace(":read", ":write")), "scope",
    ),
    "of a role": (lambda head, said: said.update(scope="admin:read"), "scope"),
}  # fmt: skip


@dataclass(slots=True)
class Speaker:
    """Who signs as a platform does, and for whom its client there may speak."""

    there: Other
    broker: Party
    theirs: str
    key: ECKey
    issuer: str
    server: Web

    def word(self, change: Change = lambda head, said: None) -> str:
        """What the platform says of its reader, changed."""
        now = int(time.time())
        head = {"alg": "ES256", "typ": "urbanos-reader+jwt", "kid": self.key.thumbprint()}
        said = {
            "iss": self.issuer, "aud": self.there.base, "sub": "r-1", "org": "o",
            "act": {"sub": self.broker.id}, "scope": f"dataset:{self.theirs}:read", "iat": now,
            "exp": now + 60, "jti": str(uuid4()),
        }  # fmt: skip
        change(head, said)
        return jwt.encode(head, said, self.key, algorithms=["ES256"])

    async def exchange(self, word: str, scope: str, key: ECKey | None = None) -> Any:
        """What its client gets for a word."""
        key = key or ECKey.generate_key("P-256")
        form = self.broker.form(scope, grant_type=GRANT_TYPE, subject_token=word)
        told = {**form, "subject_token_type": JWT}
        at = f"{self.there.base}/oauth/token"
        headers = {"DPoP": proof(key, "POST", "/oauth/token", htu=at)}
        return await self.there.world.client.post("/oauth/token", data=told, headers=headers)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def speaker(other: Other) -> AsyncIterator[Speaker]:
    key = ECKey.generate_key("P-256")
    public = {**key.as_dict(private=False), "kid": key.thumbprint(), "alg": "ES256", "use": "sig"}

    def answer(asked: Asked) -> bytes:
        if asked.path == "/jwks":
            return reply({"keys": [public]})
        names = ("authorization_endpoint", "token_endpoint", "jwks_uri")
        named = {each: f"{server.base}/{each.removesuffix('_uri')}" for each in names}
        return reply({"issuer": server.base, **named})

    theirs = await stocked(other.world, _ROWS, data_class="internal")
    broker, _ = await other.client_of()
    known_as = await other.world.party(KENKO)
    async with web(answer) as server:
        await _named(other, broker, [(each, "r-1", known_as.id) for each in (server.base, _SILENT)])
        yield Speaker(other, broker, theirs, key, server.base, server)


@pytest.mark.parametrize("name", _WRONG)
async def test_only_a_word_that_is_right_in_every_part_gets_a_token_and_once(
    speaker: Speaker, name: str
) -> None:
    change, why = _WRONG[name]
    word = speaker.word(change)
    scope = json.loads(jws.extract_compact(word.encode()).payload)["scope"]
    if why == "forged":
        head_, said_, _ = word.split(".")
        word = f"{head_}.{said_}.{'A' * 86}"

    answers = [await speaker.exchange(word, scope) for _ in range(2)]

    last = [each["why"] for each in await speaker.there.world.log(Event.TOKEN_REFUSED)][-2:]
    if why is None:
        assert (answers[0].status_code, answers[0].json().get("scope")) == (200, scope)
        assert (answers[1].status_code, last[-1]) == (400, "subject_replayed")
    else:
        refusal = "subject_signature" if why == "forged" else f"subject_{why}"
        # That its keys are away is nobody's fault who reads, and passes.
        assert [each.status_code for each in answers] == [503 if why == "keys" else 400] * 2
        assert last[0] == refusal


async def test_what_is_had_for_a_reader_opens_nothing_but_the_dataset(speaker: Speaker) -> None:
    key, scope = ECKey.generate_key("P-256"), f"dataset:{speaker.theirs}:read"
    token = (await speaker.exchange(speaker.word(), scope, key)).json()["access_token"]

    async def ask(method: str, at: str, **more: Any) -> Any:
        shown = proof(key, method, at, token=token, htu=speaker.there.base + at)
        headers = {"Authorization": f"DPoP {token}", "DPoP": shown}
        return await speaker.there.world.client.request(method, at, headers=headers, **more)

    read = await ask("GET", path(speaker.theirs), params={"purpose": "own-duty"})
    need = {"title": "要望", "text": "公開してください", "dataset": speaker.theirs}
    others = [
        await ask("GET", "/v1/agreements"), await ask("GET", "/v1/groups"),
        await ask("GET", "/v1/me/datasets"), await ask("POST", "/v1/needs", json=need),
    ]  # fmt: skip

    assert read.status_code == 200, read.text
    told = {(each.status_code, each.json()["code"], each.json()["detail"]) for each in others}
    assert told == {(401, "invalid_token", TokenOfReader.en)}


async def _named(there: Other, broker: Party, readers: list[tuple[str, str, str]]) -> None:
    """Have the operator there name readers."""
    admin = await there.world.party(SAKAI, Role.OPERATOR)
    told = [dict(zip(("issuer", "reader", "client"), each, strict=True)) for each in readers]
    named = await there.world.client.put(
        f"/v1/admin/clients/{broker.id}/speaks-for", json={"readers": told},
        headers=await there.world.token(admin, "admin:write"),
    )  # fmt: skip
    assert named.status_code == 200, named.text
    there.world.platform.live.changed("client", broker.id)
