"""The lock-in score: eight parts that add up, each with its reason and its mend. Pure.

A part is a share of 0 to 1 of its weight; the weights of all parts make 100. What is not known
counts in full and says so: whoever wants a lower score finds it out.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, Final

from app.systems.description import Amount, Description, Risk

WHOLE: Final = 100
_LONG_YEARS: Final = 10
_MANY_RENEWALS: Final = 4
_PROOF_LASTS: Final = timedelta(days=730)
_RISKS: Final = {Risk.LOW: 0.0, Risk.MEDIUM: 0.5, Risk.HIGH: 1.0}
_CHANGED: Final = {Amount.NONE: 0.0, Amount.SOME: 0.5, Amount.FULL: 1.0}
_WRITTEN: Final = {Amount.FULL: 0.0, Amount.SOME: 0.5, Amount.NONE: 1.0}

_UNKNOWN: Final = "unknown"
_EN: Final = {_UNKNOWN: "not known", "true": "yes", "false": "no"}
_JA: Final = {
    _UNKNOWN: "不明", "true": "あり", "false": "なし", Amount.NONE: "なし",
    Risk.LOW: "低い", Risk.MEDIUM: "中程度", Risk.HIGH: "高い", Amount.SOME: "一部", Amount.FULL: "全般",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Proof:
    """A load of the system's own export: so many of its rows were accepted."""

    on: date
    rows: int


@dataclass(frozen=True, slots=True)
class Signs:
    """What a score is made of. None: nobody has said."""

    years: float | None  # with the same company
    renewals: int | None
    interfaces: int | None
    standard_interfaces: int | None
    export_formats: int | None
    export_proven: bool
    certified: bool  # somebody says so
    bidders: int | None
    customisation: str | None
    documentation: str | None
    succession: str | None
    # Whether this platform knows the certificate. None: of a diagnosis from before it asked.
    certificate_proven: bool | None = None

    def as_json(self) -> dict[str, Any]:
        """As it is kept."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a score: `points` of `weight`, why, and what would lower it."""

    name: str
    name_ja: str
    weight: Decimal
    points: Decimal
    known: bool
    ja: str
    en: str
    mend_ja: str | None
    mend_en: str | None


@dataclass(frozen=True, slots=True)
class Score:
    """The sum of its parts, 0 (free to leave) to 100, the heaviest part first."""

    score: Decimal
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class _Rule:
    """How one part is judged. `share` None: what it needs was not said."""

    name_ja: str
    weight: int
    share: Callable[[Signs], float | None]
    ja: str
    en: str
    mend_ja: str
    mend_en: str


def signs_of(
    said: Description, proof: Proof | None, today: date, *, certified: bool = False
) -> Signs:
    """The signs that a description, and what proves it, show on a day. `certified`: a service that
    it names has a certificate of this platform that is valid now."""
    contract, listed = said.contract, said.interfaces
    return Signs(
        years=round((today - contract.since).days / 365.25, 1) if contract else None,
        renewals=contract.renewals if contract else None,
        interfaces=len(listed) if listed is not None else None,
        standard_interfaces=sum(each.standard for each in listed) if listed is not None else None,
        export_formats=len(said.export.formats) if said.export else None,
        export_proven=proof is not None and proof.rows > 0 and today - proof.on <= _PROOF_LASTS,
        certified=certified or any(each.until >= today for each in said.certificates),
        bidders=contract.bidders if contract else None,
        customisation=said.customisation,
        documentation=said.documentation,
        succession=said.succession,
        certificate_proven=certified,
    )


def score_of(signs: Signs, weights: Mapping[str, int]) -> Score:
    """The score by these weights, which are `checked`. The parts add up to it exactly."""
    parts = [_part(name, rule, signs, weights[name]) for name, rule in _RULES.items()]
    parts.sort(key=lambda each: (-each.points, each.name))
    return Score(sum((each.points for each in parts), Decimal("0.0")), tuple(parts))


def sum_of(signs: Signs, weights: Mapping[str, int]) -> Decimal:
    """The score alone: what a list of thousands is put in order by."""
    return sum(
        (_points(rule.share(signs), weights[name]) for name, rule in _RULES.items()), Decimal("0.0")
    )


def checked(weights: Mapping[str, int]) -> bool:
    """Whether these are weights of all parts and no other, and make 100."""
    return weights.keys() == _RULES.keys() and sum(weights.values()) == WHOLE and all(
        each >= 0 for each in weights.values()
    )  # fmt: skip


