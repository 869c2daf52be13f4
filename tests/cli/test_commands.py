"""The command line itself: help, exit codes, languages. What needs no running server."""

import json
from pathlib import Path

import pytest

from tests.cli.test_demo import Home, free_port

pytestmark = pytest.mark.long

NOWHERE = "postgresql://nobody@127.0.0.1:1/nothing"


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path, free_port())


def test_help_names_the_commands(home: Home) -> None:
    done = home.run("--help")

    assert done.returncode == 0
    for name in ("demo", "serve", "work", "migrate", "load", "token", "openapi", "doctor"):
        assert f" {name} " in done.stdout


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


def test_an_individual_number_is_taken_neither_as_a_word_nor_in_a_file(
    home: Home, tmp_path: Path
) -> None:
    file = tmp_path / "dataset.json"
    file.write_text('{"title":\n"架空 1234-5678-9018"}', encoding="utf-8")

    word = home.run("user", "add", "271004", "１２３４５６７８９０１８")
    told = home.run("dataset", "add", str(file), URBANOS_DATABASE_URL=NOWHERE)

    for done, place in ((word, "4"), (told, "2")):
        assert (done.returncode, done.stdout) == (1, "")
        assert "[individual_number_refused]" in done.stderr and place in done.stderr
        assert "9018" not in done.stderr and "９０１８" not in done.stderr


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


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("URBANOS_DATABASE_URL", "foo"),
        ("URBANOS_DATABASE_URL", "mysql://root:geheim@db/x"),
        ("URBANOS_DATABASE_URL", ""),
        ("URBANOS_PORT", "99999"),
        ("URBANOS_PORT", "0"),
        ("URBANOS_PUBLIC_URL", "nonsense"),
        ("URBANOS_PUBLIC_URL", "ftp://data.example.jp"),
        ("URBANOS_PUBLIC_URL", "https://data.example.jp/?a=1"),
    ],
)
def test_a_setting_that_cannot_work_is_refused_before_anything_starts(
    home: Home, name: str, value: str
) -> None:
    english = home.run("doctor", **{name: value})
    japanese = home.run("doctor", **{name: value, "LC_ALL": "ja_JP.UTF-8"})

    assert (english.returncode, japanese.returncode) == (2, 2)
    assert name in english.stderr
    assert "にしてください" in japanese.stderr
    assert "Traceback" not in english.stderr
    assert "geheim" not in english.stderr


def test_a_lost_or_foreign_secret_key_is_told_and_never_replaced(
    tmp_path: Path, database_url: str
) -> None:
    home = Home(tmp_path, free_port(), database_url)
    key = home.folder / "secret.key"
    first = home.run("keys", "rotate", "--json")
    sealed_with = key.read_bytes()

    key.unlink()
    missing = {each: home.run(*each.split()) for each in ("keys rotate", "serve", "doctor")}
    made = key.exists()
    key.write_bytes(b"x" * 32)
    key.chmod(0o600)
    foreign = {each: home.run(*each.split()) for each in ("keys rotate", "serve", "doctor")}
    key.write_bytes(sealed_with)
    again = home.run("doctor")
    elsewhere = key.rename(tmp_path / "store")
    asked = home.run("doctor", URBANOS_SECRET_KEY_COMMAND=f"cat {elsewhere}")

    assert first.returncode == 0, first.stderr
    assert not made
    for done in (missing, foreign):
        assert {name: one.returncode for name, one in done.items()} == {
            "keys rotate": 5, "serve": 5, "doctor": 4,
        }  # fmt: skip
        for one in (done["keys rotate"], done["serve"]):
            (line,) = one.stderr.splitlines()
            assert "[secret_key_unusable]" in line
        assert "FAIL  signing keys" in done["doctor"].stdout
    assert again.returncode == 0, again.stdout
    assert (asked.returncode, key.exists()) == (0, False), asked.stdout


def test_wrong_fields_of_a_dataset_file_are_named(home: Home, tmp_path: Path) -> None:
    file = tmp_path / "wrong.json"
    file.write_text('{"title_ja": "公園", "steward": {}, "colour": 1}', "utf-8")

    done = home.run("dataset", "add", str(file))

    assert done.returncode == 1
    for place in ("/steward/name: ", "/update_frequency: ", "/colour: "):
        assert place in done.stderr


@pytest.mark.parametrize("readme", ["README.md", "README.ja.md"])
def test_the_example_of_the_readme_is_a_dataset(readme: str) -> None:
    import re  # noqa: PLC0415

    from app.api.dataset_shapes import DatasetIn  # noqa: PLC0415
    from tests.database import REPO  # noqa: PLC0415

    (example,) = re.findall(r"```json\n(.*?)```", (REPO / readme).read_text("utf-8"), re.DOTALL)

    assert DatasetIn.model_validate_json(example).id == "parks"


def test_help_shows_scopes_as_they_are_typed(home: Home) -> None:
    said = home.run("token", "--help").stdout

    assert "dataset:{id}:read" in said


def test_a_certificate_that_is_none_is_a_wrong_setting(home: Home, tmp_path: Path) -> None:
    file = tmp_path / "certificate.pem"
    file.write_text("none", "utf-8")

    done = home.run("serve", "--no-worker", URBANOS_TLS_CERTIFICATE=str(file))

    assert done.returncode == 2
    assert "[tls_unusable] URBANOS_TLS_CERTIFICATE" in done.stderr
