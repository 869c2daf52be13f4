"""What a SOAP service answers: rows, or a fault told apart from every other failure. Asks nobody."""

from collections.abc import Sequence
from typing import Any, Final

from app.connectors.errors import SourceBroken, SourceRefused
from app.connectors.safe_xml import document, local, text
from app.connectors.web import check_is_no_page, check_status
from app.formats.individual_number import holds_number
from app.kit.outbound import Answer

_ENVELOPES: Final = (
    "{http://schemas.xmlsoap.org/soap/envelope/}",  # 1.1
    "{http://www.w3.org/2003/05/soap-envelope}",  # 1.2
)
_INSTANCE: Final = "{http://www.w3.org/2001/XMLSchema-instance}"
# WSS: SOAP Message Security 1.1, 12
_CREDENTIALS: Final = frozenset((
    "FailedAuthentication", "InvalidSecurity", "InvalidSecurityToken", "FailedCheck",
    "SecurityTokenUnavailable", "UnsupportedSecurityToken", "UnsupportedAlgorithm",
))  # fmt: skip
_LONGEST_TEXT: Final = 200
_LONGEST_NAME: Final = 200  # of a member within members; it stands before each of its own


def envelope_of(answer: Answer, hidden: Sequence[str] = ()) -> Any:
    """The envelope of an answer that is none of a fault. Raises `SourceError`.

    `hidden`: words that no message may repeat, though the source does.
    """
    kind = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
    # SOAP 1.1, 6.2 sends faults with 500; 1.2 (part 2, 7.5.2.2) with 400 as well.
    if answer.status not in (200, 400, 500) or (answer.status != 200 and "xml" not in kind):
        check_status(answer.host, answer.status, answer.headers)
    check_is_no_page(answer)
    if kind.startswith("multipart/"):
        raise SourceBroken(source=answer.host, at="format", detail="SOAP (MTOM)")
    root = document(answer.host, answer.body, "SOAP")
    name_space = next((each for each in _ENVELOPES if root.tag == f"{each}Envelope"), None)
    body = root.find(f"{name_space}Body") if name_space is not None else None
    if name_space is None or body is None:
        check_status(answer.host, answer.status, answer.headers)
        raise SourceBroken(source=answer.host, at="format", detail="SOAP")
    fault = body.find(f"{name_space}Fault")
    if fault is not None:
        raise _fault(answer.host, fault, hidden)
    check_status(answer.host, answer.status, answer.headers)
    return root


class _TooDeep(Exception):
    """Members within members without end."""


def rows_of(host: str, envelope: Any, path: Sequence[str]) -> list[dict[str, Any]]:
    """The elements at a path below the first of the body; without one, that first itself.

    Raises `SourceBroken` for what no table holds."""
    body = next(each for each in envelope if local(each) == "Body")
    found = list(body)[:1]
    for name in path:
        found = [child for each in found for child in each if local(child) == name]
    try:
        return [_record(each) for each in found]
    except _TooDeep as exc:
        raise SourceBroken(source=host, at="format", detail="SOAP") from exc


def _record(element: Any) -> dict[str, Any]:
    """An element's members, those within members by names with dots, several of one as a list;
    an attribute by its name behind an @, and text alone as `value`."""
    made: dict[str, Any] = {
        f"@{name.rpartition('}')[2]}": value
        for name, value in element.attrib.items()
        if not name.startswith(_INSTANCE)
    }
    if not len(element):
        made["value"] = text(element)
    for child in element:
        _put(made, local(child), child)
    return made


def _put(made: dict[str, Any], name: str, element: Any) -> None:
    if len(element):
        if len(name) > _LONGEST_NAME:
            raise _TooDeep
        for child in element:
            _put(made, f"{name}.{local(child)}", child)
        return
    is_nil = element.get(f"{_INSTANCE}nil") in ("true", "1")
    value = None if is_nil else text(element)
    before = made.get(name)
    if isinstance(before, list):
        before.append(value)
    else:
        made[name] = value if name not in made else [before, value]


def _fault(host: str, fault: Any, hidden: Sequence[str]) -> SourceBroken | SourceRefused:
    """Which of them a fault is, by its codes (1.1: faultcode; 1.2: Code and Subcodes)."""
    codes = [
        (text(each) or "").rpartition(":")[2]
        for each in fault.iter()
        if local(each) in ("faultcode", "Value")
    ]
    said = next((text(each) for each in fault.iter() if local(each) in ("faultstring", "Text")), "")
    if any(code in _CREDENTIALS for code in codes):
        return SourceRefused(source=host, at="credentials")
    if "MessageExpired" in codes:
        return SourceRefused(source=host, at="clock")
    is_its_own = any(code.partition(".")[0] in ("Server", "Receiver") for code in codes[:1])
    at = "server" if is_its_own else "fault"
    return SourceBroken(source=host, at=at, detail=_bounded(said or "", hidden))


def _bounded(said: str, hidden: Sequence[str]) -> str:
    """A sentence that may be shown: short, of one line, without a number of anybody or a secret."""
    line = _of_one_line(said)
    if not line or holds_number(line.encode()):
        return "-"
    if any(_of_one_line(word) in line for word in hidden):
        return "-"
    return line if len(line) <= _LONGEST_TEXT else line[: _LONGEST_TEXT - 1] + "…"


def _of_one_line(said: str) -> str:
    return "".join(sign if sign.isprintable() else " " for sign in " ".join(said.split()))
