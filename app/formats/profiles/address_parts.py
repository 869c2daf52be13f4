"""One address text into its parts and back; where two readings are possible it takes none."""

import re
from dataclasses import dataclass
from typing import Final

_PREFECTURES: Final = [
    "北海道",
    "青森県",
    "岩手県",
    "宮城県",
    "秋田県",
    "山形県",
    "福島県",
    "茨城県",
    "栃木県",
    "群馬県",
    "埼玉県",
    "千葉県",
    "東京都",
    "神奈川県",
    "新潟県",
    "富山県",
    "石川県",
    "福井県",
    "山梨県",
    "長野県",
    "岐阜県",
    "静岡県",
    "愛知県",
    "三重県",
    "滋賀県",
    "京都府",
    "大阪府",
    "兵庫県",
    "奈良県",
    "和歌山県",
    "鳥取県",
    "島根県",
    "岡山県",
    "広島県",
    "山口県",
    "徳島県",
    "香川県",
    "愛媛県",
    "高知県",
    "福岡県",
    "佐賀県",
    "長崎県",
    "熊本県",
    "大分県",
    "宮崎県",
    "鹿児島県",
    "沖縄県",
]
# 地方自治法252条の19: the cities whose wards stand in an address.
_WITH_WARDS: Final = [
    "札幌市",
    "仙台市",
    "さいたま市",
    "千葉市",
    "横浜市",
    "川崎市",
    "相模原市",
    "新潟市",
    "静岡市",
    "浜松市",
    "名古屋市",
    "京都市",
    "大阪市",
    "堺市",
    "神戸市",
    "岡山市",
    "広島市",
    "北九州市",
    "福岡市",
    "熊本市",
]
_WARD: Final = re.compile(r"[^市区町村0-9０-９]{1,5}区")
_SPECIAL_WARD: Final = re.compile(r"[^市区町村0-9０-９]{2,3}区")
_COUNTY_TOWN: Final = re.compile(r"[^郡市区]{1,6}郡[^郡区]{1,7}?[町村]")
_COUNTY_LIKE_CITY: Final = re.compile(r"(?:高市|余市)郡[^郡区]{1,7}?[町村]")
_CITY: Final = re.compile(r"[^区0-9０-９]{1,7}?市")
_TOWN: Final = re.compile(r"[^0-9０-９]*(?:[0-9０-９]+丁目)?")


@dataclass(frozen=True, slots=True)
class AddressParts:
    """所在地_都道府県, _市区町村, _町字, _番地以下. Joined, they are the address again."""

    prefecture: str | None
    municipality: str
    town: str | None
    block: str | None


def split_address(
    text: str, *, prefecture: str | None = None, municipality: str | None = None
) -> AddressParts | None:
    """The parts of an address; None where it cannot be said for sure.

    What the record says elsewhere of its prefecture and municipality goes before guessing.
    """
    found = next((each for each in _PREFECTURES if text.startswith(each)), None)
    if found and prefecture and found != prefecture:
        return None
    rest = text.removeprefix(found or "")
    named = _municipality(rest, found or prefecture, municipality)
    if named is None:
        return None
    rest = rest.removeprefix(named)
    town = _TOWN.match(rest)
    head = town[0] if town else ""
    return AddressParts(found or prefecture, named, head or None, rest[len(head) :] or None)


def _municipality(rest: str, prefecture: str | None, known: str | None) -> str | None:
    if known and rest.startswith(known):
        ward = _WARD.match(rest, len(known)) if known in _WITH_WARDS else None
        return rest[: ward.end()] if ward else known
    for city in _WITH_WARDS:
        if rest.startswith(city):
            ward = _WARD.match(rest, len(city))
            return rest[: ward.end()] if ward else None
    readings = _readings(rest, prefecture)
    return readings.pop() if len(readings) == 1 else None


def _readings(rest: str, prefecture: str | None) -> set[str]:
    """Every municipality that the beginning can be. 四日市市 can be two, and 市川市 is one."""
    surely = _COUNTY_LIKE_CITY.match(rest)
    if surely:
        return {surely[0]}
    readings = set()
    county = _COUNTY_TOWN.match(rest)
    if county:
        readings.add(county[0])
    city = _CITY.match(rest, 1) if rest.startswith("市") else _CITY.match(rest)
    if city:
        readings.add(rest[: city.end()])
        if rest[city.end() :].startswith("市"):
            readings.add(rest[: city.end() + 1])
    ward = _SPECIAL_WARD.match(rest) if prefecture == "東京都" else None
    if ward and not city:
        readings.add(ward[0])
    return readings


def split_government(text: str) -> tuple[str, str] | None:
    """地方公共団体名 (静岡県焼津市) as prefecture and municipality; None where it is not both."""
    found = next((each for each in _PREFECTURES if text.startswith(each)), None)
    rest = text.removeprefix(found or "")
    return (found, rest) if found and rest else None
