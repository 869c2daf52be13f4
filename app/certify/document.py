"""An OpenAPI document as somebody gave it: read within bounds, its own references followed.

It never fetches anything: a reference that leads out of the document is told, not followed.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import orjson
import yaml  # type: ignore[import-untyped]

from app.kit.errors import AppError, Kind

LARGEST: Final = 16 * 1024 * 1024
_LONGEST_CHAIN: Final = 50
_DEEPEST: Final = 200
_MOST_EVENTS: Final = 4_000_000
LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # in C where there is one: 8 x faster
METHODS: Final = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
Node = Any


class DocumentUnreadable(AppError):
    """It is no OpenAPI document of version 3."""

    kind = Kind.INVALID
    code = "openapi_unreadable"
    ja = "OpenAPI 3 の文書として読めません（{why_ja}）。YAML か JSON で保存し直してください。"
    en = "This cannot be read as an OpenAPI 3 document ({why}). Save it as YAML or JSON."


@dataclass(frozen=True, slots=True)
class Document:
    """A document and its parts."""

    root: Mapping[str, Any]

    @classmethod
    def read(cls, text: bytes) -> "Document":
        """From JSON or YAML. Raises `DocumentUnreadable`."""
        if len(text) > LARGEST:
            raise DocumentUnreadable(why="it is over 16 MB", why_ja="16MBを超えています")
        root = _parsed(text)
        version = root.get("openapi") if isinstance(root, Mapping) else None
        if not (isinstance(version, str) and version.startswith("3.")):
            raise DocumentUnreadable(
                why="no member openapi: 3.x", why_ja="openapi: 3.x がありません"
            )
        if not isinstance(root.get("paths"), Mapping):
            raise DocumentUnreadable(why="no paths", why_ja="paths がありません")
        return cls(root)

    def resolved(self, node: Node) -> Node:
        """What a node stands for; the reference itself where it leads out or nowhere."""
        for _ in range(_LONGEST_CHAIN):
            if not (isinstance(node, Mapping) and isinstance(node.get("$ref"), str)):
                return node
            found = self._at(node["$ref"])
            if found is None:
                return node
            node = found
        return node

    def operations(self) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
        """Path, method and operation of each, the path's own parameters among the operation's."""
        for path, given in self.root["paths"].items():
            item = self.resolved(given)
            if not isinstance(item, Mapping):
                continue
            for method in METHODS:
                operation = item.get(method)
                if isinstance(operation, Mapping):
                    shared = [*_list(item.get("parameters")), *_list(operation.get("parameters"))]
                    yield str(path), method, {**operation, "parameters": shared}

    def bases(self) -> list[str]:
        """The paths before the paths: those of its servers' addresses."""
        found = [""]
        for server in _list(self.root.get("servers")):
            url = server.get("url") if isinstance(server, Mapping) else None
            try:
                path = urlsplit(str(url or "")).path.rstrip("/")
            except ValueError:
                continue
            if path and path not in found:
                found.append(path)
        return found

    def _at(self, reference: str) -> Node:
        if not reference.startswith("#/"):
            return None
        node: Node = self.root
        for part in reference[2:].split("/"):
            name = unquote(part).replace("~1", "/").replace("~0", "~")
            node = node.get(name) if isinstance(node, Mapping) else None
        return node


def _parsed(text: bytes) -> Any:
    try:
        return orjson.loads(text)
    except ValueError:
        pass
    try:
        _check_depth(text)
        return yaml.load(text, Loader=LOADER)  # noqa: S506 - the safe loader, or the same in C
    except (yaml.YAMLError, ValueError, RecursionError, TypeError) as exc:
        why = str(getattr(exc, "problem", None) or type(exc).__name__)[:200]
        mark = getattr(exc, "problem_mark", None)
        line = None if mark is None else mark.line + 1
        raise DocumentUnreadable(
            why=why if line is None else f"line {line}: {why}",
            why_ja=why if line is None else f"{line}行目: {why}",
        ) from None


def _check_depth(text: bytes) -> None:
    """The loader in C calls itself for each level, and falls out of its stack."""
    depth = 0
    for number, event in enumerate(yaml.parse(text, Loader=LOADER)):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > _DEEPEST or number > _MOST_EVENTS:
            raise DocumentUnreadable(why="it is nested too deeply", why_ja="入れ子が深すぎます")


def _list(node: Node) -> list[Any]:
    return list(node) if isinstance(node, list | tuple) else []
