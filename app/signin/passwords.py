"""What may be a password, and how it is kept: as an argon2id hash. Never keeps or logs one.

NIST SP 800-63B-4, 3.1.1.2: long, none of those that are guessed first, and no rule of what it must
be made of.
"""

import re
import unicodedata
from collections.abc import Iterable
from typing import Final

from app.kit.errors import AppError, Kind
from app.kit.secret_hash import NOBODY, hash_secret, is_secret_of

SHORTEST: Final = 12
LONGEST: Final = 256
_FEWEST_SIGNS: Final = 5  # different ones: 121212121212 is tried before any word
_SHORTEST_PART: Final = 4  # of a name or an address that a password may not hold
_PARTED: Final = re.compile(r"[\s@._+\-　・]+")
_NO_LETTERS: Final = re.compile(r"[\W\d_]+")
# What is left of the passwords most used once digits and signs are taken away.
_MOST_USED: Final = frozenset(
    [
        "password",
        "passwordpassword",
        "passw",
        "passwd",
        "passphrase",
        "pass",
        "pw",
        "qwerty",
        "qwertyui",
        "qwertyuiop",
        "asdfghjkl",
        "qwertyasdf",
        "qazwsxedc",
        "qazwsx",
        "zxcvbnm",
        "iloveyou",
        "letmein",
        "welcome",
        "admin",
        "adminadmin",
        "administrator",
        "root",
        "user",
        "test",
        "testtest",
        "login",
        "secret",
        "changeme",
        "abc",
        "abcd",
        "abcdef",
        "abcdefg",
        "abcdefgh",
        "abcdefghij",
        "abcdefghijkl",
        "sunshine",
        "princess",
        "dragon",
        "monkey",
        "football",
        "baseball",
        "master",
        "superman",
        "computer",
        "internet",
        "hello",
        "urbanos",
        "urban",
        "toshi",
        "toshios",
        "sakura",
        "nihon",
        "japan",
        "tokyo",
        "osaka",
        "pasuwado",
        "パスワード",
        "ぱすわーど",
    ]
)
_ROWS: Final = ("01234567890123456789", "98765432109876543210", "qwertyuiopasdfghjklzxcvbnm")


class PasswordRefused(AppError):
    """The password is one that is guessed first."""

    kind = Kind.INVALID
    code = "password_refused"
    ja = "このパスワードは使えません: {why_ja}。"
    en = "This password cannot be used: {why}."


def normal(password: str) -> str:
    """The password however a keyboard sent it: full width or half, composed or not."""
    return unicodedata.normalize("NFKC", password)


def check_password(password: str, about: Iterable[str]) -> None:
    """Raise `PasswordRefused` for what is guessed first; `about`: the person's name and address."""
    password = normal(password)
    if not SHORTEST <= len(password) <= LONGEST:
        raise PasswordRefused(
            why_ja=f"{SHORTEST}文字以上{LONGEST}文字以下にしてください",
            why=f"it must have {SHORTEST} to {LONGEST} characters",
        )
    folded = password.casefold()
    if len(set(folded)) < _FEWEST_SIGNS or _is_much_used(folded):
        raise PasswordRefused(
            why_ja="よく使われるものです。関係のない語をいくつか並べてください",
            why="it is much used: put some unrelated words in a row",
        )
    if any(part in folded for part in _parts(about)):
        raise PasswordRefused(
            why_ja="氏名かメールアドレスの一部が含まれています",
            why="it holds a part of your name or address",
        )


def _is_much_used(folded: str) -> bool:
    if _NO_LETTERS.sub("", folded) in _MOST_USED:
        return True
    return any(folded in row for row in _ROWS)


def _parts(about: Iterable[str]) -> Iterable[str]:
    for text in about:
        for part in _PARTED.split(normal(text).casefold()):
            if len(part) >= (_SHORTEST_PART if part.isascii() else 2):
                yield part


async def hash_password(password: str) -> str:
    """The hash to keep."""
    return await hash_secret(normal(password))


async def is_password_of(hashed: str | None, password: str) -> bool:
    """Whether it is the password that was hashed. Without a hash it takes as long, and is not."""
    is_right = await is_secret_of(hashed or NOBODY, normal(password))
    return is_right and hashed is not None
