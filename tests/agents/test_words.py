"""What a platform says to an agent: done where a pinned key asks for what is allowed, now, once.

The other side here is anybody: it holds whatever keys a test gives it.
"""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import orjson
import pytest
import structlog
from joserfc import jws
from joserfc.jwk import ECKey
from joserfc.util import urlsafe_b64decode, urlsafe_b64encode

from app.cli.key_files import new_key
from app.connectors.scripted import Script, ScriptedConnector
from app.kit.outbound import Allowed, Outbound
from app.outpost.allowance import AllowanceNotSigned, check_signature
from app.outpost.enrolment import enrol
from app.outpost.envelopes import Pinned
from app.outpost.folder import AgentFolderUnusable, Folder
from app.outpost.sealed import unseal
from app.outpost.signed import JOB, KEYS, WordRefused, sign
from tests.agents.outposts import AGREEMENT, Outpost, until
from tests.connectors.sources import Asked, Web, reply, web

ISSUER: Final = "http://urbanos.test"
WANTED: Final[dict[str, Any]] = {
    "what": "harvest", "source": "kokuho", "agreement": AGREEMENT, "selection": {}, "known": None,
    "first": None,
}  # fmt: skip
_ENDED: Final = {"agent.word_refused", "agent.job_answered", "agent.job_left"}


@dataclass(slots=True)
class Stranger:
    """Whoever answers at the platform's address."""

    agent: Outpost
    pinned: ECKey  # the key that the agent believes
    answer_key: ECKey
    words: list[str] = field(default_factory=list)
    keys: str | None = None
    got: list[bytes] = field(default_factory=list)
    first: list[bytes] = field(default_factory=list)  # answers of something that stands between

    def claims(self, **changed: Any) -> dict[str, Any]:
        """Of an envelope that is right but for what is named."""
        now = int(time.time())
        return {
            "iss": ISSUER, "aud": str(self.agent.id), "iat": now, "exp": now + 50,
            "jti": str(uuid4()), "job": str(uuid4()), "attempt": 1, "wanted": WANTED,
            "answer_to": self.answer_key.as_dict(private=False), **changed,
        }  # fmt: skip

    def wanting(self, **changed: Any) -> str:
        """An envelope by the right key, for something else."""
        return sign(self.pinned, JOB, self.claims(wanted={**WANTED, **changed}))

    def answer(self, asked: Asked) -> bytes:
        if self.first:
            return self.first.pop(0)
        if asked.path.endswith("/keys"):
            return reply({"keys": self.keys or "none"})
        if asked.path.endswith("/agent/jobs"):
            return (
                reply({"envelope": self.words.pop(0)})
                if self.words
                else reply(b"", "204 No Content")
            )
        if asked.method == "PUT":
            self.got.append(asked.body)
        return reply(b"", "204 No Content")


@pytest.fixture
def stranger(tmp_path: Path) -> Stranger:
    """An agent that has pinned a key, and who holds it."""
    folder, pinned = Folder(tmp_path / "agent"), ECKey.generate_key("P-256")
    agent = Outpost(uuid4(), folder, new_key(folder.key), "")
    its = Pinned(
        ISSUER, str(agent.id), "271004-kenko", {pinned.thumbprint(): pinned},
        ECKey.generate_key("P-256"),
    )  # fmt: skip
    folder.keep_platform("http://127.0.0.1:1", its)
    return Stranger(agent, pinned, ECKey.generate_key("P-256"))


@asynccontextmanager
async def _serving(stranger: Stranger, server: Web) -> AsyncIterator[Script]:
    script = ScriptedConnector.scripts["secret-table"] = Script([{"no": "1"}])
    source = {
        "kind": "scripted", "settings": {"script": "secret-table"},
        "serves": [{"agreement": AGREEMENT, "answers": ["no"]}, {"agreement": "ended", "until": "2026-03-31"}],
    }  # fmt: skip
    allowance = stranger.agent.allow({"kokuho": source})
    async with stranger.agent.serving(allowance, server.base):
        yield script


