"""Archives that nobody should take in: what was done to each, by the words that refuse it."""

import json
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.tasks.owner_import import Report
from tests.moving.forging import members_of, written
from tests.moving.home import Home, manifest_of
from tests.world import SAKAI, World


@dataclass(frozen=True, slots=True)
class Move:
    """A move that was made: the archive, the report, and the archive of the new home."""

    home: Home
    here: World
    there: World
    archive: Path
    again: Path
    kid: str
    report: Report


def _changed(of: Move, name: str, data: bytes | None) -> dict[str, bytes]:
    files = members_of(of.archive)
    if data is None:
        del files[name]
        return files
    return {**files, name: data}


def _csv(of: Move) -> str:
    return f"data/datasets/{of.home.public}/versions/1.csv"


def _flipped(of: Move, to: Path) -> Path:
    data = bytearray(members_of(of.archive)[_csv(of)])
    data[-2] ^= 1
    return written(to, _changed(of, _csv(of), bytes(data)))


def _rewritten(of: Move, to: Path) -> Path:
    manifest = members_of(of.archive)["export.json"].replace(b'"rows": 4', b'"rows": 5')
    return written(to, _changed(of, "export.json", manifest))


def _cut(of: Move, to: Path) -> Path:
    whole = of.archive.read_bytes()
    to.write_bytes(whole[: len(whole) * 2 // 3])
    return to


def _with(name: str, mode: int = 0o100600) -> Callable[[Move, Path], Path]:
    def made(of: Move, to: Path) -> Path:
        info = zipfile.ZipInfo(name)
        info.external_attr = mode << 16
        return written(to, members_of(of.archive), (info, b"/etc/passwd"))

    return made


CHANGED: dict[str, Callable[[Move, Path], Path]] = {
    "not those that were signed": _flipped,
    "not what was signed": _rewritten,
    "damaged": _cut,
    "it is missing": lambda of, to: written(to, _changed(of, _csv(of), None)),
    "does not list it": _with("top/data/more.csv"),
    "there twice": _with("top/export.json"),
    "path is not allowed": _with("top/../../etc/cron.d/x"),
    "such a path": _with("/etc/cron.d/x"),
    "a link": _with("top/data/link.csv", 0o120777),
}


def row(of: Move, part: str, **told: Any) -> dict[str, bytes]:
    lines = members_of(of.archive)[f"data/{part}.ndjson"].splitlines()
    first = json.dumps({**json.loads(lines[0]), **told}).encode()
    return {f"data/{part}.ndjson": b"\n".join([first, *lines[1:], b""])}


def added(part: str, **row: Any) -> dict[str, bytes]:
    return {f"data/{part}.ndjson": json.dumps(row).encode() + b"\n"}


def _in_rows(of: Move, old: str, new: str) -> dict[str, bytes]:
    data = members_of(of.archive)[_csv(of)]
    assert old.encode() in data
    return {_csv(of): data.replace(old.encode(), new.encode())}


SIGNED: dict[str, Callable[[Move], tuple[dict[str, bytes], dict[str, Any]]]] = {
    "not known here": lambda of: ({}, {"format": "urbanos-owner-export-9"}),
    "it is malformed": lambda of: ({}, {"organizations": [SAKAI]}),
    "is not about": lambda of: (row(of, "datasets", publisher_id=SAKAI), {}),
    "columns are not named": lambda of: (
        row(of, "versions", fields=[{"name": "a", "column": "row", "label": "a", "type": "text"}]), {},
    ),
    "cannot be stored": lambda of: (_in_rows(of, "1.50", "1.5O"), {}),
    "other than the rows": lambda of: (row(of, "versions", row_count=99), {}),
    "is not below": lambda of: ({}, {"organizations": [*manifest_of(of.archive)["organizations"], SAKAI]}),
    "of None, which": lambda of: (added("profiles", name="aed", version=99, owner_id=None), {}),
    "data_class is open": lambda of: (row(of, "datasets", data_class="open"), {}),
    "created_at is 0044": lambda of: (row(of, "datasets", created_at="0044-03-15 00:00:00+00 BC"), {}),
    "a description is malformed": lambda of: (row(of, "systems", description={"name": 5}), {}),
    "no records are held": lambda of: (row(of, "datasets", data_class="specific-personal"), {}),
    "could not be shown": lambda of: (row(of, "datasets", current_version=9), {}),
    "not be shown": lambda of: (row(of, "datasets", retention={"keep_days": "x"}), {}),
    "others.ndjson: a row cannot": lambda of: (row(of, "agreements", terms="\0"), {}),
    "2 lines, not 3": lambda of: ({}, {"lines": {"data/datasets.ndjson": 3}}),
    "export.json: it is malformed": lambda of: ({}, {"platform": {"issuer": "x" * 1_000_000}}),
    "good faith": lambda of: ({"data/bomb.csv": b"0" * (80 << 20)}, {}),
}  # fmt: skip


NUMBER: dict[str, Callable[[Move], dict[str, bytes]]] = {
    "a row": lambda of: _in_rows(of, "髙石①公園～東", "1234-5678-9018"),
    "an escape": lambda of: {
        name: data.replace(b"HERE", b"\\u0031234-5678-9018")
        for name, data in row(of, "datasets", title_ja="HERE").items()
    },
}
