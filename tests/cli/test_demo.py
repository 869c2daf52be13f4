"""`urbanos demo` as a stranger starts it: a real process, a real database, real signals."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
import psutil
import pytest

from tests import nursery
from tests.database import REPO

pytestmark = pytest.mark.long

URBANOS: Final = [str(Path(sys.executable).with_name("urbanos"))]
_PATIENCE_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Home:
    """A home of the command, on a port of its own."""

    folder: Path
    port: int
    database: str | None = None  # instead of one of its own, that has to be made and started first

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        named = {name: v for name, v in os.environ.items() if not name.startswith("URBANOS_")}
        return {
            **named,
            **({"URBANOS_DATABASE_URL": self.database} if self.database else {}),
            "URBANOS_HOME": str(self.folder),
            "URBANOS_PORT": str(self.port),
            "LC_ALL": "C.UTF-8",
        }

    def run(
        self, *words: str, told: str | None = None, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        all_of_it = {**self.environment, **environment}
        return nursery.done(list(words), all_of_it, told=told, patience_s=_PATIENCE_S)

    def start(self, *words: str, **environment: str) -> "subprocess.Popen[bytes]":
        """Start a serving command and wait for its first answer."""
        with (self.folder / "said").open("ab") as said:
            process = subprocess.Popen(
                [*URBANOS, *words], env={**self.environment, **environment}, cwd=REPO,
                stdout=said, stderr=said,
            )  # fmt: skip
        give_up_at = time.monotonic() + _PATIENCE_S
        while time.monotonic() < give_up_at and process.poll() is None:
            try:
                if httpx.get(f"{self.url}/readyz", timeout=20).status_code == 200:
                    return process
            except httpx.TransportError:
                time.sleep(0.02)
        raise AssertionError(self.said)

    @property
    def said(self) -> str:
        return (self.folder / "said").read_text("utf-8")

    def workers(self) -> list[psutil.Process]:
        """Worker processes of this home."""
        found = []
        for process in psutil.process_iter():
            try:
                mine = process.environ().get("URBANOS_HOME") == str(self.folder)
                if mine and "work" in process.cmdline():
                    found.append(process)
            except psutil.Error:
                continue
        return found

    def postmasters(self) -> list[psutil.Process]:
        """Servers of this home's database."""
        where = (self.folder / "db" / "pgdata").resolve()
        return [
            each
            for each in psutil.process_iter(["cmdline"])
            if str(where) in (each.info["cmdline"] or ())
        ]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """One home for the module: the tests below are the life of one demo, in order."""
    made = Home(tmp_path_factory.mktemp("demo"), free_port())
    yield made
    for left in [*made.workers(), *made.postmasters()]:
        left.kill()


@pytest.fixture(scope="module")
def demo(home: Home) -> Iterator["subprocess.Popen[bytes]"]:
    """The demo, running for the tests that leave it running; stopped as Ctrl-C does."""
    process = home.start("demo")
    yield process
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        process.wait(_PATIENCE_S)


def _paste(home: Home, call: str) -> Any:
    """What was printed, run by a shell."""
    done = subprocess.run(
        ["/bin/sh", "-c", f"{call} -sS --fail-with-body"], env=home.environment, cwd=REPO,
        capture_output=True, text=True, timeout=_PATIENCE_S, check=False,
    )  # fmt: skip
    return json.loads(done.stdout)


def _printed(home: Home) -> list[str]:
    return [line for line in home.said.splitlines() if line.startswith(("curl ", "sakai"))]


def test_a_stranger_can_paste_what_the_first_start_prints(
    home: Home, demo: "subprocess.Popen[bytes]"
) -> None:
    public, sakai, allowed, refused = _printed(home)[-4:]
    answers = [_paste(home, f"{sakai}\n{call}") for call in (public, allowed, refused)]

    assert answers[0]["numberReturned"] == 2
    assert answers[0]["records"][0]["ward"] == "北架空区"
    assert "key_location" not in answers[1]["records"][0]
    assert answers[1]["records"][0]["inspected_on"] == "2024-01-01"
    assert answers[2]["code"] == "column_not_visible"
    assert httpx.get(f"{home.url}/docs").status_code == 200


def test_the_first_start_told_what_was_wrong_with_the_sample(home: Home) -> None:
    assert "40 rows read, 36 accepted, 4 rejected" in home.said
    for code in ("coordinate_out_of_area", "invalid_date", "duplicate_key"):
        assert code in home.said


