"""Runs the cases of some conformance classes against a server and says of each rule what was seen.

A rule is kept, broken, or not shown: where the server's data gave no occasion, that is said too.
"""

from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from importlib import import_module
from typing import Any, Final

from app.certify.client import Exchange, NoAnswer, Server
from app.certify.lint import Standard
from app.certify.stage import Stage, set_stage
from app.kit.errors import AppError, Kind

_GIVE_UP_AFTER: Final = 3  # cases in a row without any answer
_MOST_A_RULE: Final = 5  # findings that are shown


# The rooms of `app.certify.cases` that hold the cases of a class; a class without one is not judged.
_ROOMS: Final[Mapping[str, Sequence[str]]] = {
    "core": ("caches", "codes", "errors", "pages", "schema"),
    "query": ("query",),
}
JUDGED: Final = tuple(_ROOMS)


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
    """One run. `passed`: no rule was broken, and the server answered throughout."""

    base: str
    standard: str
    classes: tuple[str, ...]
    seed: int
    verdicts: tuple[Verdict, ...]
    asked: int
    gave_up: str | None = None

    @property
    def broken(self) -> list[Verdict]:
        """Those that were broken."""
        return [each for each in self.verdicts if each.outcome is Outcome.BROKEN]

    @property
    def passed(self) -> bool:
        """Whether nothing was broken."""
        return not self.broken and self.gave_up is None


Case = Callable[[Server, Stage], AsyncIterator[Wrong]]


@dataclass(slots=True)
class Cases:
    """The cases of the judge, by the rule that each shows."""

    known: dict[str, list[Case]] = field(default_factory=dict)

    def of(self, rule: str) -> Callable[[Case], Case]:
        """Mark a function as a case of a rule."""

        def marked(case: Case) -> Case:
            self.known.setdefault(rule, []).append(case)
            return case

        return marked


CASES: Final = Cases()


async def judge(
    server: Server, standard: Standard, classes: Sequence[str], *,
    dataset: str | Stage | None = None, seed: int = 0,
    seen: Callable[[int, int], None] = lambda done, of: None, only: Collection[str] | None = None,
) -> Report:  # fmt: skip
    """Judge a server by the classes, or by a few rules of theirs. `seen` is told how far it is.

    `dataset`: the one that is judged, by its id or as a stage that is set already.

    Raises `ClassUnknown`, `ClassNotJudged`, and `NoAnswer` where the server cannot be asked at all.
    """
    wanted = standard.checked(classes)
    for name in wanted:
        if name not in JUDGED:
            raise ClassNotJudged(name=name, known=", ".join(JUDGED))
        for room in _ROOMS[name]:
            import_module(f"app.certify.cases.{room}")  # its cases make themselves known
    rules = [
        each for each in standard.document.root["x-rules"]
        if each["class"] in wanted and (only is None or each["id"] in only)
    ]  # fmt: skip
    stage = dataset if isinstance(dataset, Stage) else await set_stage(server, dataset, seed)
    verdicts: list[Verdict] = []
    silent = 0
    gave_up = None
    for number, rule in enumerate(rules):
        verdict, answered = await _rule(server, stage, rule)
        verdicts.append(verdict)
        silent = 0 if answered else silent + 1
        seen(number + 1, len(rules))
        if silent >= _GIVE_UP_AFTER:
            gave_up = verdict.wrong[0].seen if verdict.wrong else "no answer"
            break
    version = standard.document.root["info"]["version"]
    return Report(server.base, version, wanted, seed, tuple(verdicts), server.asked, gave_up)


async def _rule(server: Server, stage: Stage, rule: Mapping[str, Any]) -> tuple[Verdict, bool]:
    """The verdict on one rule, and whether the server answered at all."""
    found: list[Wrong] = []
    unseen: NotShown | None = None
    shown = 0
    for case in CASES.known.get(rule["id"], []):
        try:
            async for wrong in case(server, stage):
                found.append(replace(wrong, exchange=wrong.exchange.trimmed()))
            shown += 1
        except NotShown as exc:
            unseen = exc
        except NoAnswer as none:
            found.append(Wrong(none.exchange, "an answer", none.exchange.error or "none"))
            return _verdict(rule, Outcome.BROKEN, found), False
        except Exception as exc:  # noqa: BLE001 - what no case foresaw is the server's, not the run's end
            seen = f"an answer that no rule foresees ({type(exc).__name__})"
            found.append(Wrong(server.last, "an answer of the standard", seen))
    if found:
        return _verdict(rule, Outcome.BROKEN, found), True
    if shown:
        return _verdict(rule, Outcome.KEPT, []), True
    unseen = unseen or NotShown("it cannot be seen from outside", "外部からは確かめられません")
    return _verdict(rule, Outcome.NOT_SHOWN, [], unseen), True


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
