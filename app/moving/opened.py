"""Opens an archive that nobody vouches for and believes nothing of it before it is proven.

It unpacks nothing to a disk, follows no name of the archive's, and reads no more than was announced.
"""

import hashlib
import re
import stat
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

import orjson

from app.formats.guidance import FileRefused
from app.formats.individual_number import Watch
from app.formats.number_refusal import IndividualNumberRefused, Where
from app.formats.readers.archives.packed import check_directory
from app.formats.stored import StoredFile
from app.moving import bag
from app.moving.bag import Member
from app.moving.refusals import ArchiveRefused

MOST_BYTES: Final = 64 << 30  # unpacked; an operator may allow more
MOST_MEMBERS: Final = 100_000  # a thousand datasets with fifty versions each
_MOST_DIRECTORY: Final = 32 << 20
_MOST_MANIFEST: Final = 32 << 20
_MOST_TAG: Final = 4 << 20
_PIECE: Final = 1 << 20
_LONGEST_LINE: Final = 32 << 20
_RATIO: Final = 400  # the same short row again and again reaches 200
_FREE: Final = 64 << 20
_PATH: Final = re.compile(r"data/(?:[a-z0-9][a-z0-9_.-]*/)*[a-z0-9][a-z0-9_.-]*")
_ID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_LONGEST_ISSUER: Final = 300
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
# Ids and digests are no numbers of anybody, whatever digits they have.
_OPAQUE: Final = re.compile(
    rb"(?<![0-9a-f])(?:[0-9a-f]{64}|" + _ID.pattern.encode() + rb")(?![0-9a-f])"
)
_DAMAGED: Final = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    OSError,
    ValueError,
    KeyError,
    RuntimeError,
)

# The manifest's bytes, its signature and the keys that lie beside → who signed, or a refusal.
CheckSigner = Callable[[bytes, str, bytes], str]


def refused(name: str, why: str, why_ja: str) -> ArchiveRefused:
    """The refusal of one member, or of the archive."""
    return ArchiveRefused(name=name, why=why, why_ja=why_ja)


@dataclass(frozen=True, slots=True)
class Opened:
    """An archive whose every byte was found to be what its signer wrote."""

    told: Mapping[str, Any]
    members: Mapping[str, Member]
    signer: str
    sha256: str
    _zip: zipfile.ZipFile
    _top: str

    def pieces(self, path: str) -> Iterator[bytes]:
        """The bytes of a member, proven once more: the file may have been changed since."""
        member = self.members[f"data/{path}"]
        yield from _proven(self._zip, self._top, member)

    def lines(self, path: str) -> Iterator[tuple[bytes, dict[str, Any]]]:
        """The JSON objects of a member, as text and read; none where it is not there."""
        if f"data/{path}" not in self.members:
            return
        count, announced = 0, self.members[f"data/{path}"].lines
        for line in _lines(self.pieces(path), path):
            count += 1
            try:
                found = orjson.loads(line)
            except ValueError:
                found = None
            if not isinstance(found, dict):
                raise refused(
                    path, "a line is no JSON object", "JSONオブジェクトでない行があります"
                )
            yield line.strip(), found
        if announced not in (None, count):
            raise refused(path, f"it has {count} lines, not {announced}", "行数が目録と異なります")

    def has(self, path: str) -> bool:
        """Whether there is such a member."""
        return f"data/{path}" in self.members


@contextmanager
def opened(path: Path, check_signer: CheckSigner, most_bytes: int = MOST_BYTES) -> Iterator[Opened]:
    """The archive, once everything in it is proven. Blocks. Raises `ArchiveRefused`,
    `IndividualNumberRefused` and what `check_signer` raises."""
    with _reading(path.name), path.open("rb") as file:
        check_directory(StoredFile(path, path.parent), MOST_MEMBERS, _MOST_DIRECTORY)
        archive = zipfile.ZipFile(file)
        top = _checked_names(archive)
        manifest = _tag(archive, top, bag.MANIFEST, _MOST_MANIFEST)
        signature = _tag(archive, top, bag.SIGNATURE, _MOST_TAG).decode("ascii", "replace")
        signer = check_signer(manifest, signature, _tag(archive, top, bag.KEYS, _MOST_TAG))
        told = _told(manifest)
        members = _members(told)
        _check_whole(archive, top, members, most_bytes)
        for member in members.values():
            _check_numbers(member, _proven(archive, top, member))
        digest = _digest(path)
    with path.open("rb") as file, zipfile.ZipFile(file) as again:
        yield Opened(told, members, signer, digest, again, top)


