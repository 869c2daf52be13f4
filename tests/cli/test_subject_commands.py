"""`urbanos subject`: names of people at the shell."""

import json
from pathlib import Path

from tests.cli.test_demo import Home, free_port


def test_names_are_made_as_csv_and_a_new_key_is_counted(tmp_path: Path, database_url: str) -> None:
    home = Home(tmp_path, free_port(), database_url)

    made = home.run("subject", "make", "272043", "--count", "3")
    nobody = home.run("subject", "make", "nobody", "--count", "3")
    turned = home.run("subject", "rotate", "272043", "--json")

    header, *names = made.stdout.splitlines()
    assert (made.returncode, header, len(set(names))) == (0, "name", 3), made.stderr
    assert (nobody.returncode, nobody.stdout) == (1, "")
    assert json.loads(turned.stdout) == {"organization": "272043", "number": 2}
