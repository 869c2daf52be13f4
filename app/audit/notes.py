"""Signed notes (C2SP signed-note, tlog-checkpoint, tlog-cosignature): pure texts and signatures.

Ed25519 only. A note is text, an empty line, and a line a signature; of its signatures those that
were asked for count, and no other.
"""

import base64
import hashlib
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from app.audit.merkle import HASH_BYTES
from app.kit.errors import AppError, Kind

LOG: Final = 1  # signature types of C2SP signed-note
WITNESS: Final = 4
_ID_BYTES: Final = 4
_KEY_BYTES: Final = 32
_MOST_CHARACTERS: Final = 100_000
_DASH: Final = "\u2014 "
_SECRET: Final = "PRIVATE+KEY+"  # noqa: S105 - how such a key begins


class NoteRefused(AppError):
    """A note, a key or a signature that is not what it should be."""

    kind = Kind.INVALID
    code = "log_note_refused"
    ja = "署名付きノートまたは鍵を受け付けられません: {why_ja}"
    en = "The signed note or key cannot be accepted: {why}."

    @classmethod
    def of(cls, ja: str, en: str) -> "NoteRefused":
        """The refusal in both languages."""
        return cls(why_ja=ja, why=en)


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        raise NoteRefused.of("Base64ではありません。", "this is no Base64") from None


def _encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


@dataclass(frozen=True, slots=True)
class Verifier:
    """A public key with its name and the type of its signatures."""

    name: str
    kind: int
    public: bytes

    @property
    def id(self) -> bytes:
        """The four bytes that stand before each of its signatures."""
        named = self.name.encode() + b"\n" + bytes([self.kind]) + self.public
        return hashlib.sha256(named).digest()[:_ID_BYTES]

    def __str__(self) -> str:
        return f"{self.name}+{self.id.hex()}+{_encoded(bytes([self.kind]) + self.public)}"

    @classmethod
    def parse(cls, text: str) -> "Verifier":
        """The key of a vkey line. Raises `NoteRefused`."""
        name, key_id, encoded = [*text.strip().split("+", 2), "", ""][:3]
        key = _decoded(encoded)
        is_name = name and not any(sign.isspace() for sign in name)
        if not is_name or len(key) != 1 + _KEY_BYTES or key[0] not in (LOG, WITNESS):
            raise NoteRefused.of("検証鍵の形式ではありません。", "this is no Ed25519 verifier key")
        made = cls(name, key[0], key[1:])
        if made.id.hex() != key_id:
            raise NoteRefused.of(
                "検証鍵の鍵IDが名前と鍵に合いません。", "the key's id fits neither name nor key"
            )
        return made

    def is_by(self, signature: "Signature") -> bool:
        """Whether the signature says that this key made it."""
        return (signature.name, signature.id) == (self.name, self.id)

    def accepts(self, text: str, signature: "Signature") -> bool:
        """Whether this key made the signature of the text."""
        message, value = text.encode(), signature.value
        if self.kind == WITNESS:
            message = _cosigned(int.from_bytes(value[:8]), text)
            value = value[8:]
        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(value, message)
        except InvalidSignature:
            return False
        return self.is_by(signature)


def _cosigned(seconds: int, text: str) -> bytes:
    return f"cosignature/v1\ntime {seconds}\n{text}".encode()