def test_private_keys_are_for_their_owner_alone(home: Home) -> None:
    files = [*(home.folder / "keys").iterdir(), home.folder / "secret.key"]

    assert len(files) == 4
    assert {file.stat().st_mode & 0o777 for file in files} == {0o600}


def test_a_worker_that_dies_is_replaced(home: Home, demo: "subprocess.Popen[bytes]") -> None:
    (first,) = home.workers()

    first.kill()

    give_up_at = time.monotonic() + 15
    while time.monotonic() < give_up_at:
        now = [each.pid for each in home.workers() if each.status() != psutil.STATUS_ZOMBIE]
        if now and first.pid not in now:
            return
        time.sleep(0.05)
    raise AssertionError("no new worker")


def test_a_taken_port_is_told_in_words(home: Home, demo: "subprocess.Popen[bytes]") -> None:
    done = home.run("serve")

    assert done.returncode == 1
    assert "[port_taken]" in done.stderr
    assert "URBANOS_PORT" in done.stderr
    assert "Traceback" not in done.stderr


def test_commands_work_beside_the_running_server(
    home: Home, demo: "subprocess.Popen[bytes]", tmp_path: Path
) -> None:
    file = tmp_path / "架空.csv"
    file.write_text("管理番号,品名,数量\nB900,架空,1\nB901,架空,多数\n", "utf-8")

    loaded = home.run("load", str(file), "--dataset", "demo-stock", "--publish", "--json")
    verified = home.run("audit", "verify", "--json")
    looked = home.run("doctor", "--json")

    run = json.loads(loaded.stdout)
    assert (run["rows_accepted"], run["rows_rejected"]) == (1, 1)
    assert [(each["line"], each["code"]) for each in run["first_rejects"]] == [
        (3, "invalid_integer")
    ]
    assert json.loads(verified.stdout)["is_whole"] is True
    assert looked.returncode == 0, looked.stdout
    assert all(each["ok"] for each in json.loads(looked.stdout))


def test_clients_and_agreements_follow_the_rules_of_the_api(
    home: Home, demo: "subprocess.Popen[bytes]", tmp_path: Path
) -> None:
    key = tmp_path / "new.jwk"
    add = ("client", "add", "--organization", "271403", "--name", "架空", "--id", "architecture-x")
    people = ("--redirect-uri", "https://app.example/callback", "--staff-of", "27140")
    added = home.run(*add, *people, "--new-key", str(key), "--json")
    twice = home.run(*add, "--new-key", str(tmp_path / "twice.jwk"))
    (agreement,) = json.loads(home.run("agreement", "list", "--json").stdout)
    change = ("agreement", "suspend", agreement["id"], "--reason", "試験")

    stranger = home.run(*change, "--as", "demo-operator-none")
    suspended = home.run(*change, "--as", "demo-sakai", "--json")
    not_mine = home.run(
        "agreement", "resume", agreement["id"], "--reason", "試験", "--as", "demo-sakai"
    )
    resumed = home.run(
        "agreement", "resume", agreement["id"], "--reason", "試験", "--as", "demo-osaka", "--json"
    )

    alone = home.run(
        "agreement", "exclude", agreement["id"], "271403", "--reason", "試験", "--as", "demo-osaka"
    )

    assert json.loads(added.stdout)["id"] == "architecture-x"
    assert json.loads(added.stdout)["redirect_uris"] == ["https://app.example/callback"]
    assert json.loads(added.stdout)["staff_of"] == ["271403"]
    assert "d" not in json.loads(added.stdout)["jwks"]["keys"][0]
    assert key.stat().st_mode & 0o777 == 0o600
    assert twice.returncode == 1
    assert not (tmp_path / "twice.jwk").exists()
    assert (stranger.returncode, not_mine.returncode) == (1, 1)
    assert "[not_the_steward]" in not_mine.stderr
    assert (alone.returncode, "[not_a_group_agreement]" in alone.stderr) == (1, True)
    assert json.loads(suspended.stdout)["state"] == "suspended"
    assert json.loads(resumed.stdout)["state"] == "active"


