"""`urbanos connector`: a source at the shell."""

import asyncio
import json
from pathlib import Path
from subprocess import CompletedProcess

import asyncpg

from tests.cli.test_demo import Home, free_port
from tests.database import dsn_of

_END = """
UPDATE harvest SET state = 'failed', ended_at = now(), error_class = 'slow', error_code = 'source_slow',
    error_ja = $1, error_en = $1
WHERE ended_at IS NULL
"""


async def test_a_connector_is_added_tested_and_run_and_its_secret_is_never_shown(
    tmp_path: Path, database_url: str
) -> None:
    home = Home(tmp_path, free_port(), database_url)
    drop = tmp_path / "drop"
    drop.mkdir()
    (drop / "parks.csv").write_text("番号,名称\n1,架空公園\n", "utf-8")

    def run(
        *words: str, group: str = "connector", form: tuple[str, ...] = ("--json",)
    ) -> CompletedProcess[str]:
        return home.run(
            group, *words, *form, URBANOS_FILE_ROOTS=f"271004={drop}",
        )  # fmt: skip

    def written(name: str, said: object) -> str:
        file = tmp_path / f"{name}.json"
        file.write_text(json.dumps(said), "utf-8")
        return str(file)

    fields = [{"name": "no", "label": "番号", "type": "code", "key": True},
              {"name": "name", "label": "名称", "type": "text"}]  # fmt: skip
    dataset = {
        "id": "cli-parks", "title_ja": "公園", "steward": {"name": "試験"}, "fields": fields,
        "update_frequency": "monthly", "publisher": "271004",
    }  # fmt: skip
    connector = {
        "kind": "file", "name": "公園", "settings": {
            "base": str(drop), "auth": {"type": "api_key", "key": "hidden-key"}},
        "feeds": [{"dataset": "cli-parks", "selection": {"path": "*.csv"}, "schedule": "0 3 * * *",
                   "mapping": [{"to": "name", "expression": "\"名称\""}]}],
    }  # fmt: skip
    registered = run("add", written("dataset", dataset), group="dataset")
    assert registered.returncode == 0, registered.stderr

    added = run("add", written("connector", connector), "--org", "271004")
    other = run("add", written("connector", connector), "--org", "271403")
    made = json.loads(added.stdout)["id"]
    tested, asked, shown = run("test", made), run("run", made), run("show", made)

    read = run("show", made, form=()).stdout
    driver = await asyncpg.connect(dsn_of(database_url))
    await driver.execute(_END, "done elsewhere")
    asking = asyncio.create_task(asyncio.to_thread(run, "run", made, "--wait", form=()))
    for _ in range(1_000):
        if await driver.execute(_END, "架空の理由") != "UPDATE 0":
            break
        await asyncio.sleep(0.05)
    await driver.close()
    waited = await asking
    later = run("show", json.loads(asked.stdout)["id"], group="run", form=())

    assert (other.returncode, "[connector_not_of_organization]" in other.stderr) == (1, True)
    assert [each["ok"] for each in json.loads(tested.stdout)] == [True, True]
    assert json.loads(asked.stdout)["state"] == "queued"
    assert json.loads(shown.stdout)["last_run"]["state"] == "queued"
    assert "hidden-key" not in added.stdout + tested.stdout + asked.stdout + shown.stdout
    assert not any(sign in read for sign in "{}'")
    assert "settings.base" in read and 'name <- "名称"' in read
    assert (waited.returncode, "[source_slow] 架空の理由" in waited.stdout) == (1, True), waited
    assert (later.returncode, "[source_slow] done elsewhere" in later.stdout) == (0, True), later
