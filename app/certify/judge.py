"""Runs the cases of some conformance classes against a server and says of each rule what was seen.

A rule is kept, broken, or not shown: where the server's data gave no occasion, that is said too.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from app.certify.client import Exchange, NoAnswer, Server, worded
from app.certify.lint import Standard
from app.certify.sandbox import (
    NotOurs,
    SandboxNotLent,
    check_lent,
    close_ledger,
    is_lent,
    open_ledger,
)
from app.certify.stage import Stage, set_stage
from app.kit.errors import AppError, Kind

if TYPE_CHECKING:
    from app.certify.layouts import Layout

_GIVE_UP_AFTER: Final = 3  # cases in a row without any answer
_MOST_A_RULE: Final = 5  # findings that are shown
_MOST_LEFT: Final = 100  # keys that are told: a server can claim to hold any number
_LONGEST_KEY: Final = 300
_WAITS: Final = 6  # for notices, of one run


# The rooms of `app.certify.cases` that hold the cases of a class; a class without one is not judged.
_ROOMS: Final[Mapping[str, Sequence[str]]] = {
    "core": ("caches", "codes", "errors", "occasions", "pages", "schema"),
    "query": ("occasions", "query"),
    "changes": ("changes",),
    "write": ("writes",),
    "push": ("pushes",),
    "secure": ("tokens",),
}
JUDGED: Final = tuple(_ROOMS)
WRITTEN: Final = ("changes", "write")  # that cannot be judged without writing


class ClassNotJudged(AppError):
    """A class of the standard that this judge has no cases for."""

    kind = Kind.INVALID
    code = "conformance_class_not_judged"
    ja = "適合クラス {name} の試験はまだありません。試験できるのは {known} です。"
    en = "There are no cases yet for the class {name}. Those that are judged: {known}."


class Outcome(StrEnum):
    """What was found about one rule."""

    KEPT = "kept"
    BROKEN = "broken"
    NOT_SHOWN = "not_shown"


class NotShown(Exception):
    """The server's data gives no occasion to see whether the rule is kept."""

    def __init__(self, why: str, why_ja: str) -> None:
        super().__init__(why)
        self.why, self.why_ja = why, why_ja


class Amiss(Exception):
    """A finding after which its case cannot go on."""

    def __init__(self, wrong: "Wrong") -> None:
        super().__init__(wrong.seen)
        self.wrong = wrong


