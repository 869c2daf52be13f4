"""Arithmetic of filters, in the very terms that the database is asked with; never an error.

Exact, but for two: a quotient has 20 decimals, a power 15 significant digits (IEEE 754).
What has no value (a division by zero, a root of a negative, a power out of bounds) is unknown.
"""

import math
from decimal import ROUND_HALF_UP, Context, Decimal
from typing import Final

DECIMALS: Final = 20  # of a quotient
POWER_DECIMALS: Final = 100  # of a base: what is nearer to nothing is nothing
MOST_BASE: Final = Decimal("1e100")
LEAST_BASE: Final = Decimal("1e-100")
MOST_EXPONENT: Final = Decimal(1_000)
MOST_LOGARITHM: Final = 690.0  # e to that power is a double
SIGNIFICANT: Final = 15  # digits of a double that survive
_WIDE: Final = Context(prec=30_000)

OPERATORS: Final = frozenset({"+", "-", "*", "/", "%", "div", "^"})
Number = int | float | Decimal


def exact(value: Number) -> Decimal:
    """The number as the database casts it: a double keeps its 15 digits."""
    if isinstance(value, float):
        return Decimal(f"{value:.{SIGNIFICANT}g}")
    return Decimal(value)


def calculate(op: str, left: Decimal, right: Decimal) -> Decimal | None:
    """`left op right`, None where it has no value."""
    match op:
        case "+":
            return _WIDE.add(left, right)
        case "-":
            return _WIDE.subtract(left, right)
        case "*":
            return _WIDE.multiply(left, right)
        case "^":
            return _power(left, right)
    if right == 0:
        return None
    a, b, scale = _whole(left, right)
    if op == "/":
        quotient, rest = divmod(abs(a) * 10**DECIMALS, abs(b))
        quotient += 2 * rest >= abs(b)
        return Decimal(quotient if (a < 0) == (b < 0) else -quotient).scaleb(-DECIMALS, _WIDE)
    quotient = abs(a) // abs(b)
    if op == "div":
        return Decimal(quotient if (a < 0) == (b < 0) else -quotient)
    rest = abs(a) - quotient * abs(b)
    return Decimal(rest if a >= 0 else -rest).scaleb(-scale, _WIDE)


def _whole(left: Decimal, right: Decimal) -> tuple[int, int, int]:
    """Both as whole numbers of one size, and how many decimals they had."""
    exponents = [int(each.as_tuple().exponent) for each in (left, right)]
    scale = max(0, -min(exponents))
    return int(left.scaleb(scale, _WIDE)), int(right.scaleb(scale, _WIDE)), scale


def _power(base: Decimal, exponent: Decimal) -> Decimal | None:
    base = _rounded(base, POWER_DECIMALS)
    exponent = _rounded(exponent, DECIMALS)
    if abs(base) > MOST_BASE or abs(exponent) > MOST_EXPONENT:
        return None
    if (base == 0 and exponent < 0) or (base < 0 and exponent != exponent.to_integral_value()):
        return None
    logarithm = math.log(float(max(abs(base), LEAST_BASE)))
    if base != 0 and abs(float(exponent) * logarithm) > MOST_LOGARITHM:
        return None
    return exact(float(base) ** float(exponent))


def _rounded(value: Decimal, decimals: int) -> Decimal:
    if int(value.as_tuple().exponent) >= -decimals:
        return value
    return value.quantize(Decimal(1).scaleb(-decimals), ROUND_HALF_UP, _WIDE)
