"""Who is forgotten is named by nothing here any more, nothing leaves about them, and the log verifies."""

import asyncio
import json
from pathlib import Path

from app.audit.events import Event
from app.audit.verify import verify
from app.kit.settings import Settings
from app.models.parties import Role
from tests.cli.test_demo import Home, free_port
from tests.subjects.consenting import register
from tests.subjects.test_consents_door import CONSENTS, at_work, get
from tests.world import KENKO, World

# Everywhere that this service keeps a name of a person of its own accord.
_KEPT = """
SELECT (SELECT count(*) FROM subject_consent_name WHERE name = ANY($1))
     + (SELECT count(*) FROM subject_salt WHERE name = ANY($1))
"""


async def test_who_is_forgotten_is_named_by_nothing_and_nothing_leaves_about_them(
    world: World, database_url: str, settings: Settings, tmp_path: Path
) -> None:
    people = await register(world)
    await people.give(1)
    await people.give(2)
    read = await people.seen()
    names = [name for those in (await people.of(1)).values() for name in those]
    home, pool = Home(tmp_path, free_port()), world.platform.database.pool
    before = await pool.fetchval(_KEPT, names)
    about = {
        "URBANOS_DATABASE_URL": database_url,
        "URBANOS_SECRET_KEY_FILE": str(settings.secret_key_path),
        "told": people.people[0] + "\n",
    }
    words = ("subject", "forget", KENKO, "--json")

    done = await asyncio.to_thread(home.run, *words, **about)
    again = await asyncio.to_thread(home.run, *words, **about)

    listed = await get(world, await at_work(world, KENKO, Role.STEWARD), CONSENTS)
    ours = [each for each in listed.json()["items"] if each["dataset"] == people.dataset]
    assert (done.returncode, json.loads(done.stdout)["consents"]) == (0, 1), done.stderr
    assert (again.returncode, people.people[0] in again.stderr) == (1, False)
    assert (read, await people.seen()) == (["1", "2"], ["2"])
    assert before > 0 and await pool.fetchval(_KEPT, names) == 0
    assert await world.platform.linker.person(KENKO, people.people[0]) is None
    assert sorted((each["state"], each["person"] is None) for each in ours) == [
        ("in_force", False), ("withdrawn", True),
    ]  # fmt: skip
    assert (await verify(pool)).is_whole
    assert len(await world.log(Event.SUBJECT_FORGOTTEN)) == 1
    assert not [name for name in names if name in str(await world.log())]
