"""The command line itself: help, exit codes, languages. What needs no running server."""

import json
import time
from pathlib import Path

import pytest

from tests.cli.test_demo import Home, free_port

NOWHERE = "postgresql://nobody@127.0.0.1:1/nothing"


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path, free_port())


def test_help_is_quick_and_loads_nothing_heavy(home: Home) -> None:
    began = time.monotonic()
    done = home.run("--help")
    took_s = time.monotonic() - began

    assert done.returncode == 0
    for name in ("demo", "serve", "work", "migrate", "load", "token", "openapi", "doctor"):
        assert f" {name} " in done.stdout
    assert took_s < 2  # 0.2 s alone


def test_nothing_heavy_is_imported_before_a_command_runs(home: Home) -> None:
    import subprocess  # noqa: PLC0415
    import sys  # noqa: PLC0415

    code = "import sys, app.cli.main; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    loaded = set(done.stdout.split())
    heavy = {"fastapi", "sqlalchemy", "asyncpg", "polars", "pydantic", "uvicorn", "httpx", "orjson"}
    assert loaded.isdisjoint(heavy)


def test_openapi_check_agrees_with_the_committed_document(home: Home) -> None:
    assert home.run("openapi", "--check").returncode == 0


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("org", "list"), 3),
        (("serve",), 3),
        (("migrate",), 3),
        (("doctor",), 4),
        (("org", "add", "271004"), 2),
        (("nonsense",), 2),
    ],
)
def test_exit_codes_are_those_of_the_readme(home: Home, words: tuple[str, ...], code: int) -> None:
    done = home.run(*words, URBANOS_DATABASE_URL=NOWHERE)

    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr


def test_refusals_speak_the_language_of_the_locale(home: Home) -> None:
    japanese = home.run("org", "list", URBANOS_DATABASE_URL=NOWHERE, LC_ALL="ja_JP.UTF-8")
    english = home.run("org", "list", URBANOS_DATABASE_URL=NOWHERE, LC_ALL="C.UTF-8")

    assert "データベースに接続できません" in japanese.stderr
    assert "cannot be reached" in english.stderr


def test_a_wrong_setting_is_named(home: Home) -> None:
    done = home.run("doctor", URBANOS_PORT="many")

    assert done.returncode == 2
    assert "URBANOS_PORT" in done.stderr


def test_doctor_says_what_to_do_on_an_empty_database(home: Home) -> None:
    looked = home.run("doctor", "--json")
    migrated = home.run("migrate", "--json")
    again = home.run("doctor", "--json")

    first = {each["check"]: each for each in json.loads(looked.stdout)}
    assert looked.returncode == 4
    assert "urbanos migrate" in first["migrations"]["says"]
    assert json.loads(migrated.stdout)["before"] == "-"
    assert again.returncode == 0, again.stdout


def test_a_token_needs_a_key_and_a_server(home: Home, tmp_path: Path) -> None:
    ask = ("token", "--client", "x", "--scope", "dataset:x:read", "--key")

    missing = home.run(*ask, str(tmp_path / "none.jwk"))

    assert missing.returncode == 1
    assert "[key_file_unusable]" in missing.stderr
