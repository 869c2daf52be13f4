"""`urbanos witness`: looks at a log from outside, remembers it, and cosigns it while it only grows.

It needs no database and no account, and it never cosigns what it has not kept.
"""

import asyncio
import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from app.cli.words import language
from app.cli.words import note as tell
from app.kit.errors import AppError, Kind
from app.kit.folders import keep_names

if TYPE_CHECKING:
    import httpx

    from app.audit.notes import Signer

_LONGEST: Final = 1_000_000  # of an answer
_TIMEOUT_S: Final = 20.0


class LogUnreachable(AppError):
    """The log gives no answer that can be read."""

    kind = Kind.UNAVAILABLE
    code = "log_unreachable"
    ja = "ログ {url} から応答を得られません（{why}）。"
    en = "The log {url} gives no usable answer ({why})."


class WitnessFileUnusable(AppError):
    """The key or the state of the witness cannot be read or written, or is in use."""

    kind = Kind.INVALID
    code = "witness_file_unusable"
    ja = "立会人のファイル {path} が使えません: {why_ja}"
    en = "The witness's file {path} cannot be used: {why}"


@dataclass(frozen=True, slots=True)
class State:
    """What a witness remembers: the log's key and the last checkpoint that it saw."""

    key: str
    note: str | None = None


def witness(
    log: Annotated[str, typer.Option("--log", help="Address of the log's server")],
    key: Annotated[Path, typer.Option("--key", help="File of the witness's key")],
    state: Annotated[Path, typer.Option("--state", help="File of what was seen last")],
    name: Annotated[
        str | None, typer.Option("--name", help="Make a key of this name where there is none")
    ] = None,
    log_key: Annotated[
        str | None, typer.Option("--log-key", help="The log's key; default: what it shows first")
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="Look once and end")] = False,
    every: Annotated[int, typer.Option("--every", min=5, help="Seconds between two looks")] = 60,
) -> None:
    """Cosign a log while it only grows; exit 4 when it does not. ログに立ち会い、副署する。"""
    signer = _signer(key, name)
    typer.echo(str(signer.verifier), err=True)
    with _alone(state):
        asyncio.run(_watch(log, signer, state, log_key, None if once else every))


async def _watch(
    log: str, signer: "Signer", path: Path, log_key: str | None, every: int | None
) -> None:
    import httpx  # noqa: PLC0415

    spoken = {"Accept-Language": language()}
    async with httpx.AsyncClient(base_url=log, timeout=_TIMEOUT_S, headers=spoken) as client:
        while True:
            try:
                typer.echo(await look(client, signer, path, log_key=log_key))
            except LogUnreachable as away:
                if every is None:
                    raise
                tell(away.words("ja"), away.words("en"))
            if every is None:
                return
            await asyncio.sleep(every)


async def look(
    client: "httpx.AsyncClient", signer: "Signer", path: Path, *, log_key: str | None = None
) -> str:
    """Look once. Keeps what was seen, then cosigns it and sends that to the log; gives its line.

    Raises `LogNotSigned`, and for a log that did not only grow `LogRolledBack` or `LogForked`:
    what it signed then is kept beside the state, as evidence. `LogUnreachable` may come after the
    state was kept, and `WitnessFileUnusable` means that nothing was cosigned.
    """
    import time  # noqa: PLC0415

    from app.audit.notes import Note, Verifier  # noqa: PLC0415
    from app.audit.witness import LogForked, LogRolledBack, read  # noqa: PLC0415

    state = _remembered(path) or State(log_key or (await _get(client, "/v1/log/key")).strip())
    if log_key is not None and log_key.strip() != state.key:
        raise WitnessFileUnusable(path=path, why="it is of a log with another key", why_ja="別の鍵のログのものです。")  # fmt: skip
    note = await _get(client, "/v1/log/checkpoint")
    try:
        seen = read(note, Verifier.parse(state.key))
        await _check_growth(client, state, note)
    except (LogRolledBack, LogForked):
        _write(path.with_name(f"{path.name}.refused"), note)
        raise
    _write(path, json.dumps({"key": state.key, "note": note}, ensure_ascii=False))
    line = str(signer.cosign(Note.parse(note).text, int(time.time())))
    await _send(client, {"size": seen.size, "signature": line})
    return line


