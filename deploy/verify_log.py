#!/usr/bin/env python3
"""Verifies an export of the urban OS log. It needs Python 3.9 or newer and nothing else.

都市OSの監査ログの書き出しファイルを検証します。Python 3.9以降だけで動き、他に何も要りません。

    python3 verify_log.py FILE --key KEY [--witness KEY]... [--known CHECKPOINT]

What is verified, in this order:
  1. The checkpoint is signed by the log's key (Ed25519, RFC 8032), and by every witness named.
  2. The entries follow each other without a gap, and each one's hash is
         SHA-256(hash of the entry before ‖ text of the entry in UTF-8).
  3. They are, at their places, in the Merkle tree (RFC 6962) whose root was signed:
         leaf = SHA-256(0x00 ‖ hash of the entry), node = SHA-256(0x01 ‖ left ‖ right).
  4. A checkpoint that somebody kept from before (--known) speaks of the same log.
検証の順序:
  1. チェックポイントに、ログの鍵と、指定した立会人全員の正しい署名があること。
  2. 記録が欠番なく続き、各記録のハッシュが SHA-256(直前の記録のハッシュ ‖ 記録の本文) であること。
  3. それらの記録が、署名されたルートを持つマークル木の所定の位置にあること。
  4. 以前から保管されているチェックポイント（--known）が、同じログのものであること。

KEY is what the log's operator published (GET /v1/log/key) and what YOU kept or got from somebody
else: a file that was forged as a whole carries a forged key as well.
KEY には、運営者が公開し、あなたが別途保管または入手した鍵を指定してください。ファイル全体が偽造
された場合、ファイル内の鍵も偽物です。

Exit: 0 all is as it was written, 1 something is not, 2 it could not be read or compared.
終了コード: 0 正常、1 異常あり、2 読み取りまたは比較ができない。

The file is JSON, a line each. The first line says what the file is; every other line is one entry:
  {"format": "urbanos-log-1", "key": …, "checkpoint": …, "first": 5, "last": 9,
   "previous": hash of entry 4, "proof": [hashes of the subtrees outside of 5 to 9, left to right]}
  {"seq": 5, "body": text of the entry, "hash": …}

An extract holds only the entries that concern one body, each with its own way to the signed root
(RFC 9162, section 2.1.3.2). What it cannot show is that no other entry concerns that body.
抜粋は一つの組織に関わる記録だけを含み、各記録に署名済みルートまでの証明が付きます。ほかに関係する
記録がないことは示せません。
  {"format": "urbanos-log-extract-1", "key": …, "checkpoint": …}
  {"seq": 5, "body": …, "previous": hash of entry 4, "path": [hashes, from the leaf up]}
"""

import argparse
import base64
import hashlib
import json
import sys
from typing import BinaryIO, Dict, Iterator, List, NamedTuple, Optional, Tuple

OK, WRONG, UNREADABLE = 0, 1, 2
FORMAT = "urbanos-log-1"
EXTRACT = "urbanos-log-extract-1"
FIRST_PREVIOUS = hashlib.sha256(b"urbanos log 1").digest()  # stands before entry 1
LOG_KEY, WITNESS_KEY = 1, 4  # types of keys, C2SP signed-note
LONGEST_LINE = 1 << 20


class Finding(Exception):
    """What is wrong, in Japanese and English."""

    exit_code = WRONG

    def __init__(self, ja: str, en: str) -> None:
        super().__init__(en)
        self.ja, self.en = ja, en


class Unreadable(Finding):
    """Nothing can be said of the log: the file is another sort of file, or too little of it."""

    exit_code = UNREADABLE


# --- 1. Ed25519, RFC 8032, section 5.1 -----------------------------------------------------------
# The curve is -x² + y² = 1 + d·x²·y² over the integers modulo p. A point (x, y) is held as
# (X, Y, Z, T) with x = X/Z, y = Y/Z, x·y = T/Z.

