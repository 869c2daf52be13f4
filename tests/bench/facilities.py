"""Synthetic facilities of Osaka City: no real place, person or number."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

WARDS: Final = tuple(f"27{number:03d}" for number in range(102, 126))  # 24
_TOWNS: Final = ("中之島", "北浜", "天満", "難波", "住之江", "平野", "鶴見", "此花")
_KINDS: Final = (("保育所", "ほいくしょ"), ("診療所", "しんりょうじょ"), ("図書館", "としょかん"))
HEADER: Final = "施設番号,名称,名称カナ,区コード,住所,電話番号,定員,緯度,経度,更新日\n"
FIELDS: Final[list[dict[str, Any]]] = [
    {"name": "no", "label": "施設番号", "type": "code", "key": True},
    {"name": "name", "label": "名称", "type": "text", "required": True},
    {"name": "kana", "label": "名称カナ", "type": "kana"},
    {"name": "ward", "label": "区コード", "type": "code"},
    {"name": "address", "label": "住所", "type": "text"},
    {"name": "phone", "label": "電話番号", "type": "phone"},
    {"name": "capacity", "label": "定員", "type": "integer"},
    {"name": "lat", "label": "緯度", "type": "latitude"},
    {"name": "lon", "label": "経度", "type": "longitude"},
    {"name": "updated", "label": "更新日", "type": "date"},
]


def lines(seed: int) -> Iterator[str]:
    """Lines of the file without end; another seed is another file."""
    chance = random.Random(seed)
    number = 0
    while True:
        number += 1
        town = chance.choice(_TOWNS)
        kind, kana = chance.choice(_KINDS)
        yield (
            f"F{number:08d},{town}第{number}{kind},だい{number}{kana},{chance.choice(WARDS)},"
            f"大阪市{town}{chance.randint(1, 9)}丁目{chance.randint(1, 40)}番{number}号,"
            f"06-{chance.randint(1000, 9999)}-{chance.randint(1000, 9999)},"
            f"{chance.randint(0, 499)},{34.6 + chance.random() / 6:.6f},"
            f"{135.4 + chance.random() / 5:.6f},"
            f"{chance.randint(2015, 2026)}-{chance.randint(1, 12):02d}-{chance.randint(1, 28):02d}\n"
        )


def write(path: Path, seed: int, *, rows: int | None = None, size: int | None = None) -> int:
    """A file of so many rows, or of at least so many bytes. Returns its rows."""
    written = count = 0
    with path.open("w", encoding="utf-8", newline="") as file:
        file.write(HEADER)
        for line in lines(seed):
            if (rows is not None and count >= rows) or (size is not None and written >= size):
                return count
            file.write(line)
            count += 1
            written += len(line.encode())
    return count