async def _done(stranger: Stranger, *words: str) -> tuple[list[str], list[Any]]:
    """What the source was asked, and what the agent noted, for these words of the platform."""
    stranger.words = list(words)
    with structlog.testing.capture_logs() as noted:
        async with web(stranger.answer) as server, _serving(stranger, server) as script:
            await until(lambda: sum(each["event"] in _ENDED for each in noted) == len(words))
    return script.asked, [each for each in noted if each["event"] in _ENDED]


def _question(*names: str) -> dict[str, Any]:
    return {"fields": [{"name": name, "type": "text"} for name in names], "equal": []}


# Name → the envelope.
_FORGED: dict[str, Callable[[Stranger], str]] = {
    "another key": lambda s: sign(ECKey.generate_key("P-256"), JOB, s.claims()),
    "the agent's own key": lambda s: sign(s.agent.key, JOB, s.claims()),
    "expired": lambda s: sign(s.pinned, JOB, s.claims(iat=int(time.time()) - 60, exp=int(time.time()) - 1)),
    "lives too long": lambda s: sign(s.pinned, JOB, s.claims(exp=int(time.time()) + 600)),
    "of the future": lambda s: sign(s.pinned, JOB, s.claims(iat=int(time.time()) + 30)),
    "for another agent": lambda s: sign(s.pinned, JOB, s.claims(aud=str(uuid4()))),
    "of another platform": lambda s: sign(s.pinned, JOB, s.claims(iss="http://other.test")),
    "an access token": lambda s: sign(s.pinned, "at+jwt", s.claims()),
    "changed after it was signed": lambda s: _changed(sign(s.pinned, JOB, s.claims())),
    "no JWS": lambda _: "none",
}  # fmt: skip
_NOT_ALLOWED: dict[str, Callable[[Stranger], str]] = {
    "another source": lambda s: s.wanting(source="jumin"),
    "another table": lambda s: s.wanting(selection={"table": "salaries"}),
    "another agreement": lambda s: s.wanting(agreement="2026-015"),
    "no agreement": lambda s: s.wanting(agreement=None),
    "an agreement that has ended": lambda s: s.wanting(agreement="ended"),
    "a question that names another column": lambda s: s.wanting(
        what="fetch", question=_question("salary")
    ),
    "a question that compares another column": lambda s: s.wanting(
        what="fetch",
        question={
            **_question("no"),
            "equal": [{"field": {"name": "salary", "type": "text"}, "value": "1"}],
        },
    ),
    "a question that is none": lambda s: s.wanting(what="fetch", question={"fields": "no"}),
    "a check of another table": lambda s: s.wanting(what="check", selection={"table": "salaries"}),
}


def _claims(word: str) -> dict[str, Any]:
    told: dict[str, Any] = orjson.loads(urlsafe_b64decode(word.split(".")[1].encode()))
    return told


def _changed(word: str) -> str:
    head, _, signature = word.split(".")
    claims = _claims(word)
    claims["wanted"]["what"] = "check"
    return f"{head}.{urlsafe_b64encode(orjson.dumps(claims)).decode()}.{signature}"


async def test_what_is_allowed_is_done_once_and_never_again_after_a_restart(
    stranger: Stranger,
) -> None:
    word = stranger.wanting()

    asked, noted = await _done(
        stranger, word, stranger.wanting(what="fetch", question=_question("no"))
    )
    again, refused = await _done(stranger, word)

    assert (asked, again) == (["harvest", "fetch"], [])
    assert noted[0]["event"] == "agent.job_answered"
    assert (refused[0]["event"], refused[0]["why"]) == ("agent.word_refused", "it was used before")


