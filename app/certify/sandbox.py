"""What the judge is lent to write with: looked at before anything is asked, put in order at the end.

It never writes unless token, prefix and dataset are named, and removes nothing but what is under the
prefix.
"""

import asyncio
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final
from urllib.parse import quote

from app.certify.client import NoAnswer, Server
from app.certify.ledger import Ledger
from app.certify.stage import MOST_RECORDS, Record, Stage, all_records
from app.kit.errors import AppError, Kind

# Characters that stand in an address as they are; too few of them would name others' records.
PREFIX: Final = re.compile(r"[A-Za-z0-9_-]{4,40}")
_DATASET: Final = re.compile(r"[a-z0-9][a-z0-9-]{1,62}")
_GIVE_UP_AFTER: Final = 3  # removals in a row without any answer
_LEAST_S: Final = 60.0  # for the removals, beyond what their number needs
_NAMED: Final = 5


class NotOurs(Exception):
    """What the judge may not write: a fault of its own, never the server's."""


class SandboxNotLent(AppError):
    """A class that is judged by writing, and nothing to write with."""

    kind = Kind.INVALID
    code = "sandbox_not_lent"
    ja = (
        "適合クラス {classes} の試験はレコードを書き込みます。{missing_ja}がありません。"
        "試験用のトークン（--token-file）かクライアント（--client-id）、キーの接頭辞"
        "（--sandbox-prefix）、データセット（--dataset）を指定してください。"
    )
    en = (
        "The classes {classes} are judged by writing records, and there is no {missing}. Name a token"
        " (--token-file) or a client (--client-id) of the sandbox, what keys begin with"
        " (--sandbox-prefix) and the dataset (--dataset)."
    )


class PrefixUnfit(AppError):
    """A prefix that could name records of others."""

    kind = Kind.INVALID
    code = "sandbox_prefix_unfit"
    ja = "接頭辞 {prefix} は使えません。半角英数字、_、- の4から40文字にしてください。"
    en = (
        "The prefix {prefix} cannot be used: give 4 to 40 of the letters, digits, _ and - of ASCII."
    )


class SandboxNotClean(AppError):
    """Records are under the prefix before anything was written: another run's, or somebody's own."""

    kind = Kind.CONFLICT
    code = "sandbox_not_clean"
    ja = (
        "{dataset} には {prefix} で始まるキーのレコードが既に{count}件あります（{keys}）。"
        "前回の試験の残りであれば --clean で削除し、そうでなければ別の接頭辞を使ってください。"
    )
    en = (
        "{dataset} holds {count} records whose keys begin with {prefix} already ({keys}). If another"
        " run left them, remove them with --clean; if not, give another prefix."
    )


class SandboxTooLarge(AppError):
    """A dataset that cannot be looked through for what is under the prefix."""

    kind = Kind.INVALID
    code = "sandbox_too_large"
    ja = "{dataset} には{most}件以上のレコードがあります。書込みの試験には小さなデータセットを使ってください。"
    en = "{dataset} holds {most} records or more. Writing is judged on a smaller dataset."


def check_lent(server: Server, dataset: str | None, classes: Sequence[str]) -> None:
    """Raise `PrefixUnfit` for a prefix that names too much, and `SandboxNotLent` where something is
    not named that these classes need."""
    if server.prefix is not None and not PREFIX.fullmatch(server.prefix):
        raise PrefixUnfit(prefix=server.prefix)
    needed = {
        ("token or client", "トークンかクライアント"): server.token or server.lent.client,
        ("prefix", "接頭辞"): server.prefix,
        ("dataset", "データセット"): dataset and _DATASET.fullmatch(dataset),
    }
    missing = [names for names, given in needed.items() if not given]
    if classes and missing:
        en, ja = ([names[at] for names in missing] for at in (0, 1))
        raise SandboxNotLent(
            classes=", ".join(classes), missing=", ".join(en), missing_ja="、".join(ja)
        )


def is_lent(server: Server, dataset: str | None) -> bool:
    """Whether all that writing needs is named."""
    has_token = server.token or server.lent.client
    return bool(has_token and server.prefix and dataset and _DATASET.fullmatch(dataset))


def key_fields(stage: Stage) -> list[str]:
    """The names of the fields of the key, in their order."""
    return [str(each["name"]) for each in stage.fields if each.get("key")]


def key_of(stage: Stage, record: Record) -> str:
    """A record's key as it stands in addresses (the parameter `key` of the standard)."""
    return ",".join(quote(str(record.get(name)), safe="") for name in key_fields(stage))


def is_ours(server: Server, stage: Stage, record: Any) -> bool:
    """Whether it is a record whose key begins with the prefix."""
    names = key_fields(stage)
    if not names or not server.prefix or not isinstance(record, Mapping):
        return False
    value = record.get(names[0])
    return isinstance(value, str) and value.startswith(server.prefix)


async def open_ledger(server: Server, stage: Stage, token: str | None) -> Stage:
    """Begin to write, with this token or with the run's own: what another run left is removed, if
    that was asked for.

    Raises `SandboxNotClean`, `SandboxTooLarge`, `NoAnswer`.
    """
    if len(stage.records) >= MOST_RECORDS:
        raise SandboxTooLarge(dataset=stage.id, most=MOST_RECORDS)
    ledger = Ledger(stage.id, token, stage.chance.randrange(1_000) * 100)
    found = _ours(server, stage, stage.records)
    if found and not server.clean:
        _refuse(server, stage, found)
    if found:
        server.ledger = replace(ledger, left=dict.fromkeys(found))
        await close_ledger(server, stage)
        if server.ledger.left:
            _refuse(server, stage, list(server.ledger.left))
        stage = replace(stage, records=await all_records(server, stage.id))
    server.ledger = ledger
    return stage


def _refuse(server: Server, stage: Stage, found: Sequence[str]) -> None:
    keys = ", ".join([*found[:_NAMED], *(["…"] if len(found) > _NAMED else [])])
    raise SandboxNotClean(dataset=stage.id, prefix=server.prefix, count=len(found), keys=keys)


def _ours(server: Server, stage: Stage, records: Iterable[Any]) -> list[str]:
    return [key_of(stage, each) for each in records if is_ours(server, stage, each)]


async def close_ledger(server: Server, stage: Stage) -> None:
    """Remove what may be there still, and look whether it is gone. What is left stays in the ledger.

    Raises nothing but the end of the run: a server that is silent keeps what it has.
    """
    ledger = server.ledger
    if ledger is None or not ledger.left:
        return
    try:
        async with asyncio.timeout(_LEAST_S + 2 * len(ledger.left) / server.per_second):
            await _remove(server, stage, ledger)
            there = _ours(server, stage, await all_records(server, stage.id))
            ledger.left |= dict.fromkeys(there)
    except (TimeoutError, NoAnswer):
        return


async def _remove(server: Server, stage: Stage, ledger: Ledger) -> None:
    silent = 0
    for key in list(ledger.left):
        try:
            said = await server.send("DELETE", server.url_of(f"{stage.path}/{key}"), ledger.headers)
        except NoAnswer:
            silent += 1
            if silent >= _GIVE_UP_AFTER:
                raise
            continue
        silent = 0
        if said.status in {204, 404}:
            ledger.gone(key)