@contextmanager
def _reading(name: str) -> Iterator[None]:
    try:
        yield
    except FileRefused as exc:
        raise refused(
            name, f"it is no sound zip ({exc.code})", "ZIPとして正しくありません"
        ) from exc
    except _DAMAGED as exc:
        raise refused(name, "it is damaged or cut short", "壊れているか途中で切れています") from exc


def _checked_names(archive: zipfile.ZipFile) -> str:
    """The one folder at the top. Refuses what leads out, comes twice, or is no plain file."""
    infos = archive.infolist()
    names = [info.filename for info in infos]
    top = names[0].partition("/")[0] if names else ""
    for info in infos:
        kind = stat.S_IFMT(info.external_attr >> 16)
        if info.is_dir() or kind not in (0, stat.S_IFREG):
            raise refused(
                info.filename, "it is a link or no plain file", "通常のファイルではありません"
            )
        if info.flag_bits & 0x1:
            raise refused(info.filename, "it is locked with a password", "パスワード付きです")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise refused(info.filename, "it is packed in a way of its own", "圧縮方式が違います")
        inner = info.filename.removeprefix(f"{top}/")
        is_tag = inner in (*bag.TAG_FILES, bag.TAGS)
        if inner == info.filename or not (is_tag or _PATH.fullmatch(inner)):
            raise refused(info.filename, "such a path is not allowed", "使えないパスです")
    twice = [name for name, times in Counter(names).items() if times > 1]
    if twice:
        raise refused(twice[0], "it is there twice", "同じ名前が二つあります")
    return top


def _tag(archive: zipfile.ZipFile, top: str, name: str, most: int) -> bytes:
    try:
        with archive.open(f"{top}/{name}") as stream:
            data = stream.read(most + 1)
    except KeyError:
        raise refused(name, "it is missing", "ありません") from None
    if len(data) > most:
        raise refused(name, "it is too large", "大きすぎます")
    return data


def _told(manifest: bytes) -> dict[str, Any]:
    told = orjson.loads(manifest)
    if not isinstance(told, dict) or told.get("format") != bag.FORMAT:
        known = told.get("format") if isinstance(told, dict) else None
        raise refused(
            bag.MANIFEST, f"its format {known!r} is not known here ({bag.FORMAT})",
            f"形式 {known!r} は扱えません（{bag.FORMAT} だけです）",
        )  # fmt: skip
    if not _is_sound(told):
        raise refused(bag.MANIFEST, "it is malformed", "形式が違います")
    return told


def _is_sound(told: Mapping[str, Any]) -> bool:
    """Whether what is read of it later is there, as it should be."""
    body, tree = told.get("organization"), told.get("organizations")
    platform, left_out = told.get("platform"), told.get("left_out")
    issuer = platform.get("issuer") if isinstance(platform, dict) else None
    return (
        isinstance(body, dict)
        and isinstance(tree, list)
        and all(isinstance(each, str) for each in tree)
        and body.get("id") in tree
        # These stand in the log for ever.
        and _ID.fullmatch(str(told.get("export"))) is not None
        and isinstance(issuer, str)
        and len(issuer) <= _LONGEST_ISSUER
        and isinstance(left_out, list)
        and all(isinstance(each, dict) for each in left_out)
    )


