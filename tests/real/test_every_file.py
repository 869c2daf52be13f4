"""Every published file loads, or is refused with a reason: what each one gave, frozen in a table.

`every_file.csv` was written by `python -m tests.real.test_every_file` and looked at by hand; a line
that changes is a change of what clerks get, and is to be looked at again.
"""

import csv
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.formats.guidance import GUIDANCE, FileRefused, guidance
from app.formats.profiles.municipal import built_in
from tests.formats.reading import take

DATA = Path(os.environ.get("URBANOS_REAL_DATA", Path(__file__).parents[3] / "shared" / "data"))
TABLE = Path(__file__).with_name("every_file.csv")
LAYOUTS = tuple(one.layout for one in built_in())
HEAD = (
    "file", "format", "table", "encoding", "header_line", "profile", "read", "accepted", "repaired",
    "rejected", "refused",
)  # fmt: skip
pytestmark = [
    pytest.mark.skipif(
        not DATA.exists(), reason=f"left out: the real files are not at {DATA} (URBANOS_REAL_DATA)"
    ),
    pytest.mark.long,
]


def verdict(path: Path) -> tuple[str, ...]:
    """What the file gives to a dataset of which nothing is known."""
    name = path.relative_to(DATA).as_posix()
    try:
        taken = take(path.read_bytes(), name=path.name, layouts=LAYOUTS)
    except FileRefused as refused:
        assert refused.words("ja") and refused.words("en")
        return (name, *[""] * 9, refused.code)
    survey = taken.survey
    read, accepted, repaired, codes = taken.counts
    known = survey.profile
    profile = f"{known['profile']}/{known['version']}" if known and known["accepted"] else ""
    rejected = " ".join(f"{code}:{count}" for code, count in sorted(codes.items()))
    found = (
        survey.table.format, survey.table.name, survey.table.encoding or "",
        survey.head.header_line or "", profile, read, accepted, repaired, rejected, "",
    )  # fmt: skip
    return (name, *map(str, found))


def files() -> Iterator[Path]:
    """Every file of the collection but its own manifest."""
    own = {"README.md", "MANIFEST.csv"}
    return (path for path in sorted(DATA.rglob("*")) if path.is_file() and path.name not in own)


def frozen() -> dict[str, tuple[str, ...]]:
    """The table by file."""
    with TABLE.open(encoding="utf-8", newline="") as file:
        return {row[0]: tuple(row) for row in list(csv.reader(file))[1:]}


@pytest.mark.parametrize(
    "folder", sorted({p.name for p in DATA.iterdir() if p.is_dir()}) if DATA.exists() else []
)
def test_each_file_of_a_folder_gives_what_it_gave(folder: str) -> None:
    table = frozen()
    found = [verdict(path) for path in files() if path.relative_to(DATA).parts[0] == folder]

    assert found
    for row in found:
        assert row == table.get(row[0]), row[0]


def test_no_refusal_is_without_a_way_on() -> None:
    """Each reason tells the clerk what to do: every sentence asks for something."""
    asks = ("ください", "指定", "送って", "保存", "選び", "対応していません", "ありません")
    for code in {row[-1] for row in frozen().values() if row[-1]}:
        named = dict.fromkeys(re.findall(r"{(\w+)", GUIDANCE[code][0]), "…")
        assert any(word in guidance(code, "ja", **named) for word in asks), code


if __name__ == "__main__":
    with TABLE.open("w", encoding="utf-8", newline="") as out:
        made = csv.writer(out, lineterminator="\n")
        made.writerow(HEAD)
        made.writerows(verdict(path) for path in files())
    sys.exit()
