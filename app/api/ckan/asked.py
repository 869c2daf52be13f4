"""One call of a CKAN action: its parameters from the address, a form or JSON. Refuses what is unknown."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qsl

import orjson
from starlette.requests import Request

from app.api.parameters import UnknownParameter
from app.kit.errors import AppError, Kind
from app.query.refusals import InvalidQuestion, wrong

MOST_BODY_BYTES: Final = 1 << 20
_MOST_PARAMETERS: Final = 100
_MOST_TEXT: Final = 8_000
_MOST_NESTED: Final = 10  # an object in lists in objects is as much as any action takes
_TRUE: Final = frozenset({"true", "yes", "t", "y", "on", "1"})
_FALSE: Final = frozenset({"false", "no", "f", "n", "off", "0", "none", ""})


class BodyUnreadable(AppError):
    """The body of a call is neither a JSON object nor a form."""

    kind = Kind.UNSUPPORTED  # CKAN: a bad request, before any action looks at it
    code = "body_unreadable"
    ja = "本文を読めません。JSONのオブジェクトかフォームで送ってください。"
    en = "The body cannot be read: send a JSON object or a form."


@dataclass(frozen=True, slots=True)
class Call:
    """An action's name and what was given with it, unread."""

    action: str
    given: Mapping[str, Any]

    def check(self, known: frozenset[str]) -> None:
        """Raises `UnknownParameter` with the nearest name."""
        for name in self.given:
            if name not in known:
                raise UnknownParameter.of(name, known)

    def text(self, *names: str) -> str | None:
        """The first of these that is given, as text; empty is not given."""
        for name in names:
            value = self.given.get(name)
            if isinstance(value, int | float) and not isinstance(value, bool):
                value = str(value)
            if value is None or value == "":
                continue
            if not isinstance(value, str):
                raise wrong(name, "文字列で指定してください。", "give text.")
            check_text(name, value)
            return value
        return None

    def needed(self, *names: str) -> str:
        """The same, refused where it is missing."""
        found = self.text(*names)
        if found is None:
            raise wrong(
                names[0], "必須です。指定してください。", "Missing value: give it.", "missing"
            )
        return found

    def flag(self, name: str, *, otherwise: bool = False) -> bool:
        """A truth value in any of CKAN's ways of writing one."""
        value = self.given.get(name)
        if value is None:
            return otherwise
        if str(value).lower() in _TRUE | _FALSE and not isinstance(value, list | dict):
            return str(value).lower() in _TRUE
        raise wrong(name, "true か false を指定してください。", "give true or false.")

    def number(self, name: str, otherwise: int, *, most: int = 2**62) -> int:
        """A whole number from nought; above `most` it is cut to that, as CKAN does."""
        value = self.given.get(name)
        if value is None or value == "":
            return otherwise
        text = str(value)
        if isinstance(value, bool) or not (text.isascii() and text.isdigit() and len(text) < 19):
            raise wrong(name, "0以上の整数です。", "give a whole number, 0 or more.")
        return min(int(text), most)

    def names(self, name: str) -> list[str] | None:
        """Names as a list, as JSON, or parted by commas."""
        value = self.given.get(name)
        if isinstance(value, str) and value.lstrip().startswith("["):
            value = self.json(name)
        if isinstance(value, str):
            value = [each.strip().strip('"') for each in value.split(",") if each.strip()]
        if value is None:
            return None
        if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
            raise wrong(name, "名前の並びを指定してください。", "give a list of names.")
        for each in value:
            check_text(name, each)
        return value

    def json(self, name: str) -> Any:
        """A value that is JSON: as it stands in a body, written out in an address."""
        value = self.given.get(name)
        if not isinstance(value, str) or not value:
            return value or None
        try:
            return orjson.loads(value)
        except orjson.JSONDecodeError:
            raise not_json(name) from None


def not_json(name: str) -> InvalidQuestion:
    """The refusal of text that is no JSON."""
    return wrong(name, "JSONとして読めません。", "is no JSON.", "not_json")


def check_text(name: str, value: str) -> None:
    """Raises `InvalidQuestion` for what PostgreSQL does not hold, or nobody writes."""
    if "\x00" in value:
        raise wrong(name, "NUL文字は使えません。", "A NUL character is not allowed.")
    if len(value) > _MOST_TEXT:
        raise wrong(
            name, f"{_MOST_TEXT}文字以内にしてください。", f"at most {_MOST_TEXT} characters."
        )


async def read_call(action: str, request: Request) -> Call:
    """What is given in the address, and over it what the body says. Raises `BodyUnreadable`."""
    given = _together(parse_qsl(request.scope["query_string"].decode("latin-1"), True))
    if request.method == "POST":
        given |= _read_body(request, await request.body())
    if len(given) > _MOST_PARAMETERS:
        raise BodyUnreadable
    return Call(action, given)


def _read_body(request: Request, body: bytes) -> dict[str, Any]:
    """JSON whatever it is called: curl -d calls it a form, and CKAN's own manual does that."""
    if not body.strip():
        return {}
    try:
        if body.lstrip()[:1] == b"{":
            found = orjson.loads(body)
            if _is_deep(found, _MOST_NESTED):
                raise BodyUnreadable
            return found if isinstance(found, dict) else {}
        if request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
            text = body.decode("utf-8")
            return _together(
                parse_qsl(text, True, errors="strict", max_num_fields=_MOST_PARAMETERS)
            )
    except ValueError:
        raise BodyUnreadable from None
    raise BodyUnreadable


def _is_deep(value: Any, most: int) -> bool:
    """Whether the value holds more lists and objects in each other than `most`."""
    if not isinstance(value, dict | list):
        return False
    inner = value.values() if isinstance(value, dict) else value
    return most == 0 or any(_is_deep(each, most - 1) for each in inner)


def _together(pairs: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """A parameter that is given again is a list, as CKAN reads it."""
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name not in found:
            found[name] = value
        elif isinstance(found[name], list):
            found[name].append(value)
        else:
            found[name] = [found[name], value]
    return found
