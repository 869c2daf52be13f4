"""The conformance classes that this server claims, each declared beside the code that keeps it."""

from typing import Final

FEATURES: Final = "http://www.opengis.net/spec/ogcapi-features-1/1.0/conf/"
CRS: Final = "http://www.opengis.net/spec/ogcapi-features-2/1.0/conf/"
FILTERING: Final = "http://www.opengis.net/spec/ogcapi-features-3/1.0/conf/"
SCHEMAS: Final = "http://www.opengis.net/spec/ogcapi-features-5/1.0/conf/"