Point = Tuple[int, int, int, int]
P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493  # the order of the base point
D = -121665 * pow(121666, P - 2, P) % P
SQRT_M1 = pow(2, (P - 1) // 4, P)
NEUTRAL: Point = (0, 1, 1, 0)


def add(a: Point, b: Point) -> Point:
    """Section 5.1.4: the sum of two points."""
    x1, y1, z1, t1 = a
    x2, y2, z2, t2 = b
    low = (y1 - x1) * (y2 - x2) % P
    high = (y1 + x1) * (y2 + x2) % P
    twisted = 2 * t1 * t2 * D % P
    scaled = 2 * z1 * z2 % P
    e, f, g, h = high - low, scaled - twisted, scaled + twisted, high + low
    return (e * f % P, g * h % P, f * g % P, e * h % P)


def multiply(scalar: int, point: Point) -> Point:
    """The point added to itself `scalar` times, by doubling."""
    result = NEUTRAL
    while scalar:
        if scalar & 1:
            result = add(result, point)
        point = add(point, point)
        scalar >>= 1
    return result


def encode(point: Point) -> bytes:
    """Section 5.1.2: y in 255 bits, and the lowest bit of x."""
    x, y, z, _ = point
    inverse = pow(z, P - 2, P)
    x, y = x * inverse % P, y * inverse % P
    return (y | (x & 1) << 255).to_bytes(32, "little")


def decode(encoded: bytes) -> Optional[Point]:
    """Section 5.1.3: the point, or None where the bytes are not the encoding of one."""
    number = int.from_bytes(encoded, "little")
    sign, y = number >> 255, number & ((1 << 255) - 1)
    if y >= P:
        return None
    u, v = (y * y - 1) % P, (D * y * y + 1) % P  # x² = u/v
    x = u * pow(v, 3, P) * pow(u * pow(v, 7, P), (P - 5) // 8, P) % P
    if v * x * x % P == -u % P:
        x = x * SQRT_M1 % P
    if v * x * x % P != u or (x == 0 and sign):
        return None
    if x & 1 != sign:
        x = P - x
    return (x, y, 1, x * y % P)


BASE = decode((4 * pow(5, P - 2, P) % P).to_bytes(32, "little"))


def is_signed(public: bytes, message: bytes, signature: bytes) -> bool:
    """Section 5.1.7: whether `signature` is the one of `message` under the key `public`.

    S must be below L (otherwise S + L would sign as well), and R = S·B - k·A bit for bit.
    """
    if len(public) != 32 or len(signature) != 64:
        return False
    a, r = decode(public), signature[:32]
    s = int.from_bytes(signature[32:], "little")
    if a is None or BASE is None or s >= L:
        return False
    k = int.from_bytes(hashlib.sha512(r + public + message).digest(), "little") % L
    minus_a = (P - a[0], a[1], a[2], P - a[3])
    return encode(add(multiply(s, BASE), multiply(k, minus_a))) == r


# --- 2. signed notes (c2sp.org/signed-note, tlog-checkpoint, tlog-cosignature) -------------------


class Key(NamedTuple):
    """A public key: NAME+ID+BASE64, where ID is made from the name and the key."""

    name: str
    id: bytes
    kind: int
    public: bytes


class Checkpoint(NamedTuple):
    """How many entries a log has, and the root of the tree over them."""

    origin: str
    size: int
    root: bytes


def from_base64(text: str, ja: str, en: str) -> bytes:
    try:
        return base64.b64decode(text.encode(), validate=True)
    except ValueError:
        raise Finding(f"{ja}を読めません。", f"{en} cannot be read.") from None


def read_key(text: str) -> Key:
    parts = text.strip().split("+", 2)
    if len(parts) != 3:
        raise Finding(f"鍵の形式が違います: {text}", f"This is no key of a log: {text}")
    key = from_base64(parts[2], "鍵", "The key")
    made = hashlib.sha256(parts[0].encode() + b"\n" + key).digest()[:4]
    if len(key) != 33 or key[0] not in (LOG_KEY, WITNESS_KEY) or made.hex() != parts[1]:
        raise Finding(f"鍵が正しくありません: {text}", f"The key does not fit its id: {text}")
    return Key(parts[0], made, key[0], key[1:])


def read_checkpoint(text: str) -> Checkpoint:
    lines = text.split("\n")
    if len(lines) < 4 or not lines[1].isascii() or not lines[1].isdigit() or len(lines[1]) > 18:
        raise Finding("チェックポイントの形式が壊れています。", "The checkpoint is malformed.")
    root = from_base64(lines[2], "チェックポイントのルート", "The checkpoint's root")
    return Checkpoint(lines[0], int(lines[1]), root)


def check_note(note: str, key: Key) -> str:
    """The text of a note that the key signed."""
    text, gap, signatures = note.rpartition("\n\n")
    text += "\n"
    found = False
    for line in signatures.split("\n"):
        parts = line.split(" ")
        if not gap or len(parts) != 3 or parts[0] != "\u2014" or parts[1] != key.name:
            continue
        signed = from_base64(parts[2], "署名", "A signature")
        if signed[:4] != key.id:
            continue
        message, signature = text.encode(), signed[4:]
        if key.kind == WITNESS_KEY:
            seconds = int.from_bytes(signature[:8], "big")
            message = f"cosignature/v1\ntime {seconds}\n{text}".encode()
            signature = signature[8:]
        if not is_signed(key.public, message, signature):
            raise Finding(
                f"チェックポイントの署名が正しくありません（{key.name}）。内容か署名が改変されています。",
                f"The signature of {key.name} under the checkpoint is wrong: one was changed.",
            )
        found = True
    if not found:
        raise Finding(
            f"チェックポイントに、指定の鍵 {key.name} による署名がありません。別の鍵で作られたログの可能性があります。",
            f"The checkpoint is not signed by this key of {key.name}: it may be another log's.",
        )
    return text


# --- 3. the tree (RFC 6962, section 2.1) ---------------------------------------------------------


def leaf_hash(entry: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def root_of(
    size: int, first: int, end: int, leaves: Iterator[bytes], proof: Iterator[bytes]
) -> bytes:
    """The root of the tree of `size` leaves: those of `first` to `end` (index from 0, without
    `end`) are computed, and the subtrees that hold none of them are taken from the proof."""

    def subtree(low: int, high: int) -> bytes:
        if high <= first or low >= end:
            return next(proof)
        if high - low == 1:
            return next(leaves)
        middle = low + (1 << ((high - low - 1).bit_length() - 1))
        left = subtree(low, middle)
        return node_hash(left, subtree(middle, high))

    return subtree(0, size)


def root_by_path(index: int, size: int, leaf: bytes, path: List[bytes]) -> Optional[bytes]:
    """The root that the way from a leaf leads to; None where it is no way in such a tree."""
    place, last = index, size - 1
    for other in path:
        if last == 0:
            return None
        if place & 1 or place == last:
            leaf = node_hash(other, leaf)
            while place and not place & 1:
                place, last = place >> 1, last >> 1
        else:
            leaf = node_hash(leaf, other)
        place, last = place >> 1, last >> 1
    return leaf if last == 0 else None


class Growing:
    """The root of a tree that one leaf after another is added to.

    It may begin with leaves that are not at hand: `full` then are the roots of the full subtrees
    over them, the largest first, as a proof begins with them.
    """

    def __init__(self, size: int, full: List[bytes]) -> None:
        self.size = size
        self.full = list(full)

    def add(self, leaf: bytes) -> None:
        waiting = self.size
        while waiting & 1:
            leaf = node_hash(self.full.pop(), leaf)
            waiting >>= 1
        self.full.append(leaf)
        self.size += 1

    def root(self) -> bytes:
        if not self.full:
            return hashlib.sha256().digest()
        root = self.full[-1]
        for left in reversed(self.full[:-1]):
            root = node_hash(left, root)
        return root


# --- 4. the file ---------------------------------------------------------------------------------


class Header(NamedTuple):
    """The first line."""

    key: str
    checkpoint: str
    first: int
    last: int
    previous: bytes
    proof: List[bytes]


def read_line(line: bytes, number: int) -> Dict[str, object]:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise Finding(f"{number} 行目を読めません。", f"Line {number} cannot be read.")
    return found


def read_header(file: BinaryIO) -> Header:
    line = read_line(file.readline(LONGEST_LINE), 1)
    if line.get("format") != FORMAT:
        raise Unreadable("都市OSのログの書き出しではありません。", "This is no export of a log.")
    try:
        first, last, proof = line["first"], line["last"], line["proof"]
        if type(first) is not int or type(last) is not int or not isinstance(proof, list):
            raise TypeError
        previous = bytes.fromhex(str(line["previous"]))
        hashes = [bytes.fromhex(str(one)) for one in proof]
        if any(len(one) != 32 for one in (previous, *hashes)):
            raise ValueError
        return Header(str(line["key"]), str(line["checkpoint"]), first, last, previous, hashes)
    except (KeyError, TypeError, ValueError):
        raise Finding("1 行目が壊れています。", "The first line is damaged.") from None


def entry_hashes(file: BinaryIO, header: Header) -> Iterator[bytes]:
    """The hash of every entry, computed from its text and the hash before; raises `Finding`."""
    previous = header.previous
    for seq in range(header.first, header.last + 1):
        number = seq - header.first + 2
        line = file.readline(LONGEST_LINE)
        if not line:
            raise Finding(
                f"記録 {seq} 以降がありません（{header.last} まであるはずです）。末尾が切り取られています。",
                f"Entry {seq} and those after it, up to {header.last}, are missing: the end was cut.",
            )
        entry = read_line(line, number)
        if entry.get("seq") != seq:
            raise Finding(
                f"{number} 行目は記録 {seq} のはずですが {entry.get('seq')} です。削除、挿入または並べ替えがあります。",
                f"Line {number} should hold entry {seq} and holds {entry.get('seq')}:"
                " an entry was cut out, put in or moved.",
            )
        try:
            body = str(entry.get("body")).encode()
        except UnicodeEncodeError:
            body = b""
        previous = hashlib.sha256(previous + body).digest()
        if entry.get("hash") != previous.hex():
            raise Finding(
                f"記録 {seq} が直前の記録とつながりません。この記録の本文かハッシュ、または直前の記録が改変されています。",
                f"Entry {seq} does not fit the one before: its text or hash was changed,"
                " or the entry before was.",
            )
        yield previous
    if file.readline(LONGEST_LINE).strip():
        raise Finding(
            f"記録 {header.last} の後に余分な行があります。",
            f"There are lines after entry {header.last}, which should be the last.",
        )


def check_range(header: Header, checkpoint: Checkpoint) -> None:
    if not 1 <= header.first <= header.last <= checkpoint.size:
        raise Finding(
            f"記録の範囲 {header.first}～{header.last} がチェックポイント（{checkpoint.size} 件）に収まりません。",
            f"Entries {header.first} to {header.last} are not among the {checkpoint.size}"
            " that the checkpoint speaks of.",
        )
    if header.first == 1 and header.previous != FIRST_PREVIOUS:
        raise Finding(
            "記録 1 の前のハッシュが規定の値ではありません。",
            "What stands before entry 1 is not what every log begins with.",
        )


def check_entries(
    file: BinaryIO, header: Header, checkpoint: Checkpoint, known_size: int
) -> Optional[bytes]:
    """Check entries and root; the root of the first `known_size` entries where it can be told."""
    before = header.first - 1
    grown = Growing(before, header.proof[: bin(before).count("1")])
    compares = 0 < known_size <= header.last
    found = grown.root() if compares and known_size == before else None

    def leaves() -> Iterator[bytes]:
        nonlocal found
        for entry in entry_hashes(file, header):
            leaf = leaf_hash(entry)
            if compares and found is None:
                grown.add(leaf)
                found = grown.root() if grown.size == known_size else None
            yield leaf

    each, proof = leaves(), iter(header.proof)
    try:
        root = root_of(checkpoint.size, header.first - 1, header.last, each, proof)
    except StopIteration:
        raise Finding("証明のハッシュが足りません。", "Hashes of the proof are missing.") from None
    next(each, None)  # looks for lines after the last entry
    if next(proof, None) is not None:
        raise Finding("証明のハッシュが余っています。", "The proof holds too many hashes.")
    if root != checkpoint.root:
        raise Finding(
            "記録どうしはつながっていますが、署名されたログの記録ではありません。書き直された、または分岐したログか、証明の改変です。",
            "The entries fit each other, but they are not those of the log that was signed:"
            " it was written anew or forked, or the proof was changed.",
        )
    return found


def check_known(known: Checkpoint, checkpoint: Checkpoint, root: Optional[bytes]) -> None:
    """That the log is the one that somebody saw before."""
    if known.origin != checkpoint.origin:
        raise Finding(
            "保管されたチェックポイントは別のログのものです。",
            "The known checkpoint is another log's.",
        )
    if known.size == 0:
        root = Growing(0, []).root()  # every log begins with the empty tree
    if known.size == checkpoint.size:
        root = checkpoint.root
    if known.size > checkpoint.size:
        raise Finding(
            f"ログが短くなっています（以前 {known.size} 件、現在 {checkpoint.size} 件）。",
            f"The log has become shorter: it had {known.size} entries and has {checkpoint.size}.",
        )
    if root is None:
        raise Unreadable(
            f"以前のチェックポイントと比べるには、{known.size + 1} 以下から始まり {known.size} 以上で終わる書き出しが必要です。",
            f"To compare with the known checkpoint, export entries from {known.size + 1} or before"
            f" up to {known.size} or more.",
        )
    if root != known.root:
        raise Finding(
            f"最初の {known.size} 件が、以前のチェックポイントと異なります。ログが分岐したか書き直されています。",
            f"The first {known.size} entries are not those of the known checkpoint:"
            " the log was forked or written anew.",
        )


def verify(
    file: BinaryIO, keys: List[str], known_note: Optional[str]
) -> Tuple[Header, Checkpoint, Key]:
    """Verify an export. `keys` are those of the log and of witnesses. Raises `Finding`."""
    header = read_header(file)
    checkpoint, log_key = check_signed(header.key, header.checkpoint, keys)
    check_range(header, checkpoint)
    known = None
    if known_note is not None:  # an empty file is no checkpoint, and proves nothing
        known = read_checkpoint(check_note(known_note, log_key))
    root = check_entries(file, header, checkpoint, known.size if known else 0)
    if known is not None:
        check_known(known, checkpoint, root)
    return header, checkpoint, log_key


def check_signed(named: str, note: str, keys: List[str]) -> Tuple[Checkpoint, Key]:
    """The checkpoint that the log's key, and every witness named, has signed."""
    read = [read_key(text) for text in keys]
    own = read_key(named)
    log_keys = [key for key in read if key.kind == LOG_KEY] or [own]
    if own != log_keys[0]:
        raise Finding(
            f"ファイルに記された鍵が、指定の鍵と異なります: {named}",
            f"The file names another key than the one given: {named}",
        )
    text = ""
    for key in log_keys + [key for key in read if key.kind == WITNESS_KEY]:
        text = check_note(note, key)
    checkpoint = read_checkpoint(text)
    if checkpoint.origin != log_keys[0].name:
        raise Finding("チェックポイントは別のログのものです。", "The checkpoint is another log's.")
    return checkpoint, log_keys[0]


# --- 5. an extract -------------------------------------------------------------------------------


def is_extract(file: BinaryIO) -> bool:
    """Whether the file is an extract; it stands at its beginning afterwards."""
    line = read_line(file.readline(LONGEST_LINE), 1)
    file.seek(0)
    return line.get("format") == EXTRACT


def named_key(file: BinaryIO) -> str:
    """The key that the file itself names: of itself it proves nothing."""
    file.seek(0)
    return str(read_line(file.readline(LONGEST_LINE), 1).get("key"))


def verify_extract(file: BinaryIO, keys: List[str]) -> Tuple[int, Checkpoint, Key]:
    """How many entries it holds, all of them in the signed log. Raises `Finding`."""
    head = read_line(file.readline(LONGEST_LINE), 1)
    checkpoint, key = check_signed(str(head.get("key")), str(head.get("checkpoint")), keys)
    count = before = 0
    while line := file.readline(LONGEST_LINE):
        count += 1
        before = check_extracted(read_line(line, count + 1), count + 1, before, checkpoint)
    return count, checkpoint, key


def check_extracted(
    entry: Dict[str, object], number: int, before: int, checkpoint: Checkpoint
) -> int:
    """Check one line of an extract, behind entry `before`; its number in the log."""
    seq, path = entry.get("seq"), entry.get("path")
    try:
        if type(seq) is not int or not isinstance(path, list) or not before < seq:
            raise ValueError
        ways = [bytes.fromhex(str(one)) for one in path]
        previous = bytes.fromhex(str(entry.get("previous"))) or FIRST_PREVIOUS
        if any(len(one) != 32 for one in (previous, *ways)):
            raise ValueError
        body = str(entry.get("body")).encode()
    except ValueError:
        raise Finding(f"{number} 行目が壊れています。", f"Line {number} is damaged.") from None
    leaf = leaf_hash(hashlib.sha256(previous + body).digest())
    if (
        seq > checkpoint.size
        or root_by_path(seq - 1, checkpoint.size, leaf, ways) != checkpoint.root
    ):
        raise Finding(
            f"記録 {seq} は署名されたログの記録ではありません。本文か証明が改変されています。",
            f"Entry {seq} is not one of the log that was signed: its text or its proof was changed.",
        )
    return seq


def say_extract(count: int, checkpoint: Checkpoint, key: Key) -> None:
    """Say what an extract holds."""
    print(
        f"正常: 抜粋の {count} 件は、{key.name} の全 {checkpoint.size} 件の署名済みログにあります。"
    )
    print(f"OK: the {count} entries are in the signed log of {checkpoint.size} of {key.name}.")


def say_export(header: Header, checkpoint: Checkpoint, key: Key) -> None:
    """Say what an export holds."""
    count = header.last - header.first + 1
    print(
        f"正常: {key.name} の記録 {header.first}～{header.last}（{count} 件）は、全 {checkpoint.size} 件の署名済みログのとおりです。"
    )
    print(
        f"OK: entries {header.first} to {header.last} ({count}) of {key.name} are those of the signed log of {checkpoint.size}."
    )


def main() -> int:
    """Verify one file and say what was found, in Japanese and English."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n    ", 1)[0])
    parser.add_argument("file", help="the export 書き出しファイル")
    parser.add_argument("--key", action="append", default=[], help="the log's key ログの検証鍵")
    parser.add_argument(
        "--witness",
        action="append",
        default=[],
        help="a witness's key, who must have signed 立会人の鍵",
    )
    parser.add_argument(
        "--known", help="a checkpoint kept from before 以前のチェックポイントのファイル"
    )
    asked = parser.parse_args()
    try:
        known = None
        if asked.known is not None:
            with open(asked.known, encoding="utf-8", newline="") as kept:
                known = kept.read()
        with open(asked.file, "rb") as file:
            if is_extract(file):
                if known is not None:
                    raise Unreadable(
                        "抜粋は以前のチェックポイントと比べられません。",
                        "An extract cannot be compared with a known checkpoint.",
                    )
                say_extract(*verify_extract(file, asked.key + asked.witness))
            else:
                say_export(*verify(file, asked.key + asked.witness, known))
            named = named_key(file)
    except OSError as exc:
        print(f"読めません: {exc}\nCannot be read: {exc}", file=sys.stderr)
        return UNREADABLE
    except UnicodeError:
        print("UTF-8ではありません。\nThis is no UTF-8.", file=sys.stderr)
        return UNREADABLE
    except Finding as finding:
        print(f"異常: {finding.ja}\nWRONG: {finding.en}", file=sys.stderr)
        return finding.exit_code
    if not asked.key:
        print(f"注意: 鍵はファイル自身のものです。公開された鍵と見比べてください: {named}")
        print("NOTE: the key is the file's own. Compare it with the published one: --key")
    return OK


if __name__ == "__main__":
    sys.exit(main())
