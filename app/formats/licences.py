"""The licences that cities publish under, with their addresses and whether they are open.

A licence that is not listed may be used: by its address, or in words. It is then told as what it
is, and nothing is claimed of it.
"""

import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

_CC: Final = "https://creativecommons.org"
_ODC: Final = "https://opendatacommons.org/licenses"
_NOISE: Final = re.compile(r"[\s\-_()第版]+")
# RFC 3986: what an address may hold beside letters and digits of any script (RFC 3987).
_ADDRESS: Final = re.compile(r"https?://[^\s<>\"{}|\\^`\x00-\x20\x7f-\xa0\ufff0-\uffff]+\Z", re.I)


@dataclass(frozen=True, slots=True)
class Licence:
    """One licence. `is_open`: anyone may use, change and pass on (opendefinition.org)."""

    id: str  # SPDX's where it has one
    title_ja: str
    title_en: str
    url: str
    is_open: bool
    aliases: tuple[str, ...] = ()


LICENCES: Final[tuple[Licence, ...]] = (
    Licence(
        "CC-BY-4.0", "クリエイティブ・コモンズ 表示 4.0 国際",
        "Creative Commons Attribution 4.0 International", f"{_CC}/licenses/by/4.0/", True,
        ("CC-BY-4.0 国際",),
    ),
    Licence(
        "CC-BY-SA-4.0", "クリエイティブ・コモンズ 表示－継承 4.0 国際",
        "Creative Commons Attribution Share Alike 4.0 International",
        f"{_CC}/licenses/by-sa/4.0/", True,
    ),
    Licence(
        "CC-BY-2.1-JP", "クリエイティブ・コモンズ 表示 2.1 日本",
        "Creative Commons Attribution 2.1 Japan", f"{_CC}/licenses/by/2.1/jp/", True,
    ),
    Licence(
        "CC0-1.0", "CC0 1.0 全世界 パブリック・ドメイン提供",
        "Creative Commons Zero v1.0 Universal", f"{_CC}/publicdomain/zero/1.0/", True, ("CC0",),
    ),
    Licence(
        "PDL-1.0", "公共データ利用規約（第1.0版）", "Public Data License (Version 1.0)",
        "https://www.digital.go.jp/resources/open_data/public_data_license_v1.0", True,
    ),
    Licence(
        "GSTL-2.0", "政府標準利用規約（第2.0版）",
        "Government of Japan Standard Terms of Use (Version 2.0)",
        "https://www.kantei.go.jp/jp/singi/it2/densi/kettei/gl2_betten_1.pdf", True,
    ),
    Licence(
        "ODbL-1.0", "オープンデータベースライセンス 1.0", "Open Data Commons Open Database License v1.0",
        f"{_ODC}/odbl/1-0/", True,
    ),
    Licence(
        "ODC-By-1.0", "オープンデータコモンズ 表示 1.0", "Open Data Commons Attribution License v1.0",
        f"{_ODC}/by/1-0/", True,
    ),
    Licence(
        "PDDL-1.0", "オープンデータコモンズ パブリックドメイン 1.0",
        "Open Data Commons Public Domain Dedication & License 1.0", f"{_ODC}/pddl/1-0/", True,
    ),
    Licence(
        "CC-BY-NC-4.0", "クリエイティブ・コモンズ 表示－非営利 4.0 国際",
        "Creative Commons Attribution Non Commercial 4.0 International",
        f"{_CC}/licenses/by-nc/4.0/", False,
    ),
    Licence(
        "CC-BY-ND-4.0", "クリエイティブ・コモンズ 表示－改変禁止 4.0 国際",
        "Creative Commons Attribution No Derivatives 4.0 International",
        f"{_CC}/licenses/by-nd/4.0/", False,
    ),
    Licence(
        "CC-BY-NC-SA-4.0", "クリエイティブ・コモンズ 表示－非営利－継承 4.0 国際",
        "Creative Commons Attribution Non Commercial Share Alike 4.0 International",
        f"{_CC}/licenses/by-nc-sa/4.0/", False,
    ),
)  # fmt: skip


def find(text: str) -> Licence | None:
    """The licence that is meant by an id, a title or an address, however it is spelt."""
    return _KNOWN.get(_folded(text))


def address_of(text: str) -> str | None:
    """The address of a licence: a listed one's, or the text itself where it is one."""
    known = find(text)
    if known is not None:
        return known.url
    return text if _ADDRESS.match(text) else None


def _folded(text: str) -> str:
    """`CC BY 4.0`, `cc-by-4.0` and `ＣＣ－ＢＹ－４．０` are one."""
    return _NOISE.sub("", unicodedata.normalize("NFKC", text).casefold()).removesuffix("/")


def _spellings() -> Iterator[tuple[str, Licence]]:
    for each in LICENCES:
        for text in (each.id, each.title_ja, each.title_en, each.url, *each.aliases):
            yield _folded(text), each


_KNOWN: Final[Mapping[str, Licence]] = dict(_spellings())