def _members(told: Mapping[str, Any]) -> dict[str, Member]:
    found: dict[str, Member] = {}
    listed = told.get("members")
    for each in listed if isinstance(listed, list) else [{}]:
        try:
            member = Member(each["path"], each["size"], each["sha256"], each.get("lines"))
            is_good = type(member.size) is int and member.size >= 0 and _PATH.fullmatch(member.path)
            if not is_good or not _SHA256.fullmatch(member.sha256) or member.path in found:
                raise ValueError
        except (TypeError, KeyError, ValueError, AttributeError):
            raise refused(
                bag.MANIFEST, "its list of members is malformed", "ファイル一覧の形式が違います"
            ) from None
        found[member.path] = member
    return found


def _check_whole(
    archive: zipfile.ZipFile, top: str, members: Mapping[str, Member], most_bytes: int
) -> None:
    """All that is listed is there, nothing else is, and it unpacks to what was announced."""
    there = {info.filename.removeprefix(f"{top}/"): info for info in archive.infolist()}
    missing = [name for name in (*members, *bag.TAG_FILES, bag.TAGS) if name not in there]
    if missing:
        raise refused(missing[0], "it is missing", "ありません")
    for name, info in there.items():
        if name.startswith("data/") and name not in members:
            raise refused(name, "the manifest does not list it", "一覧にありません")
        if name in members and info.file_size != members[name].size:
            raise refused(name, "its size is not that of the manifest", "一覧の大きさと違います")
        if info.file_size > max(_FREE, _RATIO * info.compress_size):
            raise refused(name, "it is packed as nothing in good faith is", "圧縮率が異常です")
    if sum(each.size for each in members.values()) > most_bytes:
        most = most_bytes >> 30
        raise refused(
            bag.MANIFEST,
            f"it unpacks to more than {most} GB: give --most-gb",
            f"展開すると {most} GB を超えます（--most-gb で指定）",
        )
    if _tag(archive, top, bag.PAYLOAD, _MOST_MANIFEST) != bag.payload_manifest(
        list(members.values())
    ):
        raise refused(bag.PAYLOAD, "it is not what the manifest says", "export.json と一致しません")


def _proven(archive: zipfile.ZipFile, top: str, member: Member) -> Iterator[bytes]:
    """The bytes; refuses at the end what is not what the manifest says of it."""
    digest, left = hashlib.sha256(), member.size
    with _reading(member.path), archive.open(f"{top}/{member.path}") as stream:
        while piece := _read(stream):
            left -= len(piece)
            if left < 0:
                raise refused(
                    member.path, "it is larger than announced", "宣言より大きいファイルです"
                )
            digest.update(piece)
            yield piece
    if left or digest.hexdigest() != member.sha256:
        raise refused(
            member.path, "its bytes are not those that were signed", "内容が署名時と違います"
        )


def _read(stream: IO[bytes]) -> bytes:
    return stream.read(_PIECE)


def _lines(pieces: Iterator[bytes], name: str) -> Iterator[bytes]:
    held = b""
    for piece in pieces:
        *whole, held = (held + piece).split(b"\n")
        yield from whole
        if len(held) > _LONGEST_LINE:
            raise refused(name, "a line of it is too long", "長すぎる行があります")
    if held:
        yield held


def _check_numbers(member: Member, pieces: Iterator[bytes]) -> None:
    """Nobody's individual number comes in, in rows or beside them."""
    is_json = member.path.endswith(".ndjson")
    is_scanned = is_json or member.path.endswith(".csv")
    watch = Watch()
    found: list[int] = []
    its = (line + b"\n" for line in _lines(pieces, member.path)) if is_json else pieces
    for piece in its:
        if is_scanned:
            found += watch.feed(_OPAQUE.sub(b"-", _spelled(piece)) if is_json else piece)
    if is_scanned:
        found += watch.feed(b"", last=True)
    if found:
        raise IndividualNumberRefused(
            Where(f"{member.path} の{found[0]}行目", f"line {found[0]} of {member.path}")
        )


def _spelled(line: bytes) -> bytes:
    """The line with every character as itself: a digit may be written as `\\u0031`."""
    if b"\\u" not in line:
        return line
    try:
        return orjson.dumps(orjson.loads(line), option=orjson.OPT_APPEND_NEWLINE)
    except ValueError:
        return line  # it is refused as no JSON


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
