"""What a platform signs for an agent: the envelope of a job, and the set of its keys. Does no I/O.

An envelope is for one agent, lives a minute and is used once. A set of keys is believed where a key
signed it that was believed before: so pins follow the platform's rotation, and nobody else's.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import orjson
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey

from app.connectors.relayed import Wanted
from app.kit import clock
from app.outpost.signed import JOB, KEYS, WordRefused, check_young, opened, sign

_LIVES_S: Final = 50


@dataclass(frozen=True, slots=True)
class Job:
    """A job that an agent was given. `attempt` parts it from the same job in another's hands."""

    id: UUID
    attempt: int
    wanted: Wanted
    answer_to: ECKey  # public; its other half was made for this job alone
    jti: str
    expires_at: float


@dataclass(frozen=True, slots=True)
class Pinned:
    """What an agent knows of its platform."""

    issuer: str
    agent_id: str
    organization: str
    keys: Mapping[str, ECKey]
    bundle_key: ECKey

    def to_json(self) -> dict[str, Any]:
        """As it is kept."""
        return {
            "iss": self.issuer, "aud": self.agent_id, "org": self.organization,
            "keys": [each.as_dict(private=False) for each in self.keys.values()],
            "bundle_key": self.bundle_key.as_dict(private=False),
        }  # fmt: skip

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> "Pinned":
        """Raises `WordRefused`."""
        try:
            keys = [ECKey.import_key(each) for each in told["keys"]]
            bundle_key = ECKey.import_key(told["bundle_key"])
            names = (str(told["iss"]), str(told["aud"]), str(told["org"]))
        except (KeyError, TypeError, ValueError, JoseError):
            raise WordRefused("it is no set of keys", "鍵の一覧ではありません") from None
        return cls(*names, {each.thumbprint(): each for each in keys}, bundle_key)


def sign_job(
    key: ECKey, issuer: str, agent_id: UUID, job_id: UUID, attempt: int, wanted: Mapping[str, Any],
    answer_to: Mapping[str, Any],
) -> str:  # fmt: skip
    """The envelope of a job that was just given to an agent."""
    claims = {"job": str(job_id), "attempt": attempt, "wanted": wanted, "answer_to": answer_to}
    return sign(key, JOB, _addressed(issuer, agent_id) | {"jti": f"{job_id}:{attempt}", **claims})


def sign_keys(key: ECKey, agent_id: UUID, pinned: Mapping[str, Any]) -> str:
    """The set of keys as an agent takes it."""
    return sign(key, KEYS, dict(pinned) | _addressed(str(pinned["iss"]), agent_id))


def _addressed(issuer: str, agent_id: UUID) -> dict[str, Any]:
    now = int(clock.now().timestamp())
    return {"iss": issuer, "aud": str(agent_id), "iat": now, "exp": now + _LIVES_S}


def read_job(word: str, pinned: Pinned) -> Job:
    """The job of an envelope; whether it was used before is the caller's to know.

    Raises `WordRefused`.
    """
    claims = opened(word, JOB, pinned.keys)
    _check_ours(claims, pinned)
    check_young(claims)
    try:
        job, attempt = UUID(str(claims["job"])), int(claims["attempt"])
        wanted = Wanted.from_json(claims["wanted"])
        answer_to = ECKey.import_key(claims["answer_to"])
        jti = str(claims["jti"])
    except (KeyError, TypeError, ValueError, JoseError):
        raise WordRefused("it names no job", "仕事の内容を読めません") from None
    return Job(job, attempt, wanted, answer_to, jti, float(claims["exp"]))


def read_keys(word: str, pinned: Pinned) -> Pinned:
    """The platform's keys now, told by a key that is pinned. Raises `WordRefused`."""
    claims = opened(word, KEYS, pinned.keys)
    _check_ours(claims, pinned)
    check_young(claims)
    return Pinned.from_json(claims)


def first_keys(word: str, agent_id: str, kid: str) -> Pinned:
    """The platform's keys, the first time: `kid` is the key that an enrolment code named.

    A key's name is its hash (RFC 7638), so nobody between could have put another in its place.
    Raises `WordRefused`.
    """
    try:
        told = jws.extract_compact(word.encode("ascii")).payload
        shown = Pinned.from_json(orjson.loads(told))
    except (JoseError, ValueError, TypeError):
        raise WordRefused("it is no set of keys", "鍵の一覧ではありません") from None
    named = {name: key for name, key in shown.keys.items() if name == kid}
    claims = opened(word, KEYS, named)
    check_young(claims)
    if claims["aud"] != agent_id:
        raise WordRefused("it is another agent's", "別のエージェント宛てです")
    return shown


def _check_ours(claims: Mapping[str, Any], pinned: Pinned) -> None:
    if (claims.get("iss"), claims.get("aud")) != (pinned.issuer, pinned.agent_id):
        raise WordRefused("it is for another agent", "別のエージェント宛てです")