@dataclass(frozen=True, slots=True)
class Signer:
    """A private key with its name. Never shown but by `secret`, for a file of its owner."""

    name: str
    kind: int
    private: Ed25519PrivateKey

    @property
    def verifier(self) -> Verifier:
        """The public half."""
        return Verifier(self.name, self.kind, self.private.public_key().public_bytes_raw())

    def secret(self) -> str:
        """The line of a key file."""
        key = _encoded(bytes([self.kind]) + self.private.private_bytes_raw())
        return f"{_SECRET}{self.name}+{self.verifier.id.hex()}+{key}"

    @classmethod
    def parse(cls, line: str) -> "Signer":
        """The key of a key file's line. Raises `NoteRefused`, which shows nothing of it."""
        name, key_id, encoded = [*line.strip().removeprefix(_SECRET).split("+", 2), "", ""][:3]
        key = _decoded(encoded)
        if not line.startswith(_SECRET) or not name or len(key) != 1 + _KEY_BYTES:
            raise NoteRefused.of("署名鍵の形式ではありません。", "this is no private key of a note")
        made = cls(name, key[0], Ed25519PrivateKey.from_private_bytes(key[1:]))
        if made.verifier.id.hex() != key_id:
            raise NoteRefused.of("鍵IDが合いません。", "the key's id does not fit")
        return made

    def sign(self, text: str) -> "Signature":
        """A log's signature of the text."""
        return Signature(self.name, self.verifier.id, self.private.sign(text.encode()))

    def cosign(self, text: str, seconds: int) -> "Signature":
        """A witness's signature of the text, with its time (tlog-cosignature, Ed25519)."""
        value = seconds.to_bytes(8) + self.private.sign(_cosigned(seconds, text))
        return Signature(self.name, self.verifier.id, value)


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature as a note holds it; it proves nothing before a key accepts it."""

    name: str
    id: bytes
    value: bytes

    def __str__(self) -> str:
        return f"{_DASH}{self.name} {_encoded(self.id + self.value)}"

    @property
    def seconds(self) -> int:
        """When a witness says that it signed, since the epoch."""
        return int.from_bytes(self.value[:8])

    @classmethod
    def parse(cls, line: str) -> "Signature":
        """One line of a note. Raises `NoteRefused`."""
        name, _, encoded = line.removeprefix(_DASH).partition(" ")
        if not line.startswith(_DASH) or not name or "+" in name:
            raise NoteRefused.of("署名行ではありません。", "this is no line of a signature")
        signed = _decoded(encoded)
        return cls(name, signed[:_ID_BYTES], signed[_ID_BYTES:])


@dataclass(frozen=True, slots=True)
class Note:
    """A text, which ends in a newline, with its signatures."""

    text: str
    signatures: tuple[Signature, ...]

    def __str__(self) -> str:
        return "\n".join([self.text, *map(str, self.signatures), ""])

    @classmethod
    def parse(cls, note: str) -> "Note":
        """A note as it stands. Raises `NoteRefused`."""
        text, gap, lines = note.rpartition("\n\n")
        if not gap or not lines.endswith("\n") or len(note) > _MOST_CHARACTERS:
            raise NoteRefused.of("署名付きノートではありません。", "this is no signed note")
        signatures = tuple(Signature.parse(line) for line in lines[:-1].split("\n"))
        return cls(text + "\n", signatures)

    def is_signed_by(self, key: Verifier) -> bool:
        """Whether the key signed it; a wrong signature in its name spoils the right ones."""
        its = [signature for signature in self.signatures if key.is_by(signature)]
        return bool(its) and all(key.accepts(self.text, signature) for signature in its)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """How many entries a log has, and the root over them (C2SP tlog-checkpoint)."""

    origin: str
    size: int
    root: bytes

    @property
    def text(self) -> str:
        """What is signed."""
        return f"{self.origin}\n{self.size}\n{_encoded(self.root)}\n"

    @classmethod
    def parse(cls, text: str) -> "Checkpoint":
        """The checkpoint of a note's text; lines after the third say nothing to us."""
        lines = text.split("\n")
        if len(lines) < 4 or not lines[0] or not _is_decimal(lines[1]):
            raise NoteRefused.of("チェックポイントではありません。", "this is no checkpoint")
        root = _decoded(lines[2])
        if len(root) != HASH_BYTES:
            raise NoteRefused.of("ルートハッシュの長さが違います。", "the root is no SHA-256")
        return cls(lines[0], int(lines[1]), root)


def _is_decimal(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < 19 and str(int(text)) == text
