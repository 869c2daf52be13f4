"""GDAL in a process of its own: it holds the interpreter while it waits for the server's answer."""

from typing import Any


def layers(address: str) -> list[str]:
    """The names of what GDAL lists at an address."""
    import pyogrio

    return [str(name) for name, _ in pyogrio.list_layers(address)]


def read(address: str, layer: str, asked: dict[str, Any]) -> list[dict[str, Any]]:
    """What GDAL reads of a layer: records, with the geometry as WKT and `fid`."""
    import pyogrio
    import shapely

    meta, fids, shapes, values = pyogrio.raw.read(address, layer=layer, return_fids=True, **asked)
    names = [str(name) for name in meta["fields"]]
    found = []
    for at, shape in enumerate(shapely.from_wkb(shapes)):
        record = {name: _plain(column[at]) for name, column in zip(names, values, strict=True)}
        wkt = None if shape is None else shapely.to_wkt(shape, rounding_precision=6)
        found.append({**record, "wkt": wkt, "fid": int(fids[at])})
    return found


def count(address: str, layer: str) -> dict[str, Any]:
    """What GDAL knows of a layer without reading it."""
    import pyogrio

    info = pyogrio.read_info(address, layer=layer, force_feature_count=True)
    return {
        "features": info["features"],
        "bounds": info["total_bounds"],
        "kind": info["geometry_type"],
        "crs": info["crs"],
    }


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") and not hasattr(value, "astype") else value
