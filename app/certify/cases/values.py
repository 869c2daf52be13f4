"""What single values must be by the standard: times, dates, codes. Pure."""

import re
import unicodedata
from decimal import Decimal
from typing import Any, Final

TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")
DATE: Final = re.compile(r"\d{4}-\d\d-\d\d")
INSIDES: Final = re.compile(
    r"Traceback \(most recent|File \"[^\"]+\.py\"|at [\w.$]+\([\w]+\.java:\d+\)|\bSELECT\b.+\bFROM\b"
    r"|ORA-\d{5}|SQLSTATE|PG::|psycopg|asyncpg|<b>(Warning|Fatal error)</b>|\.rb:\d+:in ",
    re.DOTALL,
)
JAPANESE: Final = re.compile(r"[\u3040-\u30ff\u4e00-\u9fff]")


def check_digit(five: str) -> str:
    """The sixth digit of a local government code (総務省 全国地方公共団体コード)."""
    total = sum(int(digit) * weight for digit, weight in zip(five, (6, 5, 4, 3, 2), strict=True))
    if total < 11:
        return str(11 - total)[-1]
    return str(11 - total % 11)[-1]


def is_code(value: Any) -> bool:
    """Whether it is a local government code of six digits with its check digit."""
    return (
        isinstance(value, str) and len(value) == 6 and value.isascii() and value.isdigit()
        and value[5] == check_digit(value[:5])
    )  # fmt: skip


def cased(text: str) -> str:
    """As CASEI folds it: case and width."""
    return unicodedata.normalize("NFKC", text).casefold()


def folded(text: str) -> str:
    """As a search folds it: width, case, and hiragana for katakana."""
    wide = cased(text)
    return "".join(chr(ord(sign) - 0x60) if "\u30a1" <= sign <= "\u30f6" else sign for sign in wide)


def is_number(value: Any) -> bool:
    """Whether JSON gave a number."""
    return isinstance(value, int | float | Decimal)
