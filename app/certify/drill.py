"""One exercise with notices, on which all rules of the class `push` are seen: five subscribers that
answer each in its own way, three changes, a replay, and the end of one subscription.

It writes nothing where no sandbox was lent, and takes away all that it made, whatever happens.
"""

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from app.certify.cases.writing import fresh, remove, write
from app.certify.client import Exchange, NoAnswer, Server
from app.certify.granted import Token, call, entitled
from app.certify.judge import NotShown, not_unless
from app.certify.receiver import HANGS, Hook, Notice, Receiver, receiving
from app.certify.sandbox import key_fields
from app.certify.stage import Record, Stage
from app.certify.subscribing import PATH, path_of, subscribe, unsubscribe

_AFTER_S: Final = 1.0  # until what is sent all the same has come
STEADY, FAILING, GONE, MOVED, SLOW = "steady", "failing", "gone", "moved", "slow"


@dataclass(slots=True)
class Drill:
    """What was seen. `made`: the answers that made subscriptions, by the subscriber."""

    dataset: str
    hooks: dict[str, Hook] = field(default_factory=dict)
    elsewhere: Hook | None = None  # where the subscriber that moved leads
    made: dict[str, Exchange] = field(default_factory=dict)
    shown: list[Exchange] = field(default_factory=list)  # what is told of one afterwards
    marks: list[str] = field(default_factory=list)  # values that were written
    changed: bool = False
    first: dict[str, list[Notice]] = field(default_factory=dict)  # that one change was told by
    gone: Exchange | None = None  # what is told of the one that answered 410
    replay: Exchange | None = None
    before_replay: int = 0
    ended: Exchange | None = None
    at_end: frozenset[str] = frozenset()  # ids that came before the end was answered
    dropped: int = 0

    def id_of(self, name: str) -> str:
        """Of a subscription."""
        return str(self.made[name].member("id"))

    def path_of(self, name: str) -> str:
        """Of a subscription that was made."""
        return path_of(self.made[name]) or PATH

    def late(self) -> list[Notice]:
        """New notices to the subscription that was ended."""
        if self.ended is None or self.ended.status != 204:
            return []
        return [each for each in self.hooks[STEADY].notices if each.id not in self.at_end]


def check_may(made: Exchange) -> None:
    """That the lent client may subscribe at all. Raises `NotShown`."""
    told = f"{made.status} {made.member('code')}"
    not_unless(
        made.status not in (401, 403), f"the lent client may not subscribe: {told}",
        f"貸与されたクライアントは購読できません（{told}）",
    )  # fmt: skip


async def drilled(server: Server, stage: Stage) -> Drill:
    """The exercise, made once a run. Raises `NoAnswer` and `NotShown`."""
    done: Drill = await server.once("drill", lambda: _drill(server, stage))
    return done


async def _drill(server: Server, stage: Stage) -> Drill:
    callback = server.lent.callback
    if callback is None:
        raise NotShown(
            "there is nowhere for notices to come to (--callback with --listen)",
            "通知を受け取る場所がありません（--callback と --listen）",
        )
    token = await entitled(server, f"dataset:{stage.id}:subscribe")
    try:
        async with receiving(callback, server.lent.hang_s) as receiver:
            course = _Course(server, stage, token, receiver, Drill(stage.id))
            try:
                await course.run()
            finally:
                await course.clean()
            course.drill.dropped = receiver.dropped
            return course.drill
    except OSError as exc:
        raise NotShown(
            f"the receiver cannot listen at {callback.host}:{callback.port}: {exc.strerror}",
            f"受信口 {callback.host}:{callback.port} を開けません: {exc.strerror}",
        ) from exc


def told(notice: Notice) -> Any:
    """What a notice says; None where it is no JSON."""
    try:
        return orjson.loads(notice.body)
    except orjson.JSONDecodeError:
        return None


def since_of(notice: Notice) -> str | None:
    """The position that a notice tells."""
    data = said.get("data") if isinstance(said := told(notice), dict) else None
    since = data.get("since") if isinstance(data, dict) else None
    return since if isinstance(since, str) else None