def test_an_operator_takes_a_dataset_off_every_outlet_and_puts_it_back(
    home: Home, demo: "subprocess.Popen[bytes]"
) -> None:
    asked = f"{home.url}/v1/datasets/demo-shelters/records?limit=1"
    withdraw = ("dataset", "withdraw", "demo-shelters", "--reason", "施設の統合により終了")

    withdrawn = json.loads(home.run(*withdraw, "--json").stdout)
    gone = httpx.get(asked)
    entry = httpx.get(f"{home.url}/v1/datasets/demo-shelters").json()
    home.run("dataset", "reinstate", "demo-shelters", "--reason", "誤り", "--json")
    back = httpx.get(asked)
    twice = home.run("dataset", "reinstate", "demo-shelters", "--reason", "誤り")

    assert withdrawn["state"] == "withdrawn"
    assert (gone.status_code, "施設の統合により終了" in gone.text) == (410, True)
    assert entry["withdrawn_reason"] == "施設の統合により終了"
    assert back.status_code == 200
    assert (twice.returncode, "[dataset_not_withdrawn]" in twice.stderr) == (1, True)


def test_an_operator_has_publishing_approved_by_a_second_person_and_lifts_it(
    home: Home, demo: "subprocess.Popen[bytes]"
) -> None:
    asked = json.loads(home.run("org", "approval", "271004", "second_person", "--json").stdout)
    lifted = json.loads(home.run("org", "approval", "271004", "none", "--json").stdout)
    wrong = home.run("org", "approval", "271004", "perhaps")

    assert (asked["approval"], lifted["approval"]) == ("second_person", None)
    assert wrong.returncode == 2
    assert "second_person" in wrong.stderr


def test_an_address_with_bare_japanese_is_told_how_to_write_it(
    home: Home, demo: "subprocess.Popen[bytes]"
) -> None:
    with socket.create_connection(("127.0.0.1", home.port), timeout=10) as line:
        line.sendall("GET /v1/datasets?q=避難 HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        answer = b"".join(iter(lambda: line.recv(4096), b"")).decode()

    assert answer.startswith("HTTP/1.1 400 ")
    assert "--data-urlencode 'q=避難'" in json.loads(answer.partition("\r\n\r\n")[2])["detail"]


def test_the_figures_tell_what_waits_for_a_worker(
    home: Home, demo: "subprocess.Popen[bytes]"
) -> None:
    figures = dict(
        line.rsplit(" ", 1)
        for line in httpx.get(f"{home.url}/metrics").text.splitlines()
        if line.startswith("urbanos_") and "{" not in line
    )

    for name in ("jobs_waiting", "files_waiting", "files_failed", "words_waiting"):
        assert float(figures[f"urbanos_{name}"]) >= 0, name
    assert figures["urbanos_files_overdue"] == "0.0"


# From here on nobody is served by the demo above.


def test_ctrl_c_stops_everything(home: Home, demo: "subprocess.Popen[bytes]") -> None:
    assert home.workers()

    demo.send_signal(signal.SIGINT)

    assert demo.wait(20) == 0
    assert home.workers() == []
    assert home.postmasters() == []
    assert "Traceback" not in home.said


def test_what_was_acknowledged_survives_kill_and_the_next_start_is_quick(
    home: Home, tmp_path: Path
) -> None:
    process = home.start("demo")
    file = tmp_path / "架空.csv"
    file.write_text("管理番号,品名,数量\nZ1,架空,1\n", "utf-8")
    acknowledged = json.loads(
        home.run("load", str(file), "--dataset", "demo-stock", "--json").stdout
    )
    before = json.loads(home.run("dataset", "show", "demo-stock", "--json").stdout)
    process.kill()
    process.wait()
    give_up_at = time.monotonic() + 15
    while home.workers() and time.monotonic() < give_up_at:
        time.sleep(0.1)
    orphans = home.workers()

    began = time.monotonic()
    again = home.start("demo")
    took_s = time.monotonic() - began
    shown = json.loads(home.run("dataset", "show", "demo-stock", "--json").stdout)
    organizations = json.loads(home.run("org", "list", "--json").stdout)
    again.send_signal(signal.SIGTERM)

    assert orphans == []
    assert acknowledged["state"] in ("queued", "running", "ok")
    assert took_s < 60  # 1.2 s alone on two cores; other work may go on beside a test
    assert shown["current_version"] == before["current_version"] is not None
    assert len(organizations) > 44
    assert again.wait(20) == 0


def test_serving_ends_when_its_embedded_database_is_killed(home: Home) -> None:
    process = home.start("serve", "--no-worker")
    (postmaster, *_) = (each for each in home.postmasters())

    postmaster.send_signal(signal.SIGKILL)

    assert process.wait(30) == 3
    assert "[embedded_database_ended]" in home.said.splitlines()[-1]
    assert "Traceback" not in home.said
    assert home.said.count("live.lost") <= 1
