"""A report as text, JSON, JUnit, SARIF, and as one page that can be mailed. Judges nothing."""

import json
import re
from html import escape
from typing import Any, Final
from xml.etree.ElementTree import Element, SubElement, tostring

from app.certify.judge import Outcome, Report, Verdict, Wrong

_UNFIT: Final = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]"
)
FORMS = ("text", "json", "junit", "sarif", "html")
_MARKS = {Outcome.KEPT: "○", Outcome.BROKEN: "×", Outcome.NOT_SHOWN: "－"}


def written(report: Report, form: str) -> str:
    """The report in one of `FORMS`."""
    forms = {"text": text, "json": as_json, "junit": junit, "sarif": sarif, "html": html}
    return forms[form](report)


def summary(report: Report) -> tuple[str, str]:
    """One line in both languages."""
    counts = {each: sum(v.outcome is each for v in report.verdicts) for each in Outcome}
    kept, broken, unseen = (counts[each] for each in Outcome)
    if report.gave_up is not None:
        return (f"中止: サーバが応答しないか、遅すぎます（{report.gave_up}）。",
                f"Given up: the server does not answer, or too slowly ({report.gave_up}).")  # fmt: skip
    ja = f"適合 {kept}、違反 {broken}、確認できず {unseen}（クラス {', '.join(report.classes)}）。"
    en = f"{kept} kept, {broken} broken, {unseen} not shown (classes {', '.join(report.classes)})."
    if report.unseen:
        names = ", ".join(report.unseen)
        ja += f"何も確かめられなかったクラス: {names}。"
        en += f" Nothing was shown of: {names}."
    return ja, en


def made(report: Report) -> list[tuple[str, str]]:
    """What the judge made and what of it may be there still, in both languages; none: it made
    nothing."""
    told = []
    if report.wrote or report.left:
        ja = f"試験で書き込んだレコード {report.wrote}件のうち {report.removed}件を削除しました。"
        en = f"{report.wrote} records were written, {report.removed} of them removed."
        if report.left:
            keys = ", ".join(report.left)
            ja += f"残っている可能性のあるキー: {keys}。--clean で削除できます。"
            en += f" These keys may be there still: {keys}. Remove them with --clean."
        told.append((ja, en))
    if report.subscriptions:
        paths = ", ".join(report.subscriptions)
        told.append((f"終えられなかった購読があります: {paths}。DELETE で終了してください。",
                     f"These subscriptions may be there still: {paths}. End them with DELETE."))  # fmt: skip
    return told


def text(report: Report) -> str:
    """For a terminal: broken rules with what was expected and seen, then what was not shown."""
    lines = []
    for verdict in report.verdicts:
        if verdict.outcome is Outcome.BROKEN:
            lines += [f"× {verdict.rule}  {verdict.ja}", f"           {verdict.en}",
                      *(f"    {each}" for each in _rationale(verdict))]  # fmt: skip
            for wrong in verdict.wrong:
                lines += [f"    expected: {wrong.expected}", f"    seen:     {wrong.seen}",
                          f"    {wrong.exchange.curl()}"]  # fmt: skip
    for verdict in report.verdicts:
        if verdict.outcome is Outcome.NOT_SHOWN:
            lines.append(f"－ {verdict.rule}  {verdict.why_ja} / {verdict.why}")
    told = [words for both in (*made(report), summary(report)) for words in both]
    return plain("\n".join([*lines, *told]).replace("\r", "\ufffd")) + "\n"


def _rationale(verdict: Verdict) -> list[str]:
    """Why the rule is there, a line a language."""
    told = (("理由", verdict.rationale_ja), ("why", verdict.rationale_en))
    return [f"{name}: {words}" for name, words in told if words]


def _wrong(wrong: Wrong) -> dict[str, Any]:
    return {
        "request": wrong.exchange.curl(), "response": wrong.exchange.shown(),
        "expected": wrong.expected, "seen": wrong.seen,
    }  # fmt: skip


def as_json(report: Report) -> str:
    """Every verdict with its requests and answers."""
    told = {
        "base": report.base, "standard": report.standard, "classes": list(report.classes),
        "seed": report.seed, "passed": report.passed, "requests": report.asked,
        "gave_up": report.gave_up,
        **_made(report),
        "rules": [
            {
                "rule": each.rule, "class": each.conformance, "outcome": each.outcome,
                "ja": each.ja, "en": each.en,
                "rationale_ja": each.rationale_ja, "rationale_en": each.rationale_en,
                "why": each.why, "why_ja": each.why_ja,
                "findings": [_wrong(wrong) for wrong in each.wrong],
            }
            for each in report.verdicts
        ],
    }  # fmt: skip
    return json.dumps(told, ensure_ascii=False, indent=2) + "\n"


def _made(report: Report) -> dict[str, Any]:
    return {
        "records": {"written": report.wrote, "removed": report.removed, "left": list(report.left)},
        "subscriptions": {"left": list(report.subscriptions)},
    }


