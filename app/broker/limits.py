"""What a caller may ask in a minute, and under an agreement in a day. Decides no rights.

A refusal is no use of the limit, and a refused decision is no use of a dataset's. What a dataset
refuses is a use of the agreement's day all the same: of the two only the caller's own is touched.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from app.audit.events import Event
from app.audit.log import Log
from app.kit import clock
from app.kit.days import DAY_S
from app.kit.errors import AppError, Kind
from app.kit.limits import Limit, Limiter, Standing
from app.kit.live import LiveCache
from app.oauth.refusals import SlowDown
from app.parties.quotas import Quotas
from app.policy.facts import Caller, DatasetFacts
from app.policy.rules import class_seen
from app.policy.verdicts import Allow

_WINDOW_S: Final = 60
_MOST_TOLD: Final = 10_000
_COUNTED_ALONE: Final = frozenset({"public", "internal"})  # while the shared store is away


@dataclass(frozen=True, slots=True)
class Rates:
    """Requests a minute where no quota says otherwise; 0 is without limit."""

    address: int = 0  # of whoever shows no token
    client: int = 0
    client_dataset: int = 0
    token_address: int = 0  # at the token endpoint, proven or not
    token_client: int = 0
    sign_in_address: int = 0  # passwords and codes of people


class RateLimited(AppError):
    """As much as the platform takes of one caller in a minute has been asked."""

    kind = Kind.TOO_MANY
    code = "rate_limited"
    ja = "要求数が上限（{limit}: 1分に{most}件）に達しました。{seconds}秒後に再試行してください。"
    en = "The limit {limit} of {most} requests a minute is used up. Try again in {seconds} seconds."


class QuotaExceeded(RateLimited):
    """As much as the operator allows a client or a dataset in a minute has been asked."""

    code = "quota_exceeded"
    ja = (
        "運営者の定めた割当（{limit}: 1分に{most}件）に達しました。{seconds}秒後に再試行するか、"
        "運営者に引き上げを依頼してください。"
    )
    en = (
        "The operator's quota {limit} of {most} requests a minute is used up. Try again in {seconds}"
        " seconds, or ask the operator for more."
    )


class DayUsedUp(RateLimited):
    """As much as an agreement allows its consumer in a day has been asked."""

    code = "day_used_up"
    ja = (
        "協定 {agreement} の1日の上限（貴組織の全クライアントで{most}件）に達しました。日本時間の0時"
        "（{seconds}秒後）から利用できます。増やすには協定の変更を提案してください。"
    )
    en = (
        "The agreement {agreement} allows {most} requests a day, of all clients of your"
        " organisation, and they are used up. There are more from midnight in Japan, in {seconds}"
        " seconds; for a higher number, propose an amendment."
    )


class LimiterUnavailable(AppError):
    """The store that replicas count in is away; what must be counted does not leave uncounted."""

    kind = Kind.UNAVAILABLE
    code = "limiter_unavailable"
    ja = (
        "利用数を数える仕組みに接続できないため、個人情報と、協定に1日の上限がある業務限定データの"
        "提供を止めています。"
    )
    en = (
        "The store that requests are counted in cannot be reached: personal data, and restricted data"
        " under an agreement with a number of requests a day, stop meanwhile."
    )


class Limits:
    """Counts for one process, or for all that share a store. One a process."""

    def __init__(self, limiter: Limiter, rates: Rates, quotas: LiveCache[Quotas], log: Log) -> None:
        self.limiter = limiter
        self.rates = rates
        self._quotas = quotas
        self._log = log
        self._told: dict[tuple[str | None, ...], float] = {}

    async def start(self) -> None:
        """Know the quotas before the first request, which may come while the database is away."""
        await self._all_quotas()

    async def request(
        self, caller: Caller | None, origin: str, request: str
    ) -> tuple[Standing, ...]:
        """Count one request of the caller, or of its address. Raises `RateLimited`."""
        if caller is None:
            if not self.rates.address:
                return ()
            limit = Limit("address", f"address:{origin}", self.rates.address)
            outcome = await self.limiter.hit((limit,))
            if outcome.refused is not None:
                raise _refusal(outcome.refused, is_quota=False)
            return outcome.standings
        client_id = caller.client.client_id
        quota = (await self._all_quotas()).get((client_id, None))
        most = self.rates.client if quota is None else quota
        if not most:
            return ()
        outcome = await self.limiter.hit((Limit("client", f"client:{client_id}", most),))
        if outcome.refused is None:
            return outcome.standings
        refusal = _refusal(outcome.refused, is_quota=quota is not None)
        if self.is_news(refusal.code, client_id):
            await self._log.write(
                Event.CALL_REFUSED, client=client_id, person=caller.client.person_id,
                organization=caller.client.organization_id,
                code=refusal.code, limit=outcome.refused.limit.name, request=request,
            )  # fmt: skip
        raise refusal

    async def dataset(self, facts: DatasetFacts, allow: Allow, caller: Caller | None) -> None:
        """Count one use of a dataset that was allowed.

        Raises `RateLimited`, and `LimiterUnavailable` where personal data may be seen.
        """
        dataset = facts.id
        quotas = await self._all_quotas()
        client_id = caller.client.client_id if caller is not None else None
        limits = []
        whole = quotas.get((None, dataset))
        if whole is not None:
            limits.append(Limit("dataset", f"dataset:{dataset}", whole))
        quota = quotas.get((client_id, dataset)) if client_id is not None else None
        most = self.rates.client_dataset if quota is None else quota
        if client_id is not None and most:
            limits.append(Limit("client-dataset", f"pair:{client_id}:{dataset}", most))
        if not limits:
            return
        outcome = await self.limiter.hit(limits)
        if outcome.is_degraded and class_seen(facts, allow) == "personal":
            raise LimiterUnavailable
        if outcome.refused is not None:
            # Only the operator limits a dataset as a whole.
            is_quota = quota is not None or outcome.refused.limit.name == "dataset"
            raise _refusal(outcome.refused, is_quota=is_quota)

    async def agreement(self, facts: DatasetFacts, allow: Allow, caller: Caller | None) -> None:
        """Count one use of an agreement that bounds them by the day, whichever client it is of.

        Raises `DayUsedUp`, and `LimiterUnavailable` where what is above internal may be seen.
        """
        if allow.per_day is None or caller is None:
            return
        key = f"agreement:{allow.agreement_id}:{caller.client.organization_id}"
        limit = Limit("agreement-day", key, allow.per_day, DAY_S)
        outcome = await self.limiter.hit_day(limit, clock.now())
        if outcome.is_degraded and class_seen(facts, allow) not in _COUNTED_ALONE:
            raise LimiterUnavailable
        if outcome.refused is not None:
            raise _told_of(
                DayUsedUp(
                    agreement=allow.agreement_id,
                    most=allow.per_day,
                    seconds=outcome.refused.free_in_s,
                ),
                outcome.refused,
            )

    async def sign_in(self, origin: str) -> None:
        """Count one password or code that an address tries. Raises `RateLimited`.

        An account has a lock of its own: this bounds whoever tries one password on every account.
        """
        if not self.rates.sign_in_address:
            return
        limit = Limit("sign-in-address", f"sign-in:{origin}", self.rates.sign_in_address)
        outcome = await self.limiter.hit((limit,))
        if outcome.refused is not None:
            raise _refusal(outcome.refused, is_quota=False)

    async def token_request(self, origin: str) -> None:
        """Count one request at the token endpoint, whoever it is of. Raises `SlowDown`."""
        await self._token("token-address", f"token-address:{origin}", self.rates.token_address)

    async def token_client(self, client_id: str) -> None:
        """Count one request of a client that has proven itself. Raises `SlowDown`.

        One that has not is counted by its address alone: else anybody could lock out a client.
        """
        await self._token("token-client", f"token-client:{client_id}", self.rates.token_client)

    async def _token(self, name: str, key: str, most: int) -> None:
        if not most:
            return
        outcome = await self.limiter.hit((Limit(name, key, most),))
        if outcome.refused is None:
            return
        seconds = outcome.refused.free_in_s
        refusal = SlowDown("rate", limit=name, most=most, seconds=seconds)
        refusal.headers.update(_headers_of(outcome.refused))
        refusal.logged = not self.is_news(refusal.code, key)
        raise refusal

    async def _all_quotas(self) -> Quotas:
        held = self._quotas.held("")
        return held if held is not None else await self._quotas.get("")

    def is_news(self, *what: str | None) -> bool:
        """Whether the log has had no such refusal for a minute: a flood must not flood it."""
        now = self.limiter.now()
        if now - self._told.get(what, float("-inf")) < _WINDOW_S:
            return False
        if len(self._told) >= _MOST_TOLD:
            self._told = {key: at for key, at in self._told.items() if now - at < _WINDOW_S}
        self._told[what] = now
        return True


def fields_of(standing: Standing) -> tuple[tuple[bytes, bytes], ...]:
    """RateLimit-Policy and RateLimit (draft-ietf-httpapi-ratelimit-headers-10), ready to send."""
    (name, _, most, window_s), _, left, free_in_s = standing
    return (
        (b"ratelimit-policy", _policy(name, most, window_s)),
        (b"ratelimit", f'"{name}";r={left};t={free_in_s}'.encode()),
    )


@lru_cache(maxsize=1_024)
def _policy(name: str, most: int, window_s: int) -> bytes:
    return f'"{name}";q={most};w={window_s}'.encode()


def _headers_of(refused: Standing) -> dict[str, str]:
    """The same of a limit that is used up, and when to come again."""
    fields = {name.decode(): value.decode() for name, value in fields_of(refused)}
    return {**fields, "Retry-After": str(refused.free_in_s)}


def _refusal(refused: Standing, *, is_quota: bool) -> RateLimited:
    kind = QuotaExceeded if is_quota else RateLimited
    made = kind(limit=refused.limit.name, most=refused.limit.most, seconds=refused.free_in_s)
    return _told_of(made, refused)


def _told_of(refusal: RateLimited, refused: Standing) -> RateLimited:
    refusal.headers.update(_headers_of(refused))
    return refusal
