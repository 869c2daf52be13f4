"""GeoJSON (RFC 7946): features as PostgreSQL wrote them, one a line, in their collection."""

from typing import BinaryIO, Final

_OPENING: Final = b'{"type":"FeatureCollection","features":[\n'
_CLOSING: Final = b"\n]}\n"


def write_geojson(features: BinaryIO, target: BinaryIO) -> None:
    """Put the lines into a collection; their bytes stay as they are."""
    target.write(_OPENING)
    for at, line in enumerate(features):
        if at:
            target.write(b",\n")
        target.write(line.rstrip(b"\n"))
    target.write(_CLOSING)