def junit(report: Report) -> str:
    """A test case a rule, for build servers; what was made, as what the suite said."""
    suite = Element("testsuite", name=f"linkage {report.standard}")
    suite.set("tests", str(len(report.verdicts)))
    suite.set("failures", str(len(report.broken)))
    unseen = [each for each in report.verdicts if each.outcome is Outcome.NOT_SHOWN]
    suite.set("skipped", str(len(unseen)))
    for verdict in report.verdicts:
        case = SubElement(suite, "testcase", classname=verdict.conformance, name=verdict.rule)
        if verdict.outcome is Outcome.NOT_SHOWN:
            SubElement(case, "skipped", message=plain(f"{verdict.why_ja} / {verdict.why}"))
        for wrong in verdict.wrong:
            fault = SubElement(case, "failure", message=plain(verdict.en))
            fault.text = plain("\n".join([*_rationale(verdict), *_wrong(wrong).values()]))
    said = [words for both in (*made(report), summary(report)) for words in both]
    SubElement(suite, "system-out").text = plain("\n".join(said))
    return tostring(suite, encoding="unicode", xml_declaration=True) + "\n"


def plain(text: str) -> str:
    """XML has no control characters, and a terminal obeys them, and those that turn the reading."""
    return _UNFIT.sub("\ufffd", text)


def sarif(report: Report) -> str:
    """SARIF 2.1.0: a result a finding, and an open one a rule that was not shown."""
    rules = [
        {
            "id": each.rule, "shortDescription": {"text": each.en},
            "fullDescription": {"text": f"{each.ja}\n{each.en}"},
            "help": {"text": "\n".join(_rationale(each)) or each.en},
        }
        for each in report.verdicts
    ]  # fmt: skip
    results = [
        {
            "ruleId": each.rule, "level": "error",
            "message": {"text": f"expected {wrong.expected}; seen {wrong.seen}"},
            "locations": [
                {"physicalLocation": {"artifactLocation": {"uri": wrong.exchange.url}}}
            ],
            "properties": {"request": wrong.exchange.curl()},
        }
        for each in report.verdicts
        for wrong in each.wrong
    ]  # fmt: skip
    results += [
        {
            "ruleId": each.rule, "level": "none", "kind": "open",
            "message": {"text": f"{each.why_ja} / {each.why}"},
        }
        for each in report.verdicts
        if each.outcome is Outcome.NOT_SHOWN
    ]  # fmt: skip
    told_besides = {"passed": report.passed, "gave_up": report.gave_up, **_made(report)}
    driver = {"name": "urbanos certify", "semanticVersion": report.standard, "rules": rules}
    told = {
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json", "version": "2.1.0",
        "runs": [{"tool": {"driver": driver}, "results": results, "properties": told_besides}],
    }  # fmt: skip
    return json.dumps(told, ensure_ascii=False, indent=2) + "\n"


_STYLE = (
    "body{font:1rem/1.6 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}"
    "pre{background:#f4f4f4;padding:.7rem;overflow:auto;white-space:pre-wrap;overflow-wrap:anywhere}"
    ".broken{border-left:6px solid #ce0000;padding-left:.8rem}"
)


def html(report: Report) -> str:
    """One page without script, that loads nothing."""
    said = [summary(report), *made(report)]
    told = "".join(f"<p>{escape(ja)}<br><span lang=en>{escape(en)}</span></p>" for ja, en in said)
    rows = "".join(_row(each) for each in report.verdicts)
    return plain(
        f'<!doctype html><html lang="ja"><meta charset="utf-8"><title>{escape(report.base)}</title>'
        f"<style>{_STYLE}</style><h1>適合試験の結果 <span lang=en>Conformance report</span></h1>"
        f"<p>{escape(report.base)} ・ linkage {escape(report.standard)} ・ seed {report.seed}</p>"
        f"{told}{rows}</html>\n"
    )


def _row(verdict: Verdict) -> str:
    told = "".join(f"<p>{escape(each)}</p>" for each in _rationale(verdict) if verdict.wrong)
    told += "".join(
        f"<pre>{escape(wrong.exchange.curl())}\n\n{escape(wrong.exchange.shown())}</pre>"
        f"<p>expected: {escape(wrong.expected)}<br>seen: {escape(wrong.seen)}</p>"
        for wrong in verdict.wrong
    )
    if verdict.why is not None:
        told = f"<p>{escape(verdict.why_ja or '')} <span lang=en>{escape(verdict.why)}</span></p>"
    return (
        f'<section class="{verdict.outcome}" id="{verdict.rule}"><h2>{_MARKS[verdict.outcome]} '
        f"{verdict.rule}</h2><p>{escape(verdict.ja)}<br><span lang=en>{escape(verdict.en)}</span></p>"
        f"{told}</section>"
    )
