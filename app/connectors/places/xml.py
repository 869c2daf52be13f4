"""XML from outside, small enough to be held whole. It follows no entity and reads no DTD."""

from typing import TYPE_CHECKING

from app.connectors.errors import SourceBroken

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element


def parsed(body: bytes, host: str, what: str) -> "Element":
    """The root. Raises `SourceBroken` for what is no XML, or no harmless one."""
    from xml.etree.ElementTree import ParseError  # noqa: PLC0415

    from defusedxml import DefusedXmlException  # noqa: PLC0415
    from defusedxml.ElementTree import fromstring  # noqa: PLC0415

    try:
        root: Element = fromstring(body, forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError, LookupError) as exc:
        raise SourceBroken(source=host, at="format", detail=what) from exc
    return root
