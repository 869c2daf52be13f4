"""A person is forgotten at their word: consents end, and nothing that is kept leads to them."""

from app.audit.events import Event
from app.audit.verify import verify
from app.subjects import erasure
from tests.stock import path
from tests.subjects.consenting import register
from tests.world import KENKO, World


async def test_who_is_forgotten_is_read_by_nobody_and_told_of_by_nothing(world: World) -> None:
    found = await register(world, 2)
    linker, database = world.platform.linker, world.platform.database
    await found.give(1)
    await found.give(2)
    before = await found.seen()
    names = await found.of(1)

    person = await erasure.find(linker, KENKO, found.people[0])
    async with database.writing() as session:
        ended = await erasure.end_all(session, linker, person, by="test")
    await linker.forget(person)

    kept = "SELECT count(*) FROM subject_salt WHERE name = ANY($1)"
    theirs = [name for each in names.values() for name in each]
    assert (before, ended, await found.seen()) == (["1", "2"], 1, ["2"])
    assert await database.pool.fetchval(kept, theirs) == 0
    assert await linker.person(KENKO, found.people[0]) is None
    (entry,) = await world.log(Event.CONSENT_WITHDRAWN)
    assert entry["withdrew"] == "person" and not any(name in repr(entry) for name in theirs)
    assert (await verify(database.pool)).is_whole
    own = await found.get(path(found.dataset), found.own)
    assert found.people[0] in own.text  # the register is its owner's to change
