"""Standard grid squares of Japan (標準地域メッシュ, JIS X 0410): codes from degrees, nothing else."""

import math
from typing import Final

# By level: 80 km, 10 km, 1 km, 500 m, 250 m, 125 m, and how many digits a code of it has.
DIGITS: Final = (4, 6, 8, 9, 10, 11)
# Eighths of a third-level square in a degree: 30″ of latitude and 45″ of longitude, each in eight.
ROWS_A_DEGREE: Final = 960
COLUMNS_A_DEGREE: Final = 640
SQUARE: Final = 640  # eighths along a first-level square's side: 40′ by 1°
WEST: Final = 100  # where the columns of first-level squares are counted from
# A boundary that was written in decimals may lie a hair below it as a double: a ten-millionth of a
# metre puts it right. The database computes with the same doubles.
NUDGE: Final = 1e-9


def mesh_code(latitude: float, longitude: float, level: int) -> str | None:
    """The code of the square of `level` 1 to 6 that holds the point; None outside the grid."""
    row = math.floor(latitude * ROWS_A_DEGREE + NUDGE)
    column = math.floor((longitude - WEST) * COLUMNS_A_DEGREE + NUDGE)
    if not (0 <= row < 100 * SQUARE and 0 <= column < 80 * SQUARE):
        return None  # two digits each way, and no longitude beyond 180°
    code = f"{row // SQUARE:02d}{column // SQUARE:02d}"
    code += f"{row // 80 % 8}{column // 80 % 8}{row // 8 % 10}{column // 8 % 10}"
    for part in (4, 2, 1):
        code += str(1 + column // part % 2 + 2 * (row // part % 2))
    return code[: DIGITS[level - 1]]
