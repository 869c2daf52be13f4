"""What tus writes into headers (tus 1.0.0): metadata, checksums, versions. Reads text only."""

import base64
import binascii
from dataclasses import dataclass
from typing import ClassVar, Final

from app.api.number_guard import checked_name
from app.kit.errors import AppError, Kind
from app.tables.parts import Checksum

VERSION: Final = "1.0.0"
ALGORITHMS: Final = ("sha256", "sha1")
_DIGEST_BYTES: Final = {"sha256": 32, "sha1": 20}


class TusVersion(AppError):
    """The caller does not say that it speaks our version (tus 1.0.0, Tus-Resumable)."""

    kind = Kind.PRECONDITION
    code = "tus_version"
    ja = "Tus-Resumable: 1.0.0 ヘッダが必要です。"
    en = "The header Tus-Resumable: 1.0.0 is needed."


class MetadataWrong(AppError):
    """Upload-Metadata cannot be read, or names no dataset."""

    kind = Kind.MALFORMED
    code = "upload_metadata_wrong"
    ja = (
        "Upload-Metadata を読めません。「dataset <Base64>,filename <Base64>」の形で送ってください。"
    )
    en = "Upload-Metadata cannot be read. Send it as: dataset <Base64>,filename <Base64>."


class ChecksumWrong(AppError):
    """Upload-Checksum cannot be read, or names an algorithm that we do not take."""

    kind = Kind.MALFORMED
    code = "checksum_wrong"
    ja = "Upload-Checksum は「sha256 <Base64>」か「sha1 <Base64>」の形で送ってください。"
    en = "Send Upload-Checksum as: sha256 <Base64>, or sha1 <Base64>."


class PartNotTaken(AppError):
    """A part has another media type."""

    kind = Kind.UNSUPPORTED
    code = "unsupported_media_type"
    ja = "Content-Type は application/offset+octet-stream にしてください。"
    en = "Content-Type must be application/offset+octet-stream."
    media_type: ClassVar[str] = "application/offset+octet-stream"

    @classmethod
    def check(cls, content_type: str | None) -> None:
        """Raises `PartNotTaken` for another media type than that of parts."""
        if (content_type or "").strip().lower() != cls.media_type:
            raise cls


@dataclass(frozen=True, slots=True)
class Named:
    """What Upload-Metadata says of a file."""

    dataset: str
    filename: str | None


def check_version(shown: str | None) -> None:
    """Raises `TusVersion`, with the versions that we speak, for any but ours."""
    if shown != VERSION:
        refusal = TusVersion()
        refusal.headers["Tus-Version"] = VERSION
        raise refusal


def metadata_of(header: str) -> Named:
    """The pairs of Upload-Metadata (tus 1.0.0, creation). Raises `MetadataWrong`, `IndividualNumberRefused`."""
    found: dict[str, str] = {}
    for pair in header.split(","):
        key, _, value = pair.strip().partition(" ")
        if key in found:
            raise MetadataWrong
        found[key] = _text(value)
    dataset = found.get("dataset")
    if not dataset:
        raise MetadataWrong
    for value in found.values():
        checked_name(value)
    return Named(dataset, found.get("filename", "")[:255] or None)


def _text(value: str) -> str:
    try:
        text = base64.b64decode(value, validate=True).decode("utf-8")
    except (binascii.Error, ValueError):
        raise MetadataWrong from None
    if "\x00" in text:  # PostgreSQL's text does not hold it
        raise MetadataWrong
    return text


def checksum_of(header: str | None) -> Checksum | None:
    """What a part must hash to (tus 1.0.0, checksum). Raises `ChecksumWrong`."""
    if header is None:
        return None
    algorithm, _, value = header.strip().partition(" ")
    try:
        digest = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise ChecksumWrong from None
    if len(digest) != _DIGEST_BYTES.get(algorithm):
        raise ChecksumWrong
    return Checksum(algorithm, digest)
