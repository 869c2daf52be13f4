"""How every door refuses an individual number: it says where the number stood, and never which."""

from typing import Final

from app.formats.individual_number import REFUSED
from app.kit.errors import AppError, Fault, Kind


class IndividualNumberRefused(AppError):
    """Something that came holds an individual number."""

    kind = Kind.INVALID
    code = REFUSED
    ja = (
        "個人番号（マイナンバー）と読める12桁の数字が含まれるため、受け付けず、何も保存していません。"
        "場所: {where_ja}。取り除いて送り直してください。"
    )
    en = (
        "There are digits that read as an individual number (My Number), so this was refused and "
        "nothing of it is kept. Where: {where_en}. Take it out and send it again."
    )

    def __init__(self, where: "Where") -> None:
        faults = [Fault(each, REFUSED, *_FAULT) for each in where.pointers]
        super().__init__(faults=faults, where_ja=where.ja, where_en=where.en)


_FAULT: Final = (
    "個人番号は受け付けません。取り除いてください。",
    "An individual number is not taken. Take it out.",
)


class Where:
    """A place, in words and as pointers; the number itself is never part of it."""

    __slots__ = ("en", "ja", "pointers")

    def __init__(self, ja: str, en: str, pointers: tuple[str, ...] = ()) -> None:
        self.ja, self.en, self.pointers = ja, en, pointers
