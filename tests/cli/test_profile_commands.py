"""`urbanos profile`: the standard layouts are there after `migrate`, and give their Excel template."""

import json
from pathlib import Path

import openpyxl
import pytest

from tests.cli.test_demo import Home, free_port


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, database_url: str) -> Home:
    made = Home(tmp_path_factory.mktemp("home"), free_port(), database_url)
    assert made.run("migrate").returncode == 0
    return made


def test_the_built_in_profiles_are_there_after_migrating_twice(home: Home) -> None:
    again = home.run("migrate")

    listed = json.loads(home.run("profile", "list", "--json").stdout)
    assert again.returncode == 0
    assert len({each["name"] for each in listed}) == 23
    assert {each["state"] for each in listed} == {"published"}
    named = home.run("profile", "list", "aed").stdout.splitlines()
    assert [line.split("\t")[:3] for line in named] == [
        ["aed", "1", "AED設置箇所一覧"],
        ["aed", "2", "AED設置箇所一覧"],
    ]


def test_the_newest_version_is_shown_unless_one_is_named(home: Home) -> None:
    newest = json.loads(home.run("profile", "show", "aed", "--json").stdout)
    first = json.loads(home.run("profile", "show", "aed", "--version", "1", "--json").stdout)

    assert (newest["version"], len(newest["fields"])) == (2, 39)
    assert (first["version"], len(first["fields"])) == (1, 22)


def test_the_template_is_written_where_asked(home: Home, tmp_path: Path) -> None:
    target = tmp_path / "aed.xlsx"

    done = home.run("profile", "template", "aed", "-o", str(target))

    assert done.returncode == 0, done.stderr
    sheet = openpyxl.load_workbook(target).worksheets[0]
    assert sheet["B1"].value == "ID"


def test_a_profile_that_is_not_there_is_refused(home: Home) -> None:
    done = home.run("profile", "show", "none-such")

    assert done.returncode == 1
    assert "[profile_not_found]" in done.stderr