@dataclass(slots=True)
class _Course:
    server: Server
    stage: Stage
    token: Token
    receiver: Receiver
    drill: Drill
    _written: Record | None = None

    async def run(self) -> None:
        """All of it, as far as the server lets."""
        for name in (STEADY, FAILING, GONE, MOVED, SLOW):
            if not await self._subscribe(name):
                return
        await self._look()
        await self._change()
        if not await self._hear_first():
            return
        drill = self.drill
        drill.gone = await self._ask("GET", drill.path_of(GONE))
        await self._change_and_hear(STEADY)
        await self._replay()
        await self._end()

    async def clean(self) -> None:
        """Take away what was made. What cannot be stays on the account of the run."""
        for path in [*self.server.subscriptions]:
            try:
                await unsubscribe(self.server, self.token, path)
            except NoAnswer:
                continue
        if self._written is not None:
            try:
                await remove(self.server, self.stage, self._written)
            except NoAnswer:
                return

    async def _subscribe(self, name: str) -> bool:
        """Whether a subscription was made."""
        answers: Mapping[str, tuple[int, ...]] = {
            STEADY: (204,), FAILING: (500, 503, 204), GONE: (410,), MOVED: (307, 307, 204),
            SLOW: (HANGS, 204),
        }  # fmt: skip
        where = None
        if name == MOVED:
            self.drill.elsewhere = self.receiver.hook(204)
            where = self.drill.elsewhere.url
        hook = self.drill.hooks[name] = self.receiver.hook(*answers[name], location=where)
        made = await subscribe(self.server, self.token, self.stage.id, hook.url)
        self.drill.made[name] = made
        check_may(made)
        return path_of(made) is not None

    async def _look(self) -> None:
        one = self.drill.path_of(STEADY)
        self.drill.shown = [await self._ask("GET", one), await self._ask("GET", PATH)]

    async def _change(self) -> None:
        """Write a record; where no sandbox was lent, wait for whatever changes by itself."""
        record = self._record()
        if record is None:
            return
        self._written = record
        wrote = await write(self.server, self.stage, [record])
        self.drill.changed = wrote.status == 200 and wrote.member("accepted") == 1

    def _record(self) -> Record | None:
        """The same each time, with another text that marks it."""
        keys = key_fields(self.stage)
        texts = [name for name in self.stage.of_type("text") if name not in keys]
        if self.server.ledger is None or not texts:
            return None
        try:
            record = self._written or fresh(self.server, self.stage)[0]
        except NotShown:
            return None
        self.drill.marks.append(f"{self.server.prefix}{secrets.token_hex(6)}")
        return {**record, texts[0]: self.drill.marks[-1]}

    async def _hear_first(self) -> bool:
        """Wait for the first notices and for those that are sent again."""
        hooks = self.drill.hooks
        wanted = {STEADY: 1, FAILING: 3, GONE: 1, MOVED: 1, SLOW: 2}
        await self._wait(lambda: all(len(hooks[n].notices) >= m for n, m in wanted.items()))
        self.drill.first = {name: [*hook.notices] for name, hook in hooks.items()}
        return bool(hooks[STEADY].notices)

    async def _change_and_hear(self, name: str) -> None:
        notices = self.drill.hooks[name].notices
        before = len(notices)
        await self._change()
        await self._wait(lambda: len(notices) > before)

    async def _replay(self) -> None:
        hook = self.drill.hooks[STEADY]
        self.drill.before_replay = len(hook.notices)
        since = since_of(hook.notices[0])
        if since is None:
            return
        path = f"{self.drill.path_of(STEADY)}/replay"
        self.drill.replay = await self._ask("POST", path, {"since": since})
        if self.drill.replay.status == 202:
            known = set(hook.ids()[: self.drill.before_replay])
            again = self.drill.before_replay
            await self._wait(lambda: known <= set(hook.ids()[again:]))

    async def _end(self) -> None:
        """End one subscription, change something, and see that the others alone are told."""
        drill = self.drill
        drill.ended = await unsubscribe(self.server, self.token, drill.path_of(STEADY))
        if drill.ended.status != 204:
            return
        drill.at_end = frozenset(drill.hooks[STEADY].ids())
        await self._change_and_hear(FAILING)
        await self.receiver.until(lambda: bool(drill.late()), _AFTER_S)

    async def _wait(self, seen: Callable[[], bool]) -> bool:
        return await self.receiver.until(seen, self.server.lent.patience_s)

    async def _ask(self, method: str, path: str, given: Any = None) -> Exchange:
        return await call(self.server, self.token, method, path, given=given)