@pytest.mark.parametrize("name", _FORGED)
async def test_a_word_that_is_not_the_platforms_own_is_not_followed(
    stranger: Stranger, name: str
) -> None:
    asked, noted = await _done(stranger, _FORGED[name](stranger))

    assert (asked, stranger.got) == ([], [])
    assert noted[0]["event"] == "agent.word_refused"


@pytest.mark.parametrize("name", _NOT_ALLOWED)
async def test_what_the_keeper_did_not_allow_no_platform_gets(
    stranger: Stranger, name: str
) -> None:
    word = _NOT_ALLOWED[name](stranger)

    asked, _ = await _done(stranger, word)

    job = _claims(word)["job"]
    told = unseal(stranger.got[0], stranger.answer_key, f"{job}:1", 0)
    assert asked == []
    assert (len(stranger.got), told[:1]) == (1, b"E")
    assert orjson.loads(told[1:])["at"] == "not_allowed"


async def test_keys_are_followed_where_a_key_that_is_believed_says_so_and_not_otherwise(
    stranger: Stranger,
) -> None:
    new, robber = ECKey.generate_key("P-256"), ECKey.generate_key("P-256")

    def told(by: ECKey, *keys: ECKey) -> str:
        shown = [each.as_dict(private=False) for each in keys]
        return sign(by, KEYS, stranger.claims(org="271004-kenko", keys=shown, bundle_key=shown[0]))

    stranger.keys = told(robber, robber)
    robbed, _ = await _done(stranger, sign(robber, JOB, stranger.claims()))
    stranger.keys = told(stranger.pinned, stranger.pinned, new)
    followed, _ = await _done(stranger, sign(new, JOB, stranger.claims()))

    assert (robbed, followed) == ([], ["harvest"])


async def test_a_list_that_was_changed_after_the_keeper_signed_it_is_not_served_from(
    stranger: Stranger,
) -> None:
    agent = stranger.agent
    agent.allow({})
    told = agent.folder.told()
    check_signature(agent.folder.sources, told, agent.folder.yes(), agent.key, str(agent.id))

    for changed, by in ((told + b" ", str(agent.id)), (told, str(uuid4()))):
        with pytest.raises(AllowanceNotSigned):
            check_signature(agent.folder.sources, changed, agent.folder.yes(), agent.key, by)


async def test_a_page_of_something_that_stands_between_is_no_answer_and_no_end(
    stranger: Stranger,
) -> None:
    stranger.first = [reply(b"<html>", "403 Forbidden"), reply(b"<html>")]

    asked, _ = await _done(stranger, stranger.wanting())

    assert (asked, stranger.first) == (["harvest"], [])


def test_a_folder_is_of_one_process(stranger: Stranger) -> None:
    folder = stranger.agent.folder

    with folder.alone(), pytest.raises(AgentFolderUnusable), folder.alone():
        pass


@pytest.mark.parametrize("holds", ["another key", "the named key's name alone"])
async def test_who_stands_between_can_neither_pose_as_the_platform_nor_learn_the_code(
    stranger: Stranger, holds: str
) -> None:
    true, robber = ECKey.generate_key("P-256"), ECKey.generate_key("P-256")
    shown = [each.as_dict(private=False) for each in (true, robber)]
    claims = stranger.claims(org="271004-kenko", keys=shown, bundle_key=shown[1])
    word = sign(robber, KEYS, claims)
    if holds == "the named key's name alone":
        head = {"alg": "ES256", "typ": KEYS, "kid": true.thumbprint()}
        word = jws.serialize_compact(head, orjson.dumps(claims), robber, ["ES256"])
    way = Outbound(Allowed.parse("127.0.0.0/8"))

    async with web(lambda _: reply({"keys": word})) as server:
        with pytest.raises(WordRefused):
            await enrol(
                way, server.base, stranger.agent.key, str(stranger.agent.id), "the-secret",
                true.thumbprint(), language="en",
            )  # fmt: skip
    await way.close()

    assert b"the-secret" not in server.asked[0].body
