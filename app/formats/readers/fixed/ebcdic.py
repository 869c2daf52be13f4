"""IBM's Japanese EBCDIC (CCSID 930 and 939), which Python has no codec for; it guesses no byte.

The table beside this file is what GNU libc's iconv knows of both; on PyPI only single-byte pages
were to be had.
"""

import json
import re
from functools import cache
from importlib.resources import files

NAMES = ("cp930", "cp939")
# And the single-byte pages that Python itself knows.
FAMILY = frozenset((*NAMES, "cp037", "cp273", "cp500", "cp1140"))
_OUT, _IN = 0x0E, 0x0F  # shift-out begins double bytes, shift-in ends them
_FIRST, _LAST = 0x40, 0xFE
_UNKNOWN = "\ufffd"
_NO_CHARACTER = re.compile("[\ufffd\x80-\x9f]")  # unassigned, or a terminal's control code


class Half(ValueError):
    """A shift or a character is cut in two."""


class Unknown(ValueError):
    """A byte that stands for no character."""


@cache
def _table() -> tuple[dict[str, str], dict[int, str]]:
    stored = json.loads(
        files("app.formats.readers.fixed").joinpath("ebcdic.json").read_text("utf-8")
    )
    return stored["single"], {int(first, 16): row for first, row in stored["double"].items()}


def decode(data: bytes, name: str) -> str:
    """The text of `data` in `name` (cp930 or cp939). Raises `Half` or `Unknown`."""
    single = _table()[0][name]
    parts = data.split(bytes([_OUT]))
    text = [_single(parts[0], single)]
    for part in parts[1:]:
        double, shift, rest = part.partition(bytes([_IN]))
        if not shift:
            raise Half("no shift-in")
        text += [decode_double(double), _single(rest, single)]
    return "".join(text)


def decode_double(data: bytes) -> str:
    """The text of double bytes without shifts, as a graphic field holds them."""
    if len(data) % 2:
        raise Half("an odd byte")
    rows = _table()[1]
    made = []
    for first, second in zip(data[::2], data[1::2], strict=True):
        row = rows.get(first)
        if row is None or not _FIRST <= second <= _LAST or row[second - _FIRST] == _UNKNOWN:
            raise Unknown(f"{first:02x}{second:02x}")
        made.append(row[second - _FIRST])
    return "".join(made)


def _single(data: bytes, page: str) -> str:
    if bytes([_IN]) in data:
        raise Half("no shift-out")
    text = "".join([page[byte] for byte in data])
    if _NO_CHARACTER.search(text):
        raise Unknown("single byte")
    return text
