"""A witness cosigns a log that only grows, and refuses every other, for good."""

import asyncio
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fastapi import FastAPI

from app.audit.cosignatures import witnesses_of
from app.audit.events import Event
from app.audit.merkle import Frontier, consistency_spans, leaf_hash, root_by_inclusion
from app.audit.notes import LOG, WITNESS, Checkpoint, Note, NoteRefused, Signer, Verifier
from app.audit.witness import LogForked, LogNotSigned, LogRolledBack
from app.cli.witness import WitnessFileUnusable, look
from app.models.parties import Role
from app.parties.seed import OPERATOR
from tests.serving import served
from tests.world import World


def new(name: str, kind: int) -> Signer:
    return Signer(name, kind, Ed25519PrivateKey.generate())


@pytest.fixture
def watcher(world: World) -> Signer:
    """A witness whose key the operator has set."""
    made = new("witness.sakai.example", WITNESS)
    world.platform.log_keeper.witnesses = (made.verifier,)
    return made


# --- a true log ----------------------------------------------------------------------------------


async def test_what_a_witness_signed_stands_below_the_checkpoint(
    client: httpx.AsyncClient, world: World, watcher: Signer, tmp_path: Path
) -> None:
    keeper = world.platform.log_keeper
    for at in range(3):
        await world.platform.log.write(Event.CALL_REFUSED, code=f"seen-{at}")
        await keeper.keep()

        line = await look(client, watcher, tmp_path / "state")

        note = Note.parse((await client.get("/v1/log/checkpoint")).text)
        log_key = Verifier.parse((await client.get("/v1/log/key")).text)
        assert note.is_signed_by(log_key) and note.is_signed_by(watcher.verifier)
        assert str(note.signatures[1]) == line
    await look(client, watcher, tmp_path / "state")  # nothing new is no fault
    await world.platform.log.write(Event.CALL_REFUSED, code="not yet seen")
    await keeper.keep()
    newest = (await client.get("/v1/log/checkpoint")).text
    witnessed = (await client.get("/v1/log/checkpoint", params={"witnessed": True})).text
    assert len(Note.parse(newest).signatures) == 1
    assert Note.parse(witnessed).signatures == note.signatures
    assert (tmp_path / "state").stat().st_mode & 0o77 == 0


async def test_only_a_known_witness_with_a_true_signature_is_heard(
    client: httpx.AsyncClient, world: World, watcher: Signer
) -> None:
    await world.platform.log_keeper.keep()
    signed = await world.platform.log_keeper.checkpoint()
    text, now = Note.parse(signed.note).text, int(time.time())
    namesake = new(watcher.name, WITNESS)
    other_text = text.replace("urbanos", "suburban")
    wrong = {
        "an unknown key": namesake.cosign(text, now),
        "another text": watcher.cosign(other_text, now),
        "the future": watcher.cosign(text, now + 3_600),
        "beyond all time": watcher.cosign(text, 2**64 - 1),
        "a log's signature": watcher.sign(text),
    }

    for why, signature in wrong.items():
        body = {"size": signed.size, "signature": str(signature)}
        answer = await client.post("/v1/log/cosignatures", json=body)
        assert (answer.status_code, answer.json()["code"]) == (422, "cosignature_refused"), why
    for line in ("", "— x", "x y", "— w.example !!!", "— witness.sakai.example " + "A" * 900):
        body = {"size": signed.size, "signature": line}
        assert (await client.post("/v1/log/cosignatures", json=body)).status_code == 422
    body = {"size": signed.size + 1, "signature": str(watcher.cosign(text, now))}
    assert (await client.post("/v1/log/cosignatures", json=body)).status_code == 422
    assert len(Note.parse((await world.platform.log_keeper.checkpoint()).note).signatures) == 1


def test_witnesses_are_set_by_the_keys_that_the_command_shows() -> None:
    one, two = new("w.example/1", WITNESS).verifier, new("w.example/2", WITNESS).verifier

    assert witnesses_of(f"{one}  {two}\n") == (one, two)
    assert witnesses_of("") == ()
    wrong = str(one).replace("w.example", "v.example")
    for keys in ("x", f"{one} {wrong}", str(new("a.example/log", LOG).verifier), f"{one}A"):
        with pytest.raises(NoteRefused, match="URBANOS_LOG_WITNESSES"):
            witnesses_of(keys)


