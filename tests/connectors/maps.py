"""Map servers as they are met: OGC API - Features, and WFS as GeoServer and MapServer answer."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.connectors.contract import Row
from tests.connectors.sources import Asked, Web, reply, web

MOST = 2  # that a server gives at a time, whatever is asked for
_GML = 'xmlns:gml="http://www.opengis.net/gml/3.2" xmlns:wfs="http://www.opengis.net/wfs/2.0"'
_GML31 = 'xmlns:gml="http://www.opengis.net/gml" xmlns:wfs="http://www.opengis.net/wfs"'
EXCEPTION = b"""<?xml version="1.0"?><ows:ExceptionReport xmlns:ows="http://www.opengis.net/ows/1.1"
version="2.0.0"><ows:Exception exceptionCode="%s" locator="typeName"><ows:ExceptionText>hidden words
</ows:ExceptionText></ows:Exception></ows:ExceptionReport>"""


@dataclass(slots=True)
class Maps:
    """Features of one collection; `place` is the GML or GeoJSON of each, where there is one."""

    rows: list[Row] = field(default_factory=list)
    places: list[Any] = field(default_factory=list)
    matched: int | str | None = None  # where it lies about how many there are
    ignores_start: bool = False
    bounds: str = ""  # GML of the bounds of all

    def features(self, asked: Asked) -> bytes:
        """OGC API - Features."""
        if asked.path.endswith("/collections"):
            return reply({"collections": [{"id": "shelters", "title": "避難所"}], "links": []})
        if asked.path.endswith("/conformance"):
            return reply({"conformsTo": []})
        if not asked.path.endswith("/shelters/items"):
            return reply(b"", "404 Not Found")
        tag = f'"{len(self.rows)}"'
        if asked.headers.get("if-none-match") == tag:
            return reply(b"", "304 Not Modified", ETag=tag)
        start, most = int(asked.query.get("start", "0")), min(int(asked.query["limit"]), 100)
        shown = self.rows[start : start + most]
        links = [{"rel": "next", "type": "text/html", "href": "/nowhere"}]
        if start + most < len(self.rows):
            links.append({"rel": "next", "href": f"{asked.path}?limit={most}&start={start + most}"})
        found = [{"type": "Feature", "geometry": self._place(at), "properties": row}
                 for at, row in enumerate(shown, start=start)]  # fmt: skip
        told = {"type": "FeatureCollection", "features": found, "links": links,
                "numberMatched": self.matched or len(self.rows)}  # fmt: skip
        return reply(told, kind="application/geo+json", ETag=tag)

    def wfs(self, asked: Asked) -> bytes:
        """WFS 2.0 (GML 3.2 by pages, or GeoJSON), and 1.1 (GML 3.1.1, all at once)."""
        query = {name.lower(): value for name, value in asked.query.items()}
        what = query.get("request", "").lower()
        if what == "getcapabilities":
            return _xml(_CAPABILITIES)
        if query.get("typenames", query.get("typename")) != "app:shelters":
            return _xml(EXCEPTION % b"InvalidParameterValue")
        if what == "describefeaturetype":
            return _xml(_SCHEMA)
        is_two = query["version"] == "2.0.0"
        start = 0 if self.ignores_start else int(query.get("startindex", "0"))
        most = min(int(query["count"]), MOST) if is_two else len(self.rows)
        shown = range(start, min(start + most, len(self.rows)))
        if "outputformat" in query:
            return reply(self._json(shown))
        return _xml(self._gml(shown, is_two=is_two).encode())

    def _json(self, shown: range) -> Any:
        crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::6668"}}
        found = [{"type": "Feature", "geometry": self._place(at), "properties": self.rows[at]}
                 for at in shown]  # fmt: skip
        return {"type": "FeatureCollection", "features": found, "crs": crs,
                "numberMatched": len(self.rows)}  # fmt: skip

    def _gml(self, shown: range, *, is_two: bool) -> str:
        made = []
        for at in shown:
            fields = "".join(f"<app:{k}>{_escaped(v)}</app:{k}>" for k, v in self.rows[at].items())
            place = self._place(at)
            shape = f"<app:geom>{place}</app:geom>" if place else ""
            made.append(f'<app:shelters gml:id="s.{at}">{fields}{shape}</app:shelters>')
        if not is_two:
            inner = f"<gml:featureMembers>{''.join(made)}</gml:featureMembers>"
            return (f'<wfs:FeatureCollection {_GML31} xmlns:app="http://app.test" '
                    f'numberOfFeatures="{len(made)}">{self.bounds}{inner}</wfs:FeatureCollection>')  # fmt: skip
        matched = len(self.rows) if self.matched is None else self.matched
        inner = "".join(f"<wfs:member>{each}</wfs:member>" for each in made)
        return (f'<wfs:FeatureCollection {_GML} xmlns:app="http://app.test" '
                f'numberMatched="{matched}" numberReturned="{len(made)}">'
                f"{self.bounds}{inner}</wfs:FeatureCollection>")  # fmt: skip

    def _place(self, at: int) -> Any:
        return self.places[at] if at < len(self.places) else None


@asynccontextmanager
async def maps(rows: list[Row], *, by_wfs: bool) -> AsyncIterator[tuple[Maps, Web]]:
    """A map server on a free port."""
    made = Maps(list(rows))
    async with web(made.wfs if by_wfs else made.features) as server:
        yield made, server


def _escaped(value: Any) -> str:
    return str(value).replace("&", "&amp;").replace("<", "&lt;")


def _xml(body: bytes) -> bytes:
    return reply(body, kind="text/xml; charset=utf-8")


def as_json(value: Any) -> str:
    """A value as it stands in a row of texts."""
    return str(json.loads(json.dumps(value)))


_CAPABILITIES = """<?xml version="1.0" encoding="UTF-8"?>
<wfs:WFS_Capabilities xmlns:wfs="http://www.opengis.net/wfs/2.0" version="2.0.0"
 xmlns:ows="http://www.opengis.net/ows/1.1"><ows:OperationsMetadata>
<ows:Operation name="GetFeature"><ows:Parameter name="outputFormat"><ows:AllowedValues>
<ows:Value>application/gml+xml; version=3.2</ows:Value><ows:Value>application/json</ows:Value>
</ows:AllowedValues></ows:Parameter></ows:Operation></ows:OperationsMetadata>
<wfs:FeatureTypeList><wfs:FeatureType xmlns:app="http://app.test"><wfs:Name>app:shelters</wfs:Name>
<wfs:Title>避難所</wfs:Title><wfs:DefaultCRS>urn:ogc:def:crs:EPSG::6668</wfs:DefaultCRS>
</wfs:FeatureType><wfs:FeatureType><wfs:Name>app:broken</wfs:Name></wfs:FeatureType>
</wfs:FeatureTypeList></wfs:WFS_Capabilities>""".encode()
_SCHEMA = b"""<?xml version="1.0"?><xsd:schema xmlns:xsd="http://www.w3.org/2001/XMLSchema">
<xsd:complexType name="sheltersType"><xsd:complexContent><xsd:extension base="gml:AbstractFeatureType">
<xsd:sequence><xsd:element name="no" type="xsd:string"/><xsd:element name="name" type="xsd:string"/>
<xsd:element name="geom" type="gml:PointPropertyType"/></xsd:sequence></xsd:extension>
</xsd:complexContent></xsd:complexType></xsd:schema>"""
