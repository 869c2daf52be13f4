"""The licences of open data as CKAN's `license_list` has them. Facts only."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final


@dataclass(frozen=True, slots=True)
class Licence:
    """By SPDX id where there is one. All of these are open by the Open Definition 2.1."""

    id: str
    title: str
    url: str


_KNOWN: Final = (
    Licence("CC-BY-4.0", "Creative Commons Attribution 4.0",
            "https://creativecommons.org/licenses/by/4.0/"),
    Licence("CC-BY-SA-4.0", "Creative Commons Attribution Share-Alike 4.0",
            "https://creativecommons.org/licenses/by-sa/4.0/"),
    Licence("CC-BY-2.1-JP", "クリエイティブ・コモンズ 表示 2.1 日本",
            "https://creativecommons.org/licenses/by/2.1/jp/"),
    Licence("CC0-1.0", "CC0 1.0", "https://creativecommons.org/publicdomain/zero/1.0/"),
    Licence("PDL-1.0", "公共データ利用規約（第1.0版）",
            "https://www.digital.go.jp/resources/open_data/public_data_license_v1.0"),
    Licence("ODbL-1.0", "Open Data Commons Open Database License 1.0",
            "https://opendatacommons.org/licenses/odbl/1-0/"),
)  # fmt: skip
_BY_ID: Final[Mapping[str, Licence]] = {each.id.upper(): each for each in _KNOWN}


def of_package(licence: str) -> dict[str, Any]:
    """What a package says of its licence; one that is not known is not called open."""
    known = _BY_ID.get(licence.upper())
    if known is not None:
        return {
            "license_id": known.id, "license_title": known.title, "license_url": known.url,
            "isopen": True,
        }  # fmt: skip
    url = licence if licence.startswith(("https://", "http://")) else None
    return {"license_id": licence, "license_title": licence, "license_url": url, "isopen": False}


def listed() -> list[dict[str, Any]]:
    """Every licence that is known here."""
    return [
        {
            "id": each.id, "title": each.title, "url": each.url, "status": "active",
            "maintainer": "", "family": "", "domain_content": True, "domain_data": True,
            "domain_software": False, "is_generic": False, "is_okd_compliant": True,
            "is_osi_compliant": False, "od_conformance": "approved", "osd_conformance": "not reviewed",
        }
        for each in _KNOWN
    ]  # fmt: skip
