"""The karte on paper: charts that are told in words, and a PDF of it as a browser prints it."""

import asyncio
import re
import shutil
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace as Thing
from typing import Any
from xml.etree import ElementTree

import pytest
from pypdf import PdfReader

from app.portal import charts
from app.portal.karte import karte_page
from tests.portal.chromium import BROWSERS

_PARTS = [
    Thing(
        name="export", name_ja="データの取り出し", points=Decimal(points), weight=Decimal(20), ja="理由です。",
        en="The reason.", mend_ja="直し方です。", mend_en="How to mend it.",
    )
    for points in (20, 5, 0)
]  # fmt: skip
KARTE: dict[str, Any] = {
    "system": {
        "organization": "271004",
        "description": {"name": "統合<宛名>システム", "vendor": "架空", "function": "address-record"},
    },
    "costs": [Thing(year=2017 + at, yen=17_000_000 + at * 500_000) for at in range(9)],
    "total_yen": 171_000_000,
    "diagnoses": [
        Thing(at=datetime(2026, month, 1, tzinfo=UTC), score=Thing(score=Decimal(score), parts=_PARTS))
        for month, score in ((9, 45), (6, 65), (3, 80))
    ],
    "dependants": [], "findings": [],
}  # fmt: skip


def test_every_chart_is_told_in_words_and_in_no_colour() -> None:
    text = bytes(karte_page(KARTE).body).decode()
    drawn = [ElementTree.fromstring(each) for each in re.findall(r"<svg.*?</svg>", text, re.DOTALL)]

    words = [each.attrib["aria-label"] for each in drawn]
    assert len(drawn) == len(_PARTS) + 2
    assert all(each.attrib["role"] == "img" and each.findtext("title") for each in drawn)
    assert any("2025年度 21,000,000円" in each for each in words)
    assert any("2026-03-01 80、2026-06-01 65、2026-09-01 45" in each for each in words)
    colours = {value for each in drawn for part in each.iter() for name, value in part.attrib.items()
               if name in ("fill", "stroke") and value != "none"}  # fmt: skip
    assert all(len(set(re.findall("[0-9a-f]{1,2}", c))) <= 2 for c in colours), colours
    assert "<宛名>" not in text and "<script" not in text and "http" not in text


@pytest.mark.parametrize("figures", [[], [("2026", 0)], [("2025", 1), ("2026", 10**15)]])
def test_a_chart_is_drawn_of_whatever_figures_there_are(figures: list[tuple[str, int]]) -> None:
    for chart in (charts.columns("言葉 & <", figures), charts.course("言葉", figures, 100)):
        drawn = ElementTree.fromstring(chart)
        heights = [float(each.attrib["height"]) for each in drawn.iter("rect")]
        assert all(0 <= each <= 180 for each in heights)


async def test_the_page_is_printed_on_a4_with_all_its_words(tmp_path: Path) -> None:
    browser = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    assert browser, "Chromium is needed: apt install chromium (make test does it as root)"
    (tmp_path / "karte.html").write_bytes(bytes(karte_page(KARTE).body))
    printed = tmp_path / "karte.pdf"

    child = await asyncio.create_subprocess_exec(
        browser, "--headless", "--no-sandbox", "--disable-gpu", "--no-pdf-header-footer",
        f"--user-data-dir={tmp_path / 'profile'}", f"--print-to-pdf={printed}",
        f"file://{tmp_path / 'karte.html'}",
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    async with asyncio.timeout(60):
        await child.wait()

    pages = PdfReader(printed).pages
    text = "".join(page.extract_text() for page in pages)
    width, height = (round(float(side)) for side in pages[0].mediabox[2:])
    assert (width, height) == (595, 842)
    assert 1 <= len(pages) <= 3
    for told in ("171,000,000", "21,000,000", "2026-03-01", "Lock-in score 45 of 100"):
        assert told in text
