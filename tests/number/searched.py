"""Searches everything that a test's platform keeps for a number in any of its ways of writing."""

import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import asyncpg

PROBE = "123456789018"
WIDE = "".join(chr(ord(digit) + 0xFEE0) for digit in PROBE)
SPACED = "1234 5678 9018"
HYPHENED = "1234-5678-9018"
_FORMS = (PROBE, WIDE, SPACED, HYPHENED, "1234　5678　9018", "1234 5678", "12345678,9018")
_CODECS = ("utf-8", "utf-16-le", "cp932", "euc_jp")


def needles() -> set[bytes]:
    """The number as bytes in every form and encoding, and as PostgreSQL shows such bytes."""
    raw = {form.encode(codec) for form in _FORMS for codec in _CODECS}
    return raw | {each.hex().encode() for each in raw}


async def in_database(pool: "asyncpg.Pool[Any]") -> list[str]:
    """The tables, large objects included, one of whose rows holds the number."""
    tables = await pool.fetch(
        "SELECT format('%I.%I', schemaname, tablename) AS name FROM pg_tables "
        "WHERE schemaname <> 'information_schema' "
        "AND (schemaname <> 'pg_catalog' OR tablename = 'pg_largeobject')"
    )
    return [row["name"] for row in tables if await _in_table(pool, row["name"])]


async def _in_table(pool: "asyncpg.Pool[Any]", name: str) -> bool:
    held = bytearray()

    async def take(data: bytes) -> None:
        held.extend(data)

    async with pool.acquire() as connection:
        await connection.copy_from_query(f"SELECT * FROM {name}", output=take)
    return any(needle in held for needle in needles())


def in_folders(*folders: Path) -> list[Path]:
    """The files below the folders, and in the temporary folders of runs, that hold the number."""
    runs = Path(tempfile.gettempdir()).glob("urbanos-run-*")
    return [path for folder in (*folders, *runs) for path in _holding(folder.rglob("*"))]


def _holding(paths: Iterable[Path]) -> Iterable[Path]:
    for path in paths:
        try:
            held = path.read_bytes() if path.is_file() else b""
        except OSError:  # of another suite, and gone meanwhile
            continue
        if any(needle in held for needle in needles()):
            yield path
