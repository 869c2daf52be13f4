"""`urbanos agent` beside the platform, and what its commands refuse."""

import json
from pathlib import Path

from tests.agents.outposts import environment
from tests.cli.test_demo import Home, free_port


def test_an_agent_is_registered_and_revoked_at_the_shell(tmp_path: Path, database_url: str) -> None:
    home = Home(tmp_path, free_port())

    def run(*words: str) -> str:
        done = home.run("agent", *words, "--json", URBANOS_DATABASE_URL=database_url)
        assert done.returncode == 0, done.stderr
        return done.stdout

    added = json.loads(
        run("add", "--org", "271004-kenko", "--name", "健康課", "--source", "kokuho")
    )
    revoked = json.loads(run("revoke", added["id"]))

    assert added["code"].startswith(added["id"])
    assert revoked["revoked_at"] is not None
    assert added["code"].split(".")[1] not in json.dumps(revoked)


def test_plain_http_is_not_spoken_by_mistake(tmp_path: Path) -> None:
    done = Home(tmp_path, free_port()).run(
        "agent", "enrol", "http://data.example.jp", "a.b.c",
        **{k: v for k, v in environment(tmp_path / "agent").items() if k.startswith("URBANOS")},
    )  # fmt: skip

    assert (done.returncode, "[agent_plain_http]" in done.stderr) == (1, True)
    assert not (tmp_path / "agent").exists()