@dataclass(frozen=True, slots=True)
class Wrong:
    """One way in which a rule was broken: where, what was expected, and what was seen."""

    exchange: Exchange
    expected: str
    seen: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found about one rule, in the words of the standard."""

    rule: str
    conformance: str
    ja: str
    en: str
    outcome: Outcome
    wrong: tuple[Wrong, ...] = ()
    why: str | None = None
    why_ja: str | None = None
    rationale_ja: str = ""  # reports of before it was told have none
    rationale_en: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """One run. `wrote`, `removed`: how many records; `left`: keys of what may be there still, or as
    many as are told; `subscriptions`: paths of those that may be there still."""

    base: str
    standard: str
    classes: tuple[str, ...]
    seed: int
    verdicts: tuple[Verdict, ...]
    asked: int
    gave_up: str | None = None
    wrote: int = 0
    removed: int = 0
    left: tuple[str, ...] = ()
    subscriptions: tuple[str, ...] = ()

    @property
    def broken(self) -> list[Verdict]:
        """Those that were broken."""
        return [each for each in self.verdicts if each.outcome is Outcome.BROKEN]

    @property
    def unseen(self) -> list[str]:
        """Classes of which nothing was shown, or nothing written though they are judged by it."""
        seen = {each.conformance for each in self.verdicts if each.outcome is not Outcome.NOT_SHOWN}
        if not self.wrote:
            seen.difference_update(WRITTEN)
        judged = dict.fromkeys(each.conformance for each in self.verdicts)
        return [name for name in judged if name not in seen]

    @property
    def passed(self) -> bool:
        """Whether no rule was broken, something of each class was shown, and the server answered."""
        return not self.broken and not self.unseen and self.gave_up is None


Case = Callable[[Server, Stage], AsyncIterator[Wrong]]
Rules = Sequence[Mapping[str, Any]]


@dataclass(slots=True)
class Cases:
    """The cases of the judge, by the rule that each shows."""

    known: dict[str, list[Case]] = field(default_factory=dict)
    writing: set[Case] = field(default_factory=set)

    def of(self, rule: str, *, writes: bool = False) -> Callable[[Case], Case]:
        """Mark a function as a case of a rule; `writes`: it is asked only where a sandbox was lent,
        and after all that reads."""

        def marked(case: Case) -> Case:
            self.known.setdefault(rule, []).append(case)
            if writes:
                self.writing.add(case)
            return case

        return marked


CASES: Final = Cases()


async def judge(  # noqa: PLR0913 - what a run may be told
    server: Server, standard: Standard, classes: Sequence[str], *,
    dataset: str | Stage | None = None, seed: int = 0,
    seen: Callable[[int, int], None] = lambda done, of: None, only: Collection[str] | None = None,
    layout: "Layout | None" = None,
) -> Report:  # fmt: skip
    """Judge a server by the classes, or by a few rules of theirs. `seen` is told how far it is.

    `dataset`: the one that is judged, by its id or as a stage that is set already. `layout`: the
    standard layout that its records are held to as well.

    Raises `ClassUnknown`, `ClassNotJudged`, what `app.certify.sandbox` refuses, and `NoAnswer` where
    the server cannot be asked at all.
    """
    wanted = standard.checked(classes)
    rules = _rules(standard, wanted, only)
    name = dataset.id if isinstance(dataset, Stage) else dataset
    check_means(server, rules, name)
    stage = (
        dataset
        if isinstance(dataset, Stage)
        else await set_stage(server, dataset, seed, layout.profile if layout else None)
    )
    if is_lent(server, name):
        stage = await _opened(server, stage, rules)
    try:
        verdicts, gave_up = await _verdicts(server, stage, rules, seen)
        if layout is not None and gave_up is None:
            verdicts += await import_module("app.certify.layouts").held(server, stage, layout)
    finally:
        await close_ledger(server, stage)
    version = standard.document.root["info"]["version"]
    report = Report(server.base, version, wanted, seed, tuple(verdicts), server.asked, gave_up)
    return accounted(report, server)


async def _opened(server: Server, stage: Stage, rules: Rules) -> Stage:
    """Begin to write: with what the lent client gets for it, else with the token that was lent. Where
    there is neither, what needs none is judged alone."""
    from app.certify.granted import token_for  # noqa: PLC0415 - it stands on this

    if server.lent.client is None:
        return await open_ledger(server, stage, None)
    try:
        token = await token_for(server, f"dataset:{stage.id}:write", bound=False)
    except NotShown as none:
        if server.token is not None:
            return await open_ledger(server, stage, None)
        classes = _written(rules)
        if not classes:
            return stage
        raise SandboxNotLent(
            classes=", ".join(classes), missing=f"token ({none.why})",
            missing_ja=f"トークン（{none.why_ja}）",
        ) from None  # fmt: skip
    return await open_ledger(server, stage, token.text)


def accounted(report: Report, server: Server) -> Report:
    """With what was made, where something was."""
    report = replace(report, subscriptions=_named(server, server.subscriptions))
    ledger = server.ledger
    if ledger is None:
        return report
    removed = len(ledger.wrote - ledger.left.keys())
    left = _named(server, ledger.left)
    return replace(report, wrote=len(ledger.wrote), removed=removed, left=left)


def _named(server: Server, left: Iterable[str]) -> tuple[str, ...]:
    """What is left as it may be shown: a server can claim to hold what looks like it."""
    return tuple(worded(server.hidden, each)[:_LONGEST_KEY] for each in [*left][:_MOST_LEFT])


def check_means(server: Server, rules: Rules, dataset: str | None) -> None:
    """Raise what is missing, before anything is asked, where a class can only be judged by writing."""
    check_lent(server, dataset, _written(rules))


def _written(rules: Rules) -> list[str]:
    return sorted({each["class"] for each in rules} & set(WRITTEN))


def _rules(standard: Standard, wanted: Sequence[str], only: Collection[str] | None) -> Rules:
    for name in wanted:
        if name not in JUDGED:
            raise ClassNotJudged(name=name, known=", ".join(JUDGED))
        for room in _ROOMS[name]:
            import_module(f"app.certify.cases.{room}")  # its cases make themselves known
    return [
        each for each in standard.document.root["x-rules"]
        if each["class"] in wanted and (only is None or each["id"] in only)
    ]  # fmt: skip


def _writes(rules: Rules) -> list[str]:
    """Those of the rules that are shown by writing."""
    return [
        each["id"] for each in rules
        if any(case in CASES.writing for case in CASES.known.get(each["id"], ()))
    ]  # fmt: skip


async def _verdicts(
    server: Server, stage: Stage, rules: Rules, seen: Callable[[int, int], None]
) -> tuple[list[Verdict], str | None]:
    """A verdict a rule, in the order of the standard, and why the rest was given up."""
    last = set(_writes(rules))  # what reads reckons with the records as they were at the beginning
    found: dict[str, Verdict] = {}
    silent, gave_up = 0, None
    longest = server.longest_s + _WAITS * server.lent.patience_s
    try:
        async with asyncio.timeout(longest):
            for number, rule in enumerate(sorted(rules, key=lambda each: each["id"] in last)):
                verdict, answered = await _rule(server, stage, rule)
                found[rule["id"]] = verdict
                silent = 0 if answered else silent + 1
                seen(number + 1, len(rules))
                if silent >= _GIVE_UP_AFTER:
                    gave_up = verdict.wrong[0].seen if verdict.wrong else "no answer"
                    break
    except TimeoutError:
        gave_up = f"the rules were not through within {longest:.0f} s"
    return [found[each["id"]] for each in rules if each["id"] in found], gave_up


async def _rule(server: Server, stage: Stage, rule: Mapping[str, Any]) -> tuple[Verdict, bool]:
    """The verdict on one rule, and whether the server answered at all."""
    found: list[Wrong] = []
    unseen: NotShown | None = None
    shown = 0
    for case in CASES.known.get(rule["id"], []):
        try:
            await _ask(server, stage, case, found)
            shown += 1
        except NotShown as exc:
            unseen = NotShown(*(worded(server.hidden, each) for each in (exc.why, exc.why_ja)))
        except NoAnswer as none:
            seen = none.exchange.error or "none"
            found.append(_kept(server, Wrong(none.exchange, "an answer", seen)))
            return _verdict(rule, Outcome.BROKEN, found), False
    if found:
        return _verdict(rule, Outcome.BROKEN, found), True
    if shown:
        return _verdict(rule, Outcome.KEPT, []), True
    unseen = unseen or NotShown("it cannot be seen from outside", "外部からは確かめられません")
    return _verdict(rule, Outcome.NOT_SHOWN, [], unseen), True


async def _ask(server: Server, stage: Stage, case: Case, found: list[Wrong]) -> None:
    """Add what a case finds. Raises `NotShown`, `NoAnswer`, and `NotOurs` for a fault of the case."""
    not_unless(
        case not in CASES.writing or server.ledger is not None,
        "it is shown by writing, and no sandbox was lent",
        "書込みで確かめる規則です（書込み先が指定されていません）",
    )
    try:
        async for wrong in case(server, stage):
            found.append(_kept(server, wrong))
    except (NotShown, NoAnswer, NotOurs):
        raise
    except Amiss as amiss:
        found.append(_kept(server, amiss.wrong))
    except Exception as exc:  # noqa: BLE001 - what no case foresaw is the server's, not the run's end
        seen = f"an answer that no rule foresees ({type(exc).__name__})"
        found.append(_kept(server, Wrong(server.last, "an answer of the standard", seen)))


def _kept(server: Server, wrong: Wrong) -> Wrong:
    """A finding as it may be shown."""
    hidden = server.hidden
    words = (worded(hidden, each) for each in (wrong.expected, wrong.seen))
    return Wrong(wrong.exchange.trimmed(hidden), *words)


def _verdict(
    rule: Mapping[str, Any],
    outcome: Outcome,
    found: Sequence[Wrong],
    unseen: NotShown | None = None,
) -> Verdict:
    return Verdict(
        rule["id"], rule["class"], rule["ja"], rule["en"], outcome, tuple(found[:_MOST_A_RULE]),
        unseen.why if unseen else None, unseen.why_ja if unseen else None,
        rule.get("why_ja", ""), rule.get("why_en", ""),
    )  # fmt: skip


def not_unless(held: object, why: str, why_ja: str) -> None:
    """Raise `NotShown` where there is no occasion."""
    if not held:
        raise NotShown(why, why_ja)
