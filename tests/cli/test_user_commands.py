"""`urbanos user`: members of staff at the shell, whose passwords it neither takes nor shows."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.test_demo import Home, free_port


def test_staff_are_added_changed_reset_and_disabled(tmp_path: Path, database_url: str) -> None:
    home = Home(tmp_path, free_port(), database_url)

    def run(*words: str) -> Any:
        done = home.run("user", *words, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    who = ("--organization", "271403", "--name", "堺 次郎", "--email", "jiro@example.jp")
    added = run("add", *who, "--role", "steward")
    changed = run("roles", "jiro@example.jp", "--role", "auditor")
    reset = run("reset", "Jiro@example.jp", "--totp")
    disabled = run("disable", added["id"])

    assert added["link"].startswith(f"{home.url}/set-up?key=")
    assert reset["link"] != added["link"]
    assert (added["roles"], changed["roles"]) == (["steward"], ["auditor"])
    assert disabled["disabled_at"] is not None
    assert not any("hash" in name or "sealed" in name for name in added)


def test_an_unknown_member_of_staff_is_named(tmp_path: Path, database_url: str) -> None:
    home = Home(tmp_path, free_port(), database_url)

    done = home.run("user", "show", "nobody@example.jp")

    assert done.returncode == 1
    assert "person_not_found" in done.stderr and "nobody@example.jp" in done.stderr


@pytest.mark.parametrize(
    ("words", "mend"),
    [
        (("roles", "jiro@example.jp"), "--none"),
        (("roles", "jiro@example.jp", "--none", "--role", "steward"), "--none"),
        (("roles", "jiro@example.jp", "--role", "stewrd"), "steward"),
        (("reset", "jiro@example.jp", "--no-password"), "--totp"),
    ],
)
def test_what_would_take_more_or_less_than_was_meant_is_wrong_use(
    tmp_path: Path, database_url: str, words: tuple[str, ...], mend: str
) -> None:
    home = Home(tmp_path, free_port(), database_url)

    done = home.run("user", *words)

    assert done.returncode == 2
    assert mend in done.stderr