def _part(name: str, rule: _Rule, signs: Signs, weight: int) -> Part:
    found = rule.share(signs)
    points = _points(found, weight)
    told = signs.as_json().items()
    ja, en = ({name: _shown(value, words) for name, value in told} for words in (_JA, _EN))
    words = (rule.ja, rule.en) if found is not None else (
        "分かっていません（満点として数えます）。", "Not known: it counts in full."
    )  # fmt: skip
    mend = (rule.mend_ja, rule.mend_en) if points else (None, None)
    return Part(
        name, rule.name_ja, Decimal(weight), points, found is not None,
        words[0].format_map(ja), words[1].format_map(en), *mend,
    )  # fmt: skip


def _shown(value: Any, words: Mapping[str, str]) -> Any:
    return words[_UNKNOWN] if value is None else words.get(str(value).lower(), value)


def _points(share: float | None, weight: int) -> Decimal:
    known = 1.0 if share is None else share
    return (Decimal(weight) * Decimal(str(round(known, 2)))).quantize(Decimal("0.1"))


def _contract(signs: Signs) -> float | None:
    if signs.years is None or signs.renewals is None:
        return None
    long, often = max(signs.years, 0) / _LONG_YEARS, signs.renewals / _MANY_RENEWALS
    return min(long, 1) / 2 + min(often, 1) / 2


def _interfaces(signs: Signs) -> float | None:
    if signs.interfaces is None or signs.standard_interfaces is None:
        return None
    return 1 - signs.standard_interfaces / signs.interfaces if signs.interfaces else 1.0


def _export(signs: Signs) -> float | None:
    if signs.export_proven:
        return 0.0
    return None if signs.export_formats is None else 0.5 if signs.export_formats else 1.0


def _certificate(signs: Signs) -> float:
    if not signs.certified:
        return 1.0
    return 0.5 if signs.certificate_proven is False else 0.0


def _bidders(signs: Signs) -> float | None:
    return None if signs.bidders is None else {0: 1.0, 1: 1.0, 2: 0.5}.get(signs.bidders, 0.0)


def _amount(share: Mapping[Any, float], given: str | None) -> float | None:
    return None if given is None else share[given]


_RULES: Final[Mapping[str, _Rule]] = {
    "contract": _Rule(
        "契約", 15, _contract,
        "同じ事業者と{years}年、更新{renewals}回です。",
        "{years} years with the same company, renewed {renewals} times.",
        "次の更新の前に、競争入札の仕様書を用意してください。",
        "Prepare an open tender before the next renewal.",
    ),
    "interfaces": _Rule(
        "接続方式", 15, _interfaces,
        "接続方式{interfaces}件のうち、標準のものは{standard_interfaces}件です。",
        "{standard_interfaces} of {interfaces} interfaces follow a published standard.",
        "連携インターフェース（linkage-v1）での提供を求めてください。",
        "Require the Linkage Interface (linkage-v1).",
    ),
    "export": _Rule(
        "データの取り出し", 20, _export,
        "取り出せる形式は{export_formats}件、実際の取り込みによる確認: {export_proven}。",
        "{export_formats} export formats; proven by a load: {export_proven}.",
        "全件を書き出して取り込み、その実行番号を export.run に記録してください。",
        "Export everything, load it here, and record the load's id as export.run.",
    ),
    "certificate": _Rule(
        "適合証明", 10, _certificate,
        "適合証明の申告: {certified}、公開一覧での確認: {certificate_proven}。",
        "A certificate is told of: {certified}; it is on the public list: {certificate_proven}.",
        "事業者に適合試験の受験を求め、一覧のサービスを certificates[].service に記録してください。",
        "Have the vendor certified, and record its service as certificates[].service.",
    ),
    "bidders": _Rule(
        "競争性", 15, _bidders,
        "直近の調達の応札者は{bidders}者です。", "{bidders} bidders in the last tender.",
        "仕様から特定製品に固有の条件を除いてください。",
        "Take conditions that only one product meets out of the specification.",
    ),
    "customisation": _Rule(
        "個別改修", 10, lambda signs: _amount(_CHANGED, signs.customisation),
        "個別改修: {customisation}。", "Customisation: {customisation}.",
        "標準機能に業務を合わせ、改修を減らしてください。",
        "Fit the work to the standard functions rather than the reverse.",
    ),
    "documentation": _Rule(
        "文書", 5, lambda signs: _amount(_WRITTEN, signs.documentation),
        "設計書・データ定義の整備: {documentation}。", "Documentation: {documentation}.",
        "設計書とデータ定義書の納品を受けてください。",
        "Have design and data definitions delivered.",
    ),
    "succession": _Rule(
        "承継", 10, lambda signs: _amount(_RISKS, signs.succession),
        "承継できないおそれ: {succession}。", "Risk that nobody takes over: {succession}.",
        "後継システムと移行手順を計画に書いてください。",
        "Write the successor and the way there into the plan.",
    ),
}  # fmt: skip
NAMES: Final = tuple(_RULES)
BUILT_IN: Final[Mapping[str, int]] = {name: rule.weight for name, rule in _RULES.items()}
