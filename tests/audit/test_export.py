"""An expert with the file and one script finds every kind of change, and nothing where none is."""

import base64
import importlib.util
import io
import json
import secrets
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest
import pytest_asyncio
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from hypothesis import given
from hypothesis import settings as tries
from hypothesis import strategies as st

from app.audit.events import Event
from app.audit.merkle import Frontier, entry_hash, leaf_hash
from app.audit.notes import LOG, WITNESS, Checkpoint, Note, Signer, Verifier
from app.kit.settings import Settings
from app.models.parties import Role
from tests.cli.test_demo import Home
from tests.database import REPO
from tests.world import World

SCRIPT = REPO / "deploy" / "verify_log.py"


def load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("verify_log", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


script = load()


# --- the signature -------------------------------------------------------------------------------


def by_library(public: bytes, message: bytes, signature: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


@tries(max_examples=40)
@given(st.binary(min_size=32, max_size=32), st.binary(max_size=200), st.integers(0, 511))
def test_signatures_are_judged_as_the_library_judges_them(
    seed: bytes, message: bytes, bit: int
) -> None:
    key = Ed25519PrivateKey.from_private_bytes(seed)
    public, signature = key.public_key().public_bytes_raw(), key.sign(message)
    flipped = bytearray(signature)
    flipped[bit // 8] ^= 1 << bit % 8
    other_key = bytearray(public)
    other_key[bit // 8 % 32] ^= 1 << bit % 8

    assert script.is_signed(public, message, signature)
    assert not script.is_signed(public, message + b"\x00", signature)
    assert not script.is_signed(public, message, bytes(flipped))
    assert not script.is_signed(bytes(other_key), message, signature)


SMALL = [bytes.fromhex(point) for point in (
    "0100000000000000000000000000000000000000000000000000000000000000",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "0000000000000000000000000000000000000000000000000000000000000080",
    "0000000000000000000000000000000000000000000000000000000000000000",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
)]  # fmt: skip


@pytest.mark.parametrize("times", [1, 2, 15])
def test_a_signature_that_was_added_to_is_refused(times: int) -> None:
    key = Ed25519PrivateKey.generate()
    signature, public = key.sign(b"x"), key.public_key().public_bytes_raw()
    s = int.from_bytes(signature[32:], "little") + times * script.L
    if s >= 1 << 256:
        s = script.L
    malleable = signature[:32] + s.to_bytes(32, "little")

    assert not script.is_signed(public, b"x", malleable)
    assert not by_library(public, b"x", malleable)


@pytest.mark.parametrize("public", SMALL)
@pytest.mark.parametrize("r", [SMALL[0], SMALL[4], b"\xff" * 32])
def test_points_of_small_order_are_judged_as_the_library_judges_them(
    public: bytes, r: bytes
) -> None:
    for s in (0, 1, script.L - 1, script.L):
        signature = r + s.to_bytes(32, "little")
        assert script.is_signed(public, b"x", signature) == by_library(public, b"x", signature)


@pytest.mark.parametrize("encoded", [
    (script.P + 1).to_bytes(32, "little"), (1 | 1 << 255).to_bytes(32, "little"),
    (2).to_bytes(32, "little"), b"\xff" * 32, b"", b"\x01" * 31,
])  # fmt: skip
def test_what_encodes_no_point_is_no_key(encoded: bytes) -> None:
    assert not script.is_signed(encoded, b"x", SMALL[0] + bytes(32))


def test_a_note_of_another_implementation_is_read_and_verified() -> None:
    # The example of golang.org/x/mod/sumdb/note.
    key = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
    note = (
        "If you think cryptography is the answer to your problem,\n"
        "then you don't know what your problem is.\n\n"
        "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
    )

    assert Note.parse(note).is_signed_by(Verifier.parse(key))
    assert script.check_note(note, script.read_key(key)) == Note.parse(note).text
    for other in (note.replace("think", "thank"), note.replace("x08go/Z", "x08go/Y")):
        assert not Note.parse(other).is_signed_by(Verifier.parse(key))
        with pytest.raises(script.Finding):
            script.check_note(other, script.read_key(key))


# --- the file ------------------------------------------------------------------------------------


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def auditor(client: httpx.AsyncClient, platform: Any) -> AsyncIterator[dict[str, str]]:
    world = World(platform, client)
    for at in range(30):
        await platform.log.write(Event.CALL_REFUSED, code=f"輸出-{at}")
    party = await world.party("270008-smartcity", Role.AUDITOR)
    headers = await world.token(party, "audit:read")
    await platform.log_keeper.keep()
    yield headers


async def exported(client: httpx.AsyncClient, headers: dict[str, str], **asked: int) -> bytes:
    response = await client.get("/v1/admin/audit/export", params=asked, headers=headers)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "application/x-ndjson"
    return response.content


def found(file: bytes, *keys: str, known: str | None = None) -> str:
    """What the script says of a file, in English; empty where all is well."""
    try:
        script.verify(io.BytesIO(file), list(keys), known)
    except script.Finding as finding:
        assert finding.ja
        return str(finding.en)
    return ""


async def test_the_whole_log_any_part_and_a_single_entry_verify(
    client: httpx.AsyncClient, auditor: dict[str, str]
) -> None:
    key = (await client.get("/v1/log/key")).text.strip()
    whole = await exported(client, auditor, **{"from": 1})
    last = json.loads(whole.splitlines()[0])["last"]

    assert len(whole.splitlines()) == last + 1
    for first, end in ((1, last), (1, 1), (last, last), (5, 20), (8, 9), (2, last)):
        part = await exported(client, auditor, **{"from": first, "to": end})
        assert found(part, key) == ""


async def test_only_auditors_export_and_only_what_is_signed(
    client: httpx.AsyncClient, auditor: dict[str, str]
) -> None:
    door = "/v1/admin/audit/export"

    assert (await client.get(door, params={"from": 1})).status_code == 401
    asked = {"from": 3, "to": 10**9}
    beyond = await client.get(door, params=asked, headers=auditor)
    assert (beyond.status_code, beyond.json()["code"]) == (404, "log_size_unknown")
    for wrong in ({"from": 0}, {"from": -1}, {}, {"from": 2**63}):
        assert (await client.get(door, params=wrong, headers=auditor)).status_code == 400
    turned = await client.get(door, params={"from": 9, "to": 3}, headers=auditor)
    assert turned.status_code == 404


async def test_the_script_alone_tells_in_both_languages_and_by_its_exit(
    client: httpx.AsyncClient, auditor: dict[str, str], tmp_path: Path
) -> None:
    key = (await client.get("/v1/log/key")).text.strip()
    (tmp_path / "log.jsonl").write_bytes(await exported(client, auditor, **{"from": 1}))
    edited = (await exported(client, auditor, **{"from": 1})).replace(
        "輸出-7".encode(), "輸入-7".encode()
    )
    (tmp_path / "edited.jsonl").write_bytes(edited)
    (tmp_path / "no.jsonl").write_text("{}\n")

    def run(*words: str) -> tuple[int, str]:
        done = subprocess.run(
            [sys.executable, "-I", "-S", str(SCRIPT), *words],
            cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        return done.returncode, done.stdout + done.stderr

    assert run("log.jsonl", "--key", key)[0] == 0
    assert "正常" in run("log.jsonl")[1] and "Compare it" in run("log.jsonl")[1]
    code, said = run("edited.jsonl", "--key", key)
    assert (code, "改変" in said, "was changed" in said) == (1, True, True)
    assert run("no.jsonl")[0] == 2
    assert run("absent.jsonl")[0] == 2


async def test_the_operators_command_exports_and_the_script_verifies(
    auditor: dict[str, str], settings: Settings, database_url: str, tmp_path: Path
) -> None:
    home, file = Home(settings.home, 1), tmp_path / "log.jsonl"
    file.write_text("older, longer\n" * 10_000)
    file.chmod(0o644)

    def export(where: Path) -> "subprocess.CompletedProcess[str]":
        return home.run(
            "audit", "export", "--from", "4", str(where),
            URBANOS_DATABASE_URL=database_url, URBANOS_PUBLIC_URL=str(settings.public_url),
        )  # fmt: skip

    done, nowhere = export(file), export(tmp_path / "none" / "log.jsonl")

    assert nowhere.returncode == 2 and "Traceback" not in nowhere.stderr
    assert "書き込めません" in nowhere.stderr or "cannot be written" in nowhere.stderr
    assert done.returncode == 0, done.stderr
    assert "verify_log.py" in done.stderr
    assert found(file.read_bytes()) == ""
    assert lines_of(file.read_bytes())[0]["first"] == 4
    assert file.stat().st_mode & 0o77 == 0


async def test_no_byte_of_the_file_can_be_another(
    client: httpx.AsyncClient, auditor: dict[str, str]
) -> None:
    key = (await client.get("/v1/log/key")).text.strip()
    file = await exported(client, auditor, **{"from": 11, "to": 14})
    size = len(file.splitlines()[0])
    places = [*range(0, size, 5), *range(size, len(file) - 1, 4)]

    unseen = []
    for place in places:
        other = bytearray(file)
        other[place] ^= 1 << place % 6
        if not found(bytes(other), key) and bytes(other).lower() != file.lower():
            unseen.append(bytes(other[place - 20 : place + 20]))

    assert unseen == []


def lines_of(file: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.splitlines()]


def as_file(lines: list[dict[str, Any]]) -> bytes:
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


def chained_anew(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What a forger does who knows how the chain is made: numbers and hashes fit again."""
    previous, first = bytes.fromhex(lines[0]["previous"]), lines[0]["first"]
    for seq, line in enumerate(lines[1:], start=first):
        previous = entry_hash(previous, line["body"])
        line |= {"seq": seq, "hash": previous.hex()}
    lines[0]["last"] = first + len(lines) - 2
    return lines


@pytest.mark.parametrize("anew", [False, True])
@pytest.mark.parametrize("kind", ["edited", "cut", "end cut", "reordered", "put in", "twice"])
async def test_entries_edited_cut_reordered_or_put_in_are_found(
    client: httpx.AsyncClient, auditor: dict[str, str], kind: str, anew: bool
) -> None:
    lines = lines_of(await exported(client, auditor, **{"from": 3, "to": 20}))
    if kind == "edited":
        lines[6]["body"] = lines[6]["body"].replace("event", "evemt")
    elif kind == "cut":
        del lines[6]
    elif kind == "end cut":
        del lines[-1]
    elif kind == "reordered":
        lines[6], lines[7] = lines[7], lines[6]
    elif kind == "put in":
        lines.insert(6, {**lines[6], "body": '{"event":"call.refused"}'})
    else:
        lines.insert(6, dict(lines[6]))

    said = found(as_file(chained_anew(lines) if anew else lines))

    assert said
    if anew:
        assert "written anew or forked" in said or "proof" in said


def signed_log(signer: Signer, bodies: list[str]) -> tuple[Checkpoint, bytes]:
    """A small log from its beginning, signed, as a file."""
    tree, previous, lines = Frontier(), script.FIRST_PREVIOUS, []
    for seq, body in enumerate(bodies, start=1):
        previous = entry_hash(previous, body)
        tree.add(leaf_hash(previous))
        lines.append({"seq": seq, "body": body, "hash": previous.hex()})
    point = Checkpoint(signer.name, tree.size, tree.root())
    note = str(Note(point.text, (signer.sign(point.text),)))
    head = {
        "format": "urbanos-log-1", "key": str(signer.verifier), "checkpoint": note, "first": 1,
        "last": tree.size, "previous": script.FIRST_PREVIOUS.hex(), "proof": [],
    }  # fmt: skip
    return point, as_file([head, *lines])


def test_a_fork_signed_by_the_true_key_is_found_by_a_checkpoint_from_before() -> None:
    signer = Signer("a.example/log", LOG, Ed25519PrivateKey.generate())
    bodies = [f'{{"n":{at}}}' for at in range(9)]
    key = str(signer.verifier)

    def known(count: int, of: list[str]) -> str:
        text = signed_log(signer, of[:count])[0].text
        return str(Note(text, (signer.sign(text),)))

    _, honest = signed_log(signer, bodies)
    _, forked = signed_log(signer, [*bodies[:4], "{}", *bodies[5:]])

    assert found(honest, key) == found(forked, key) == ""
    for count in (5, 7, 9):
        assert found(honest, key, known=known(count, bodies)) == ""
        assert "forked" in found(forked, key, known=known(count, bodies))
    assert found(forked, key, known=known(4, bodies)) == ""
    assert "shorter" in found(honest, key, known=known(10, [*bodies, "{}"]))


def by_main(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: str
) -> tuple[int, str]:
    """The exit of the script as it is called, and what it said."""
    monkeypatch.setattr(sys, "argv", ["verify_log.py", *words])
    code = script.main()
    said = capsys.readouterr()
    return code, said.out + said.err


def test_a_known_checkpoint_that_is_empty_is_never_taken_for_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    signer = Signer("a.example/log", LOG, Ed25519PrivateKey.generate())
    file, known = tmp_path / "log.jsonl", tmp_path / "known"
    file.write_bytes(signed_log(signer, ["{}", "{}"])[1])
    known.write_bytes(b"")

    asked = (str(file), "--key", str(signer.verifier), "--known")

    code, said = by_main(monkeypatch, capsys, *asked, str(known))
    assert (code, "異常" in said, "not signed" in said) == (1, True, True)
    assert by_main(monkeypatch, capsys, *asked, "")[0] == 2


def test_a_checkpoint_of_the_empty_log_is_the_beginning_of_every_log_of_its_key() -> None:
    signer = Signer("a.example/log", LOG, Ed25519PrivateKey.generate())
    _, file = signed_log(signer, ["{}", "{}"])

    def known(root: bytes) -> str:
        text = Checkpoint(signer.name, 0, root).text
        return str(Note(text, (signer.sign(text),)))

    assert found(file, str(signer.verifier), known=known(Frontier().root())) == ""
    assert "forked" in found(file, str(signer.verifier), known=known(bytes(32)))


def test_a_checkpoint_that_is_no_text_is_told_and_no_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    signer = Signer("a.example/log", LOG, Ed25519PrivateKey.generate())
    lines = lines_of(signed_log(signer, ["{}"])[1])
    lines[0]["checkpoint"] = "\ud800" + lines[0]["checkpoint"]
    (tmp_path / "log.jsonl").write_bytes(as_file(lines))

    code, said = by_main(monkeypatch, capsys, str(tmp_path / "log.jsonl"))

    assert (code, "UTF-8" in said) == (2, True)


def test_keys_of_others_and_witnesses_that_did_not_sign_are_told() -> None:
    signer, other = (Signer("a.example/log", LOG, Ed25519PrivateKey.generate()) for _ in range(2))
    witness = Signer("w.example", WITNESS, Ed25519PrivateKey.generate())
    point, file = signed_log(signer, ["{}", "{}"])
    lines = lines_of(file)
    lines[0]["checkpoint"] += f"{witness.cosign(point.text, 1_790_000_000)}\n"

    assert "another key" in found(file, str(other.verifier))
    assert "not signed" in found(file, str(signer.verifier), str(witness.verifier))
    assert found(as_file(lines), str(signer.verifier), str(witness.verifier)) == ""
    wrong = base64.b64encode(witness.verifier.id + secrets.token_bytes(72)).decode()
    lines[0]["checkpoint"] += f"— w.example {wrong}\n"
    assert "is wrong" in found(as_file(lines), str(signer.verifier), str(witness.verifier))
