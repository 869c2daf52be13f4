"""GDAL in a process of its own: it holds the interpreter while it waits for the server's answer."""

from typing import Any

import numpy
import pyogrio
import shapely


def layers(address: str) -> list[str]:
    """The names of what GDAL lists at an address."""
    return [str(name) for name, _ in pyogrio.list_layers(address)]


def read(address: str, layer: str, asked: dict[str, Any]) -> list[dict[str, Any]]:
    """What GDAL reads of a layer: records, with the geometry as WKT."""
    meta, _, shapes, values = pyogrio.raw.read(address, layer=layer, **asked)
    names = [str(name) for name in meta["fields"]]
    found = []
    for at, shape in enumerate(shapely.from_wkb(shapes)):
        record = {name: _plain(column[at]) for name, column in zip(names, values, strict=True)}
        found.append({**record, "wkt": shapely.to_wkt(shape, rounding_precision=6)})
    return found


def described(address: str, layer: str) -> dict[str, Any]:
    """What GDAL knows of a layer without reading it."""
    info = pyogrio.read_info(address, layer=layer, force_feature_count=True)
    bounds = [round(float(edge), 6) for edge in info["total_bounds"]]
    return {"features": info["features"], "kind": info["geometry_type"], "bounds": bounds}


def _plain(value: Any) -> Any:
    if isinstance(value, numpy.datetime64):
        return str(value)
    return value.item() if isinstance(value, numpy.generic) else value
