"""What NGSIv2 and NGSI-LD say, each in its way: entities, filters, subscriptions. Asks nobody.

NGSIv2 is the Orion Context Broker API; NGSI-LD is ETSI GS CIM 009.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal, TypeAlias
from urllib.parse import quote

from app.query.question import Both, Compare, Condition

Version: TypeAlias = Literal["v2", "ld"]

# What a filter's own signs are made of (NGSIv2, "Simple Query Language"; CIM 009, 4.9).
_SIGNS: Final = frozenset("<>=\"';()&|!~%,:\\")
_OPERATORS: Final = {"=": "==", ">": ">", ">=": ">=", "<": "<", "<=": "<="}
_LD_CONTEXT: Final = '; rel="http://www.w3.org/ns/json-ld#context"; type="application/ld+json"'
# An entity's own members, which are no attributes.
_OWN: Final = frozenset({"id", "type"})
_VALUES: Final = ("value", "object", "languageMap", "vocab", "json")  # CIM 009, 4.5


def path_of(version: Version, resource: str) -> str:
    """Where a resource lies below the broker's address."""
    return f"v2/{resource}" if version == "v2" else f"ngsi-ld/v1/{resource}"


def link_to(context: str | None) -> dict[str, str]:
    """The header that says what short names mean (CIM 009, 6.3.5)."""
    return {"Link": f"<{context}>{_LD_CONTEXT}"} if context else {}


def row_of(entity: Mapping[str, Any], *, is_normalized: bool) -> dict[str, Any]:
    """An entity as a row: its attributes' values, and what they say beside a value as `name.member`."""
    if not is_normalized:
        return {name: value for name, value in entity.items() if name != "@context"}
    row = {name: entity[name] for name in _OWN if name in entity}
    for name, attribute in entity.items():
        if name in _OWN or name == "@context":
            continue
        if not isinstance(attribute, Mapping):
            row[name] = attribute  # scope, createdAt and their like
            continue
        row[name] = next((attribute[each] for each in _VALUES if each in attribute), None)
        row |= _beside(name, attribute)
    return row


def _beside(name: str, attribute: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for member in ("observedAt", "unitCode"):
        if member in attribute:
            found[f"{name}.{member}"] = attribute[member]
    metadata = attribute.get("metadata")
    for member, told in metadata.items() if isinstance(metadata, Mapping) else ():
        found[f"{name}.{member}"] = told.get("value") if isinstance(told, Mapping) else told
    return found


def is_deletion(entity: Mapping[str, Any]) -> bool:
    """Whether a notification tells of an entity's end."""
    told = entity.get("alterationType")
    said = told.get("value") if isinstance(told, Mapping) else told
    return said == "entityDelete" or "deletedAt" in entity


def filter_of(condition: Condition | None, pushed: frozenset[str]) -> tuple[list[Compare], bool]:
    """The comparisons of a condition that a broker answers as we do, and whether they are all.

    Those alone of whose attributes somebody has said that they are of the field's own JSON type.
    """
    if condition is None:
        return [], True
    if isinstance(condition, Both):
        parts = [filter_of(each, pushed) for each in condition.parts]
        return [one for found, _ in parts for one in found], all(whole for _, whole in parts)
    if isinstance(condition, Compare) and _can_ask(condition, pushed):
        return [condition], True
    return [], False


def together(comparisons: Sequence[Compare]) -> Condition | None:
    """All of them as one condition."""
    if len(comparisons) < 2:
        return comparisons[0] if comparisons else None
    return Both(tuple(comparisons))


def _can_ask(one: Compare, pushed: frozenset[str]) -> bool:
    if one.op not in _OPERATORS:
        return False
    if one.field.name == "id":
        is_text = isinstance(one.value, str)
        is_id = is_text and not _SIGNS & (set(str(one.value)) - {":"})
        return one.op == "=" and is_id and "id" in pushed
    is_plain = not isinstance(one.value, str) or not _SIGNS & set(one.value)
    is_of_kind = isinstance(one.value, str) or _is_number(one.value)
    # Texts are ordered otherwise by each broker.
    is_ordered = one.op == "=" or _is_number(one.value)
    return one.field.name in pushed and is_plain and is_of_kind and is_ordered


def _is_number(value: object) -> bool:
    return not isinstance(value, bool | str | datetime) and hasattr(value, "__int__")


def asked(comparisons: Sequence[Compare], version: Version) -> dict[str, str]:
    """Comparisons as parameters of a query."""
    told: dict[str, str] = {}
    terms = []
    for one in comparisons:
        if one.field.name == "id":
            told["id"] = str(one.value)
            continue
        terms.append(f"{one.field.name}{_OPERATORS[one.op]}{_literal(one.value, version)}")
    return {**told, **({"q": ";".join(terms)} if terms else {})}


def _literal(value: object, version: Version) -> str:
    if not isinstance(value, str):
        return str(value)
    mark = "'" if version == "v2" else '"'
    return f"{mark}{value}{mark}"


@dataclass(frozen=True, slots=True)
class Wanted:
    """Of which entities a broker is to tell, and how."""

    type: str
    pattern: str | None
    attributes: Sequence[str]
    q: str | None
    is_normalized: bool
    deletions: bool


def v2_subscription(
    wanted: Wanted, to: tuple[str, Mapping[str, str]], until: datetime
) -> dict[str, Any]:
    """NGSIv2, "Subscriptions"."""
    url, headers = to
    condition: dict[str, Any] = {"expression": {"q": wanted.q}} if wanted.q else {}
    notification: dict[str, Any] = {
        "httpCustom": {"url": url, "headers": dict(headers)},
        "attrsFormat": "normalized" if wanted.is_normalized else "keyValues",
    }
    if wanted.attributes:
        notification["attrs"] = list(wanted.attributes)
    if wanted.deletions:
        condition["alterationTypes"] = ["entityCreate", "entityChange", "entityDelete"]
        notification["attrs"] = [*(wanted.attributes or ["*"]), "alterationType"]
    subject: dict[str, Any] = {
        "entities": [{"idPattern": wanted.pattern or ".*", "type": wanted.type}]
    }
    if condition:
        subject["condition"] = condition
    return {"subject": subject, "notification": notification, "expires": _moment(until)}


def ld_subscription(
    wanted: Wanted, to: tuple[str, Mapping[str, str]], until: datetime
) -> dict[str, Any]:
    """CIM 009, 5.2.12 and 5.2.14."""
    url, headers = to
    entities = {"type": wanted.type, **({"idPattern": wanted.pattern} if wanted.pattern else {})}
    info = [{"key": name, "value": value} for name, value in headers.items()]
    notification: dict[str, Any] = {
        "format": "normalized" if wanted.is_normalized else "keyValues",
        "endpoint": {"uri": url, "accept": "application/json", "receiverInfo": info},
    }
    if wanted.attributes:
        notification["attributes"] = list(wanted.attributes)
    made: dict[str, Any] = {
        "type": "Subscription", "entities": [entities], "notification": notification,
        "expiresAt": _moment(until),
    }  # fmt: skip
    if wanted.deletions:
        made["notificationTrigger"] = ["entityCreated", "entityUpdated", "entityDeleted"]
    return {**made, "q": wanted.q} if wanted.q else made


def subscription_path(version: Version, name: str) -> str:
    """Where one subscription lies."""
    return path_of(version, f"subscriptions/{quote(name, safe='')}")


def _moment(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%S.000Z")
