"""Workers killed (SIGKILL) at random moments of a load: no figure of speed, but it must hold."""

import random
import tempfile
from pathlib import Path

from app.audit.verify import verify
from tests.bench.figures import Figure
from tests.bench.stage import Stage
from tests.killing import Killer, check

_TARGET = "bench-kills"
_FIELDS = [
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