async def _check_growth(client: "httpx.AsyncClient", state: State, note: str) -> None:
    from app.audit.notes import Verifier  # noqa: PLC0415
    from app.audit.witness import check_growth, check_not_shorter, read  # noqa: PLC0415

    if state.note is None:
        return
    key = Verifier.parse(state.key)
    last, seen = read(state.note, key), read(note, key)
    check_not_shorter(last, seen)
    proof: list[bytes] = []
    if seen.size != last.size and last.size:
        asked = {"from": last.size, "to": seen.size}
        proof = _path(await _get(client, "/v1/log/proofs/consistency", **asked))
    check_growth(last, seen, proof)


def _path(answer: str) -> list[bytes]:
    try:
        return [bytes.fromhex(one) for one in json.loads(answer)["path"]]
    except (ValueError, KeyError, TypeError):
        return []  # no proof, which proves nothing


async def _get(client: "httpx.AsyncClient", path: str, **asked: int) -> str:
    import httpx  # noqa: PLC0415

    read = bytearray()
    try:
        async with client.stream("GET", path, params=asked or None) as response:
            async for piece in response.aiter_bytes():
                read += piece
                if len(read) > _LONGEST:
                    raise LogUnreachable(url=response.url, why=f"> {_LONGEST} bytes")
            if not response.is_success:
                raise LogUnreachable(url=response.url, why=response.status_code)
        return read.decode()
    except (httpx.HTTPError, httpx.InvalidURL, UnicodeDecodeError) as exc:
        raise LogUnreachable(url=f"{client.base_url}{path}", why=type(exc).__name__) from exc


async def _send(client: "httpx.AsyncClient", cosignature: dict[str, Any]) -> None:
    """Give the log the cosignature. Without a place there it is good all the same."""
    import httpx  # noqa: PLC0415

    try:
        answer = await client.post("/v1/log/cosignatures", json=cosignature)
    except httpx.HTTPError as exc:
        raise LogUnreachable(url=str(client.base_url), why=type(exc).__name__) from exc
    if not answer.is_success:
        why = _detail(answer.text)
        tell(f"ログは副署を受け取りませんでした（{answer.status_code}）: {why}",
             f"The log did not take the cosignature ({answer.status_code}): {why}")  # fmt: skip


def _detail(problem: str) -> str:
    """The words of a refusal."""
    try:
        return str(json.loads(problem)["detail"])[:300]
    except (ValueError, KeyError, TypeError):
        return ""


# --- files ---------------------------------------------------------------------------------------


def _signer(path: Path, name: str | None) -> "Signer":
    """The key of the file, which is made where it is not there and a name was given."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import (  # noqa: PLC0415
        Ed25519PrivateKey,
    )

    from app.audit.notes import WITNESS, Signer, Verifier  # noqa: PLC0415

    if name is not None and not path.exists():
        made = Signer(name, WITNESS, Ed25519PrivateKey.generate())
        Verifier.parse(str(made.verifier))  # a name that no key can have is refused here
        _write(path, f"{made.secret()}\n")
    try:
        found = Signer.parse(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as exc:
        raise WitnessFileUnusable(
            path=path, why=f"{exc}. Make one with --name", why_ja=f"{exc}。--name で作成できます。"
        ) from exc
    if found.kind != WITNESS:
        raise WitnessFileUnusable(path=path, why="it is the key of a log", why_ja="ログの鍵です。")
    return found


def _remembered(path: Path) -> State | None:
    """What was seen last; nothing before the first look. A file that is damaged is no new start."""
    try:
        kept = json.loads(path.read_text("utf-8"))
        return State(str(kept["key"]), str(kept["note"]))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise WitnessFileUnusable(
            path=path, why="it is no state of a witness", why_ja="立会人の状態ではありません。"
        ) from exc


def _write(path: Path, text: str) -> None:
    """All of it or nothing, for its owner alone, on the disk before this returns."""
    beside = path.with_name(f"{path.name}.new")
    try:
        beside.unlink(missing_ok=True)
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
        keep_names(path.parent)
    except OSError as exc:
        raise WitnessFileUnusable(path=path, why=exc.strerror, why_ja=exc.strerror) from exc


@contextmanager
def _alone(state: Path) -> Iterator[None]:
    """One witness a state: two of them could sign two histories."""
    try:
        with state.with_name(f"{state.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
    except BlockingIOError as exc:
        raise WitnessFileUnusable(
            path=state, why="another witness is using it", why_ja="別の立会人が使用中です。"
        ) from exc
