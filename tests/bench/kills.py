"""Workers killed (SIGKILL) amid loads, servers amid answers: no figure of speed, but it must hold."""

import random
import tempfile
from pathlib import Path
from typing import Any

from app.audit.checkpoints import LogKeeper, origin_of
from app.audit.verify import verify
from app.kit.settings import Settings
from app.oauth.keys import open_sealer
from tests.answering import Asking, Crowd, Watch, entries_of, faults, survive
from tests.bench.figures import Figure
from tests.bench.stage import Process, Stage, fork, free_port
from tests.killing import Killer, check

_TARGET = "bench-kills"
_ASKED = "bench-answers"
_AT_ONCE = 5  # kills, before the clients' tokens are made anew
_FIELDS: list[dict[str, Any]] = [
    {"name": "no", "label": "番号", "type": "code", "key": True},
    {"name": "name", "label": "名称", "type": "text"},
    {"name": "size", "label": "定員", "type": "integer"},
]


async def kills(stage: Stage) -> list[Figure]:
    """20 kills, with --soak 200; the state is looked through at the end."""
    body = {
        "id": _TARGET,
        "title_ja": "計測",
        "steward": {"name": "計測"},
        "update_frequency": "irregular",
        "fields": _FIELDS,
    }
    headers = await stage.stewards_token()
    answer = await stage.http.post("/v1/datasets", json=body, headers=headers)
    assert answer.status_code == 201, answer.text
    with tempfile.TemporaryDirectory(prefix="urbanos-kills-") as folder:
        killer = Killer(stage.database, _TARGET, Path(folder), random.Random(1))
        toll = await killer.load(kills=200 if stage.is_soak else 20, rows=60_000)
    await check(stage.database, _TARGET, toll)
    verdict = await verify(stage.database.pool)
    assert verdict.is_whole, verdict
    return [
        Figure("workers killed amid loads, all state whole", "kills", (float(toll.kills),)),
        Figure("loads that they ended in", "versions", (float(len(toll.loaded)),)),
    ]


async def answers(stage: Stage) -> list[Figure]:
    """20 kills of a server, with --soak 200; all answers are held against the log at the end."""
    await _shared(stage)
    port, pool = free_port(), stage.database.pool
    first = await pool.fetchval("SELECT seq FROM log_head")
    crowd = Crowd(f"http://127.0.0.1:{port}", (), random.Random(1))

    def serve() -> Process:
        return fork(stage.folder, stage.url, stage.issuer, port)

    with tempfile.TemporaryDirectory(prefix="urbanos-kills-") as folder:
        sealer = await open_sealer(pool, Settings(home=stage.folder).secret_key)
        keeper = LogKeeper(pool, sealer, origin_of(stage.issuer))
        watch = Watch(stage.database, keeper, stage.http, stage.witness, Path(folder) / "state")
        for _ in range((200 if stage.is_soak else 20) // _AT_ONCE):
            crowd.asked = await _asked(stage)
            await survive(crowd, serve, watch, kills=_AT_ONCE)
    wrong = faults(crowd.answers, await entries_of(stage.database, first))
    assert wrong == [], wrong[:10]
    return [
        Figure("servers killed amid answers, log whole", "kills", (float(watch.looks),)),
        Figure("answers received, each with its entry", "answers", (float(len(crowd.answers)),)),
    ]


async def _shared(stage: Stage) -> None:
    """An internal dataset that the reader has an agreement for."""
    await stage.register(_ASKED, "internal", _FIELDS)
    headers = await stage.token(stage.steward, f"dataset:{_ASKED}:write")
    rows = [{"no": f"{at}", "name": "架空", "size": at} for at in range(7)]
    sent = await stage.http.post(f"/v1/datasets/{_ASKED}/records", json=rows, headers=headers)
    assert sent.status_code == 200, sent.text
    await stage.agree(_ASKED)


async def _asked(stage: Stage) -> list[Asking]:
    url = f"/v1/datasets/{_ASKED}/records?purpose="
    headers = await stage.token(stage.reader, f"dataset:{_ASKED}:read")
    facts = {"dataset": _ASKED, "client": stage.reader.id}
    read = {**facts, "event": "records.read", "rows": 7}
    refused, nobody = {**facts, "event": "records.refused"}, {"event": "records.refused"}
    return [
        Asking(f"{url}health", headers, 200, read),
        Asking(f"{url}welfare", headers, 403, refused),
        Asking(f"{url}health", {}, 401, nobody),
    ]
