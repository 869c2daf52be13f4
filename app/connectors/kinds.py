"""Which kinds there are: our own, and those that other distributions bring as entry points.

An outsider's kind never takes the name of one of ours, and one that cannot be loaded is no kind.
"""

from collections.abc import Mapping
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Final

import structlog

from app.connectors.frame import AnyConnector, Capabilities, Connector, Means, Shape
from app.kit.errors import AppError, Kind

log = structlog.get_logger()
GROUP: Final = "urbanos.connectors"
# Imported when first needed: most processes never meet most kinds.
_OWN: Final[Mapping[str, str]] = {
    "agent": "app.connectors.agent:AgentConnector",
    "ckan": "app.connectors.ckan:CkanConnector",
    "file": "app.connectors.file:FileConnector",
    "fixed_width": "app.connectors.fixed_width:FixedWidthConnector",
    "gtfs_rt": "app.connectors.gtfs_rt:GtfsRtConnector",
    "http_json": "app.connectors.http_json:HttpJsonConnector",
    "linkage": "app.connectors.linkage:LinkageConnector",
    "mqtt": "app.connectors.mqtt:MqttConnector",
    "ngsi": "app.connectors.ngsi:NgsiConnector",
    "ogc": "app.connectors.ogc:OgcConnector",
    "soap": "app.connectors.soap:SoapConnector",
    "sql": "app.connectors.sql:SqlConnector",
    "xml_feed": "app.connectors.xml_feed:XmlFeedConnector",
}


class KindUnknown(AppError):
    """No such kind here."""

    kind = Kind.INVALID
    code = "connector_kind_unknown"
    ja = "コネクタ種別 {connector} はありません。使えるのは {known} です。"
    en = "There is no connector kind {connector}. There are {known}."


class KindBroken(AppError):
    """A kind let out what is no refusal. It may be anybody's, and what it says may hold a secret."""

    kind = Kind.UNAVAILABLE
    code = "connector_kind_broken"
    ja = "コネクタ種別 {connector} に不具合があります（{error}）。種別の提供者に連絡してください。"
    en = "The connector kind {connector} is broken ({error}). Tell whoever provides it."


class contained:  # noqa: N801 - a block, as `contextmanager` makes them, and quicker
    """Work of a kind, whose own faults end here: they are told without their words."""

    __slots__ = ("_connector",)

    def __init__(self, connector: AnyConnector) -> None:
        self._connector = connector

    def __enter__(self) -> None:
        pass

    def __exit__(self, _: object, exc: BaseException | None, __: object) -> None:
        if isinstance(exc, Exception) and not isinstance(exc, AppError):
            kind = self._connector.kind
            raise KindBroken(connector=kind, error=type(exc).__name__) from None


class Kinds:
    """The kinds of one process. `more` are known beside those that are installed."""

    def __init__(self, more: Mapping[str, type[AnyConnector]] | None = None) -> None:
        self._loaded: dict[str, type[AnyConnector]] = dict(more or {})
        self._found: dict[str, EntryPoint] | None = None

    def names(self) -> list[str]:
        """Every kind, in the order of the alphabet."""
        return sorted({*_OWN, *self._installed(), *self._loaded})

    def get(self, name: str) -> type[AnyConnector]:
        """The class of a kind. Raises `KindUnknown`."""
        if name not in self._loaded:
            found = self._load(name)
            if found is None:
                raise KindUnknown(connector=name, known=", ".join(self.names()))
            self._loaded[name] = found
        return self._loaded[name]

    def every(self) -> list[type[AnyConnector]]:
        """The classes of all kinds that can be loaded."""
        found = []
        for name in self.names():
            try:
                found.append(self.get(name))
            except KindUnknown:
                continue  # it is installed, and broken; the log says why
        return found

    def _load(self, name: str) -> type[AnyConnector] | None:
        if name in _OWN:
            module, _, member = _OWN[name].partition(":")
            return _checked(name, getattr(import_module(module), member))
        point = self._installed().get(name)
        if point is None:
            return None
        try:
            return _checked(name, point.load())
        except (ImportError, AttributeError, SyntaxError, TypeError, ValueError) as exc:
            log.warning("connector_kind.unusable", connector=name, error=type(exc).__name__)
            return None

    def _installed(self) -> dict[str, EntryPoint]:
        if self._found is None:
            points = entry_points(group=GROUP)
            self._found = {point.name: point for point in points if point.name not in _OWN}
        return self._found


def _checked(name: str, found: object) -> type[AnyConnector]:
    if not (isinstance(found, type) and issubclass(found, Connector)):
        raise TypeError("it is no connector")
    shapes = (getattr(found, "settings_shape", None), getattr(found, "selection_shape", None))
    if not all(isinstance(each, type) and issubclass(each, Shape) for each in shapes):
        raise TypeError("its settings or selection are no shape")
    if getattr(found, "kind", None) != name:
        raise ValueError("it has another name")
    if not isinstance(getattr(found, "capabilities", None), Capabilities):
        raise TypeError("it does not say what it can do")
    return found


def schema_of(shape: type[Shape]) -> dict[str, Any]:
    """The JSON Schema of settings or a selection; secrets are `writeOnly` in it."""
    return shape.model_json_schema(mode="validation")


def opened(kind: type[AnyConnector], given: Mapping[str, Any], means: Means) -> AnyConnector:
    """A connector with these settings, secrets among them. Raises pydantic's `ValidationError`."""
    return kind(kind.settings_shape.model_validate(dict(given)), means)
