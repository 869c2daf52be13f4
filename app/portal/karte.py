"""The karte of a system as a page to read and to print. Shows what the door of kartes tells."""

from datetime import datetime
from typing import Any, Final
from uuid import UUID

from fastapi import APIRouter
from starlette.responses import Response

from app.api.access import Reading
from app.api.system_access import SystemsReader
from app.api.systems import told_karte
from app.kit.clock import TOKYO
from app.portal import charts
from app.portal.layout import NOTHING, Html, both, html, joined, page

router = APIRouter(include_in_schema=False)
_MOST_SHOWN: Final = 8  # in a chart; the list has all


@router.get("/v1/systems/{system_id}/karte.html")
async def show_page(
    system_id: UUID, caller: SystemsReader, session: Reading, weights: int | None = None
) -> Response:
    """One file without script or anything to load: it can be mailed, and printed on A4."""
    karte = await told_karte(session, caller, system_id, weights)
    return karte_page(karte)


def karte_page(karte: dict[str, Any]) -> Response:
    """The page of a karte."""
    system = karte["system"]
    said = system["description"]
    body = html(
        "<p>{organization} ・ {vendor} ・ {function}</p>{score}<h2>{costs}</h2>{curve}<p>{total}</p>"
        "<h2>{history}</h2>{diagnoses}<h2>{who}</h2>{dependants}<h2>{found}</h2>{findings}",
        organization=system["organization"], vendor=said.get("vendor", "－"),
        function=said["function"], score=_score(karte),
        costs=both("費用の推移", "Costs by fiscal year"), curve=_curve(karte["costs"]),
        total=both(f"合計 {karte['total_yen']:,} 円", f"In all {karte['total_yen']:,} yen"),
        history=both("診断の履歴", "Diagnoses"), diagnoses=_history(karte["diagnoses"]),
        who=both("データの利用者", "Who depends on its data"),
        dependants=_list(
            f"{each.dataset}: {each.consumer} ({each.purpose or '－'}, {each.reads:,}/90d)"
            for each in karte["dependants"]
        ),
        found=both("指摘", "Findings"),
        findings=_list(
            f"[{each.state}] {each.ja} / {each.en} ({_day(each.due_at)})"
            for each in karte["findings"]
        ),
    )  # fmt: skip
    return page(
        f"{said['name']} システムカルテ", f"Karte of {said.get('name_en', said['name'])}", body
    )


def _score(karte: dict[str, Any]) -> Html:
    if not karte["diagnoses"]:
        return html("<p>{said}</p>", said=both("まだ診断されていません。", "Not diagnosed yet."))
    score = karte["diagnoses"][0].score
    parts = joined(
        html(
            "<dt>{name} {points} / {weight}</dt><dd>{bar}{ja} <span lang=\"en\">{en}</span>{mend}</dd>",
            name=part.name_ja, points=part.points, weight=part.weight,
            bar=charts.share(
                f"{part.name_ja}: {part.points} / {part.weight}", float(part.points),
                float(part.weight),
            ), ja=part.ja, en=part.en,
            mend=_mend(part.mend_ja, part.mend_en),
        )
        for part in score.parts
    )  # fmt: skip
    return html(
        "<h2>{said}</h2><dl>{parts}</dl>",
        said=both(f"囲い込み度 {score.score} / 100", f"Lock-in score {score.score} of 100"),
        parts=parts,
    )


def _mend(ja: str | None, en: str | None) -> Html:
    if ja is None or en is None:
        return NOTHING
    return html("<br>→ {both}", both=both(ja, en))


def _curve(costs: Any) -> Html:
    """A column a year; the figures stand below as well, so that nobody has to see the chart."""
    if not costs:
        return html("<p>{none}</p>", none=both("記録なし", "None recorded"))
    told = [(str(each.year), each.yen) for each in costs]
    words = "、".join(f"{year}年度 {yen:,}円" for year, yen in told)
    return html(
        "{chart}{years}",
        chart=charts.columns(f"年度ごとの費用: {words}", told[-_MOST_SHOWN:], _in_ten_thousands),
        years=_list(f"{year}: {yen:,} 円" for year, yen in told),
    )


def _in_ten_thousands(yen: int) -> str:
    return f"{yen / 10_000:,.0f}万" if yen >= 10_000 else f"{yen:,}"


def _history(diagnoses: Any) -> Html:
    told = [(_day(each.at), float(each.score.score)) for each in diagnoses]
    lines = _list(f"{day}: {score:g}" for day, score in told)
    if len(told) < 2:  # one point is no course
        return lines
    oldest_first = told[:_MOST_SHOWN][::-1]
    words = "、".join(f"{day} {score:g}" for day, score in oldest_first)
    chart = charts.course(f"囲い込み度の推移（100点中）: {words}", oldest_first, 100.0)
    return html("{chart}{lines}", chart=chart, lines=lines)


def _day(at: datetime) -> str:
    return f"{at.astimezone(TOKYO):%Y-%m-%d}"


def _list(lines: Any) -> Html:
    items = joined(html("<li>{line}</li>", line=line) for line in lines)
    if not items:
        return html("<p>{none}</p>", none=both("なし", "None"))
    return html("<ul>{items}</ul>", items=items)
