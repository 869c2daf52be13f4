"""Licences in the words of CKAN's `license_list` and of its packages. Claims nothing of one that is not
listed."""

from typing import Any

from app.formats import licences


def of_package(licence: str) -> dict[str, Any]:
    """What a package says of its licence; one that is not known is not called open."""
    known = licences.find(licence)
    return {
        "license_id": known.id if known else licence,
        "license_title": known.title_ja if known else licence,
        "license_url": licences.address_of(licence),
        "isopen": known.is_open if known else False,
    }


def listed() -> list[dict[str, Any]]:
    """Every licence that is known here."""
    return [
        {
            "id": each.id, "title": each.title_ja, "url": each.url, "status": "active",
            "maintainer": "", "family": "", "domain_content": True, "domain_data": True,
            "domain_software": False, "is_generic": False, "is_okd_compliant": each.is_open,
            "is_osi_compliant": False, "osd_conformance": "not reviewed",
            "od_conformance": "approved" if each.is_open else "rejected",
        }
        for each in licences.LICENCES
    ]  # fmt: skip
