"""Local government codes (JIS X 0401/0402, check digit); it never guesses between two readings."""

import re

_WEIGHTS = (6, 5, 4, 3, 2)
# The last number that each prefecture 01 to 47 can give a municipality: counties have bands of
# twenty from 300 on (JIS X 0402), and their number is fixed. Only shortened codes are held to it.
_LAST = (
    *(700, 460, 540, 620, 480, 480, 580, 580, 420, 540, 480, 480, 440, 420, 600, 360),
    *(480, 520, 460, 620, 620, 480, 580, 580, 460, 480, 400, 600, 460, 440, 420, 540),
    *(700, 560, 520, 500, 420, 520, 440, 660, 460, 420, 540, 480, 460, 540, 400),
)
# 政令指定都市. JIS X 0402 gives the numbers from 100 to 199 to them and their wards, each city's
# before its wards'.
DESIGNATED_CITIES = (
    *("011002", "041009", "111007", "121002", "141003", "141305", "141500", "151009", "221007"),
    *("221309", "231002", "261009", "271004", "271403", "281000", "331007", "341002", "401005"),
    *("401307", "431001"),
)
_FULL_WIDTH_DIGITS = str.maketrans("０１２３４５６７８９．", "0123456789.")


class CodeError(ValueError):
    """A text that is not a local government code; `code` is the reject code."""

    code = "invalid_local_government_code"


class WrongCheckDigit(CodeError):
    """Six digits whose last does not follow from the first five."""

    code = "wrong_check_digit"


class AmbiguousCode(CodeError):
    """Two different codes can have been meant."""

    code = "ambiguous_local_government_code"


def check_digit(five: str) -> str:
    """The check digit of a five-digit code (総務省: weights 6 to 2, modulus 11)."""
    total = sum(int(digit) * weight for digit, weight in zip(five, _WEIGHTS, strict=True))
    return str((11 - total % 11) % 10)


def local_government_code(text: str) -> str:
    """The six-digit code meant by `text`.

    Mends full-width digits, `271004.0`, a missing check digit and a missing leading zero.
    Raises `WrongCheckDigit`, `AmbiguousCode` or `CodeError`.
    """
    digits = text.strip().translate(_FULL_WIDTH_DIGITS)
    digits = re.sub(r"\.0+$", "", digits)
    if not re.fullmatch(r"[0-9]{4,6}", digits):
        raise CodeError(text)
    if len(digits) == 6:
        if not _is_prefecture(digits):
            raise CodeError(text)
        if check_digit(digits[:5]) != digits[5]:
            raise WrongCheckDigit(text)
        return digits
    readings = _readings(digits)
    if len(readings) > 1:
        raise AmbiguousCode(text)
    if not readings:
        raise CodeError(text)
    return readings.pop()


def _readings(digits: str) -> set[str]:
    """Every code that four or five digits can stand for."""
    if len(digits) == 4:  # zero and check digit lost
        five = "0" + digits
        return {five + check_digit(five)} if _is_numbered(five) else set()
    readings = set()
    if _is_numbered(digits):
        readings.add(digits + check_digit(digits))
    six = "0" + digits
    if _is_numbered(six[:5]) and check_digit(six[:5]) == six[5]:
        readings.add(six)
    return readings


def _is_prefecture(digits: str) -> bool:
    return 1 <= int(digits[:2]) <= 47


def _is_numbered(five: str) -> bool:
    """Whether five digits are a prefecture, or a number that it can give a municipality or ward."""
    number = int(five[2:])
    return _is_prefecture(five) and (number == 0 or 100 <= number <= _LAST[int(five[:2]) - 1])


def designated_city(code: str) -> str:
    """The designated city of a ward's code (271276 → 271004); any other code is its own.

    The special wards of Tokyo are municipalities themselves.
    """
    for city in reversed(DESIGNATED_CITIES):
        if city[:2] == code[:2] and code[2:3] == "1" and code >= city:
            return city
    return code


def prefecture_code(code: str) -> str | None:
    """The six-digit code of the prefecture of a municipality's code."""
    number = code[:2]
    if not (number.isascii() and number.isdigit() and 1 <= int(number) <= 47):
        return None
    return number + "000" + check_digit(number + "000")