async def test_a_receipt_leads_to_the_proof_that_its_entry_is_in_the_signed_log(
    client: httpx.AsyncClient, world: World
) -> None:
    number = await world.platform.log.write(Event.CALL_REFUSED, code="mine")
    await world.platform.log.write(Event.CALL_REFUSED, code="somebody else's")
    await world.platform.log_keeper.keep()
    auditor = await world.party(OPERATOR, Role.AUDITOR)
    headers = await world.token(auditor, "audit:read")
    listed = (await client.get("/v1/admin/audit", headers=headers)).json()["items"]
    entry = next(entry for entry in listed if entry["seq"] == number)

    proof = (await client.get("/v1/log/proofs/inclusion", params={"index": number - 1})).json()

    note = Note.parse((await client.get("/v1/log/checkpoint")).text)
    said = Checkpoint.parse(note.text)
    leaf = leaf_hash(bytes.fromhex(entry["hash"]))
    path = [bytes.fromhex(one) for one in proof["path"]]
    assert (proof["leaf"], proof["size"]) == (leaf.hex(), said.size)
    assert root_by_inclusion(number - 1, said.size, leaf, path) == said.root


async def test_proofs_beyond_the_checkpoint_are_refused_by_name(
    client: httpx.AsyncClient, world: World
) -> None:
    await world.platform.log_keeper.keep()
    size = (await world.platform.log_keeper.checkpoint()).size
    await world.platform.log.write(Event.CALL_REFUSED, code="later")

    for door, asked in (
        ("inclusion", {"index": size}),
        ("inclusion", {"index": 0, "size": size + 1}),
        ("inclusion", {"index": 0, "size": 0}),
        ("inclusion", {"index": 3, "size": 3}),
        ("consistency", {"from": size + 1}),
        ("consistency", {"from": 2, "to": 1}),
        ("consistency", {"from": 0, "to": size + 1}),
    ):
        answer = await client.get(f"/v1/log/proofs/{door}", params=asked)
        assert (answer.status_code, answer.json()["code"]) == (404, "log_size_unknown"), asked
    for door in ("inclusion?index=-1", "inclusion?index=x", "inclusion", "consistency?form=1"):
        assert (await client.get(f"/v1/log/proofs/{door}")).status_code == 400
    empty = await client.get("/v1/log/proofs/consistency", params={"from": 0})
    assert empty.json() == {"first": 0, "second": size, "path": []}


async def test_the_command_looks_once_and_says_its_key(
    app: FastAPI, world: World, tmp_path: Path
) -> None:
    await world.platform.log_keeper.keep()

    async def run(port: int, *words: str) -> tuple[int | None, str, str]:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "app.cli", "witness", "--log", f"http://127.0.0.1:{port}",
            "--key", str(tmp_path / "key"), "--state", str(tmp_path / "state"), "--once", *words,
            env={**os.environ, "LC_ALL": "C.UTF-8"}, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        said, noted = await process.communicate()
        return process.returncode, said.decode(), noted.decode()

    async with served(app) as port:
        no_key = await run(port)
        first = await run(port, "--name", "witness.example/w1")
        state = json.loads((tmp_path / "state").read_text())
        shorter = Checkpoint.parse(Note.parse(state["note"]).text)
        forged = state["note"].replace(f"\n{shorter.size}\n", f"\n{shorter.size + 5}\n")
        (tmp_path / "state").write_text(json.dumps({**state, "note": forged}))
        suspicious = await run(port)

    assert (no_key[0], "--name" in no_key[2]) == (1, True)
    assert first[0] == 0 and first[1].startswith("— witness.example/w1 ")
    assert "witness.example/w1+" in first[2]
    assert "no key of witness.example/w1 is among URBANOS_LOG_WITNESSES" in first[2]
    assert (tmp_path / "key").stat().st_mode & 0o77 == 0
    assert (suspicious[0], "log_not_signed" in suspicious[2]) == (4, True)


# --- a log that lies -----------------------------------------------------------------------------


