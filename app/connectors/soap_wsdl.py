"""What a WSDL describes, as zeep reads it: messages to send, and what answers are to look like.

Asks nobody: a document that is missing is named to whoever may ask, and no message is sent.
"""

import logging
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from app.connectors.errors import SourceBroken, SourceChanged
from app.connectors.safe_xml import local

_DEPTH: Final = 6
_MOST_LOOKED_AT: Final = 5_000  # elements: types that hold each other have no end
# What zeep lets out where a WSDL, or an argument, is not as it expects.
_ODD: Final = (
    LookupError, ValueError, TypeError, AttributeError, NotImplementedError, RecursionError,
    AssertionError, ArithmeticError,
)  # fmt: skip

# Of a value that is not of its type it logs the value, which is the source's.
logging.getLogger("zeep").setLevel(logging.CRITICAL)


class Missing(Exception):
    """A document that another one leads to, and that is not here yet."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.url = url


class Message(Exception):  # zeep hands a message to what sends it, and waits there for the answer
    """A message as it is to be sent."""

    def __init__(self, address: str, body: bytes, headers: Mapping[str, str]) -> None:
        super().__init__(address)
        self.address, self.body, self.headers = address, body, headers


@dataclass(frozen=True, slots=True)
class _Documents:
    """What zeep takes for its way to the Web: it leads nowhere."""

    held: Mapping[str, bytes]

    def load(self, url: str) -> bytes:
        """A document that is here."""
        if url not in self.held:
            raise Missing(url)
        return self.held[url]

    def post_xml(self, address: str, envelope: Any, headers: Mapping[str, str]) -> None:
        """Hand out what would be sent."""
        from zeep.wsdl.utils import etree_to_string  # noqa: PLC0415 - slow, and few speak SOAP

        raise Message(address, etree_to_string(envelope), dict(headers))


@dataclass(frozen=True, slots=True)
class Described:
    """One port of one service."""

    host: str
    client: Any
    port: Any

    @property
    def address(self) -> str:
        """Where the WSDL says that the service is."""
        return str(self.port.binding_options.get("address") or "")

    @property
    def operations(self) -> list[str]:
        """By the names of the alphabet."""
        return sorted(self.port.binding.all())

    def message(
        self, address: str, operation: str, arguments: Mapping[str, Any], security: Any
    ) -> Message:
        """What asks for an operation. Raises `SourceChanged` where the WSDL has it otherwise."""
        from zeep.exceptions import Error, ValidationError  # noqa: PLC0415

        self._operation(operation)
        self.client.wsse = security
        try:
            self.client.create_service(self.port.binding.name.text, address)[operation](**arguments)
        except Message as made:
            if all(each.isascii() and each.isprintable() for each in made.headers.values()):
                return made
            raise SourceBroken(source=self.host, at="format", detail="soapAction") from None
        except ValidationError as exc:
            at = ".".join(map(str, exc.path)) or operation
            raise SourceChanged(source=self.host, at="shape", detail=at[:100]) from exc
        except (Error, *_ODD) as exc:
            raise SourceChanged(source=self.host, at="shape", detail=operation) from exc
        raise SourceBroken(source=self.host, at="format", detail="WSDL")

    def check_rows(self, operation: str, path: tuple[str, ...]) -> None:
        """That an answer can have rows there. Raises `SourceChanged`; where any element may stand,
        nothing is said."""
        level = getattr(self._operation(operation).output, "body", None)
        for name in path:
            named = _children(level)
            if None in named:
                return
            if name not in named:
                raise SourceChanged(source=self.host, at="shape", detail="/".join(path))
            level = named[name]

    def check_answer(self, operation: str, envelope: Any, path: tuple[str, ...]) -> None:
        """That an answer without rows is one of this WSDL. Raises `SourceChanged`."""
        from zeep.exceptions import Error  # noqa: PLC0415
        from zeep.wsdl.messages import DocumentMessage  # noqa: PLC0415

        found = self._operation(operation)
        body = next((each for each in envelope if local(each) == "Body"), ())
        named = getattr(getattr(found.output, "body", None), "name", None)
        is_other = [local(each) for each in body] != [named]
        if isinstance(found.output, DocumentMessage) and named is not None and is_other:
            raise SourceChanged(source=self.host, at="shape", detail=operation)
        try:
            found.process_reply(envelope)
        except (Error, *_ODD) as exc:
            raise SourceChanged(source=self.host, at="shape", detail="/".join(path)) from exc

    def repeated(self, operation: str) -> tuple[tuple[str, ...], list[dict[str, str]]]:
        """Where an answer has several of one element, and what each of them has."""
        start = getattr(self._operation(operation).output, "body", None)
        for path, element in islice(_within(start, (), _DEPTH), _MOST_LOOKED_AT):
            if getattr(element, "accepts_multiple", False):
                fields = [
                    {"name": name, "type": str(getattr(getattr(each, "type", None), "name", ""))}
                    for name, each in _children(element).items()
                    if name is not None
                ]
                return path, fields
        return (), []

    def _operation(self, name: str) -> Any:
        if name not in self.port.binding.all():
            raise SourceChanged(source=self.host, at="shape", detail=name)
        return self.port.binding.get(name)


def describe(
    host: str, wsdl: str, held: Mapping[str, bytes], service: str | None, port: str | None
) -> Described:
    """What the documents describe. Raises `Missing`, `SourceBroken` and `SourceChanged`."""
    from zeep import Client, Settings  # noqa: PLC0415
    from zeep.exceptions import Error  # noqa: PLC0415

    # It warns of what it passes over, in words of the source's; whoever asks for that is told.
    warnings.filterwarnings("ignore", category=UserWarning, module=r"zeep\.wsdl")
    settings = Settings(strict=True, forbid_dtd=True, forbid_entities=True)
    try:
        client = Client(wsdl, transport=_Documents(held), settings=settings)
        services = client.wsdl.services
    except (Error, *_ODD) as exc:
        raise SourceBroken(source=host, at="format", detail="WSDL") from exc
    for name, each in services.items():
        if service in (None, name):
            for called, its in each.ports.items():
                if port in (None, called) and _is_soap(its):
                    return Described(host, client, its)
    raise SourceChanged(source=host, at="shape", detail=port or service or "soap:address")


def _is_soap(port: Any) -> bool:
    from zeep.wsdl.bindings import Soap11Binding, Soap12Binding  # noqa: PLC0415

    return isinstance(port.binding, Soap11Binding | Soap12Binding)


def _children(element: Any) -> dict[str | None, Any]:
    """The elements within one by their names; None among them where any may stand."""
    found: dict[str | None, Any] = {}
    for name, each in getattr(getattr(element, "type", None), "elements", ()):
        is_any = type(each).__name__.startswith("Any")
        found[None if is_any else getattr(each, "name", None) or name] = each
    return found


def _within(
    element: Any, path: tuple[str, ...], depth: int
) -> Iterator[tuple[tuple[str, ...], Any]]:
    """What stands within, the nearer before the farther."""
    its = [((*path, name), each) for name, each in _children(element).items() if name is not None]
    yield from its
    if depth > 1:
        for further, each in its:
            yield from _within(each, further, depth - 1)
