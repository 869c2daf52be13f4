"""What a clerk at the shell is told of a file, and an operator of whom is let in."""

import json

import pytest

from tests.cli.test_demo import Home, free_port

pytestmark = pytest.mark.long

DATASET = {
    "title_ja": "公園", "publisher": "271004", "steward": {"name": "公園課"},
    "data_class": "public", "license": "CC-BY-4.0", "update_frequency": "monthly",
}  # fmt: skip


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, database_url: str) -> Home:
    """A home with organisations and one dataset a test, none of which declares fields."""
    made = Home(tmp_path_factory.mktemp("clerk"), free_port(), database_url)
    added = made.run("org", "add", "271004", "--name-ja", "大阪市", "--kind", "city")
    for name in ("named", "nameless", "header-only", "japanese", "stopped"):
        file = made.folder / f"{name}.json"
        file.write_text(json.dumps({**DATASET, "id": name}), "utf-8")
        done = made.run("dataset", "add", str(file))
        assert done.returncode == 0, done.stderr + added.stderr
    return made


def _load(home: Home, dataset: str, text: str, **environment: str) -> tuple[int, str, str]:
    file = home.folder / f"{dataset}.csv"
    file.write_text(text, "utf-8")
    done = home.run("load", str(file), "--dataset", dataset, "--publish", **environment)
    return done.returncode, done.stdout, done.stderr


def test_the_report_tells_notices_and_guessed_types(home: Home) -> None:
    code, told, _ = _load(home, "named", "公園一覧\nコード,名称,緯度\n01,中央公園,34.7\n")

    assert code == 0
    assert ": accepted. 1 row read, 1 accepted, 0 rejected" in told
    assert "Lines skipped before the header (from line 1): 1." in told
    assert "“緯度” looks like a latitude or longitude but was read as numbers" in told
    assert "    コード (" in told
    assert ", codes, key)" in told


def test_the_report_speaks_japanese(home: Home) -> None:
    code, told, _ = _load(
        home, "japanese", "コード,緯度\n01,34.7\n", LC_ALL="ja_JP.UTF-8", PYTHONUTF8="1"
    )

    assert code == 0
    assert ": 受理。読込 1 行" in told
    assert "「緯度」は緯度・経度の列のようですが、数値として読みました" in told


def test_a_file_without_header_is_not_published_when_nobody_declared_fields(home: Home) -> None:
    code, told, why = _load(home, "nameless", "1,34,2024-01-01\n2,35,2024-01-02\n")
    shown = json.loads(home.run("dataset", "show", "nameless", "--json").stdout)
    meant = home.run("dataset", "publish", "nameless")

    assert code == 1
    assert "There is no header" in told
    assert "[not_published_without_header]" in why
    assert "urbanos dataset publish nameless" in why
    assert shown["current_version"] is None
    assert meant.returncode == 0


def test_a_file_of_nothing_but_a_header_says_so(home: Home) -> None:
    code, told, why = _load(home, "header-only", "コード,名称\n")

    assert code == 1
    assert ": failed." in told
    assert "no_data_rows" in why
    assert "no row of data" in why


def test_a_load_is_shown_and_stopped(home: Home) -> None:
    file = home.folder / "stopped.csv"
    file.write_text("コード,名称\n01,中央公園\n", "utf-8")
    started = json.loads(home.run("load", str(file), "--dataset", "stopped", "--json").stdout)

    shown = json.loads(home.run("run", "show", started["id"], "--json").stdout)
    stopped = json.loads(home.run("run", "cancel", started["id"], "--json").stdout)
    again = home.run("run", "cancel", started["id"])

    assert shown["state"] == "queued"
    assert (stopped["state"], stopped["error_code"]) == ("failed", "cancelled")
    assert again.returncode == 1
    assert "[run_has_ended]" in again.stderr


def test_an_operator_invites_an_organisation_and_sees_the_code_once(home: Home) -> None:
    done = home.run("invite", "27100", "--email", "digital@example.jp", "--json")
    refused = home.run("invite", "271004", "--email", "a@example.jp", "--role", "operator")

    told = json.loads(done.stdout)
    assert len(told["code"].replace("-", "")) == 40
    assert (told["organization_id"], told["roles"]) == ("271004", ["steward"])
    assert "code_sha256" not in told
    assert "shown only now" in done.stderr
    assert (refused.returncode, "role_not_invited" in refused.stderr) == (1, True)


def test_an_operator_lets_clients_register_and_sees_the_token_once(home: Home) -> None:
    done = home.run("client", "registration-token", "27100", "--uses", "2", "--json")
    refused = home.run("client", "registration-token", "27100", "--role", "operator")

    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (len(told["token"]), told["uses_left"], told["roles"]) == (43, 2, [])
    assert "secret_sha256" not in told
    assert "shown only now" in done.stderr
    assert (refused.returncode, "role_not_registered" in refused.stderr) == (1, True)


def test_an_app_that_people_are_sent_back_to_has_somebody_who_may_sign_in(home: Home) -> None:
    app = ("--organization", "271004", "--name", "防災アプリ", "--id", "bosai")
    address = ("--redirect-uri", "https://app.city.example.jp/callback")
    key = home.folder / "bosai.jwk"

    nobody = home.run("client", "add", *app, "--new-key", str(key), *address)
    added = home.run("client", "add", *app, "--new-key", str(key))
    told = home.run("client", "sign-in", "bosai", *address, "--staff-of", "271004", "--json")
    ended = home.run("client", "sign-in", "bosai", *address)

    assert (nobody.returncode, ended.returncode) == (2, 2)
    assert "--staff-of" in nobody.stderr
    assert added.returncode == 0, added.stderr
    assert json.loads(told.stdout)["staff_of"] == ["271004"]