class Liar:
    """A log that can show any history, signed with its true key, and its best proof of it."""

    def __init__(self) -> None:
        self.signer = new("liar.example/log", LOG)
        self.leaves: list[bytes] = []
        self.proof: Callable[[int, int], Sequence[bytes]] = self.honest
        self.spoil: Callable[[str], str] = lambda note: note

    def says(self, *words: str) -> None:
        self.leaves = [leaf_hash(word.encode().ljust(32)) for word in words]

    def root(self, lo: int, hi: int) -> bytes:
        tree = Frontier()
        for leaf in self.leaves[lo:hi]:
            tree.add(leaf)
        return tree.root()

    def honest(self, old: int, size: int) -> list[bytes]:
        return [self.root(lo, hi) for lo, hi in consistency_spans(old, size)]

    def answer(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/v1/log/key":
            return httpx.Response(200, text=f"{self.signer.verifier}\n")
        if request.url.path == "/v1/log/checkpoint":
            size = len(self.leaves)
            text = Checkpoint(self.signer.name, size, self.root(0, size)).text
            return httpx.Response(200, text=self.spoil(str(Note(text, (self.signer.sign(text),)))))
        if request.method == "POST":
            return httpx.Response(200, json={})
        asked = request.url.params
        found = self.proof(int(asked["from"]), int(asked["to"]))
        return httpx.Response(200, json={"path": [one.hex() for one in found]})

    def client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(transport=httpx.MockTransport(self.answer), base_url="http://liar")


async def test_two_forked_views_make_the_witness_refuse(tmp_path: Path) -> None:
    liar, mine, state = Liar(), new("w.example", WITNESS), tmp_path / "state"
    liar.says("a", "b", "c")
    async with liar.client() as client:
        await look(client, mine, state)
        kept = state.read_text()
        for other in (["a", "x", "c"], ["a", "x", "c", "d"], ["x", "b", "c", "d", "e", "f"]):
            liar.says(*other)
            for forged in (liar.honest, lambda *_: [], lambda *_: [liar.root(0, 3)] * 2):
                liar.proof = forged
                with pytest.raises(LogForked) as refusal:
                    await look(client, mine, state)
        assert "分岐" in refusal.value.words("ja") and "forked" in refusal.value.words("en")
        assert state.read_text() == kept
        assert "liar.example/log" in (tmp_path / "state.refused").read_text()

        liar.proof = liar.honest
        liar.says("a", "b")
        with pytest.raises(LogRolledBack):
            await look(client, mine, state)
        liar.says("a", "b", "c", "d", "e")
        assert (await look(client, mine, state)).startswith("— w.example ")


async def test_a_log_under_another_key_or_without_a_true_signature_is_refused(
    tmp_path: Path,
) -> None:
    liar, mine, state = Liar(), new("w.example", WITNESS), tmp_path / "state"
    liar.says("a")
    async with liar.client() as client:
        await look(client, mine, state)
        true_key = liar.signer
        for spoil in (
            lambda note: note.replace("\n1\n", "\n2\n"),
            lambda note: note.partition("\n\n")[0] + "\n\n",
            lambda note: note.replace("— liar", "— lair"),
            lambda note: note + note,
            lambda _: "",
        ):
            liar.spoil = spoil
            with pytest.raises(LogNotSigned):
                await look(client, mine, state)
        liar.spoil = lambda note: note
        liar.signer = new(true_key.name, LOG)
        with pytest.raises(LogNotSigned):
            await look(client, mine, state)
        liar.signer = true_key
        with pytest.raises(WitnessFileUnusable):
            await look(client, mine, state, log_key=str(new("x", LOG).verifier))
        state.write_text("{}")
        with pytest.raises(WitnessFileUnusable):  # a damaged memory is no new start
            await look(client, mine, state)


async def test_what_was_seen_has_its_name_on_the_disk_before_it_is_cosigned(
    client: httpx.AsyncClient, watcher: Signer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[tuple[bool, bool]] = []
    path, fsync = tmp_path / "state", os.fsync

    def seen(handle: int) -> None:
        synced.append((Path(f"/proc/self/fd/{handle}").is_dir(), path.exists()))
        fsync(handle)

    monkeypatch.setattr(os, "fsync", seen)
    await look(client, watcher, path)

    assert synced == [(False, False), (True, True)]
