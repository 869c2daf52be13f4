"""Kinds are our own and anybody's who installs one; none is taken at its word."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import structlog

from app.connectors import checking
from app.connectors.errors import SourceSlow
from app.connectors.frame import Proposal
from app.connectors.kinds import _OWN, Kinds, KindUnknown, schema_of
from app.connectors.scripted import ScriptedConnector, ScriptedSettings
from tests.connectors.farm import Farm
from tests.connectors.sources import means

_SOURCE = '''
"""A kind of another distribution: three rows, wherever one looks."""

from contextlib import asynccontextmanager

from pydantic import SecretStr

from app.connectors.frame import Capabilities, Connector, Harvest, Shape


class Settings(Shape):
    word: SecretStr


class Selection(Shape):
    table: str = "all"


async def rows():
    yield b"no,name\\n1,a\\n"


class Dial(Connector[Settings, Selection]):
    kind = "dial"
    title_ja = "試験"
    title_en = "Dial"
    settings_shape = Settings
    selection_shape = Selection
    capabilities = Capabilities()

    def fail(self):
        raise LookupError(self.settings.word.get_secret_value())

    async def check(self, selection=None):
        if selection is not None and selection.table == "broken":
            self.fail()

    async def discover(self):
        self.fail()

    @asynccontextmanager
    async def harvest(self, selection, known=None, first=None):
        if selection.table == "broken":
            self.fail()
        yield Harvest(rows(), "rows.csv")


NOT_ONE = object()
'''


@pytest.fixture
def installed(tmp_path: Path) -> Iterator[Path]:
    """A tiny distribution that lies where Python looks."""
    (tmp_path / "dial_kind.py").write_text(_SOURCE)
    info = tmp_path / "dial_kind-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: dial-kind\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[urbanos.connectors]\ndial = dial_kind:Dial\nfile = dial_kind:Dial\n"
        "gone = dial_gone:Dial\nnot_one = dial_kind:NOT_ONE\nother = dial_kind:Dial\n"
    )
    sys.path.insert(0, str(tmp_path))
    yield tmp_path
    sys.path.remove(str(tmp_path))
    sys.modules.pop("dial_kind", None)


def test_a_kind_that_somebody_installs_is_there_and_takes_no_name_of_ours(installed: Path) -> None:
    with structlog.testing.capture_logs() as said:
        found = {kind.kind: kind for kind in Kinds().every()}

    assert sorted(found) == sorted(["dial", *_OWN])
    assert found["dial"].title_en == "Dial"
    assert found["file"].__module__ == "app.connectors.file"
    assert sorted(each["connector"] for each in said) == ["gone", "not_one", "other"]


async def test_what_it_gives_becomes_a_version(installed: Path, farm: Farm) -> None:
    farm.world.platform.kinds = farm.harvester.kinds  # a deployment that was started with it
    dataset = await farm.dataset()
    connector = await farm.add("dial", {"word": "hidden"}, {"dataset": dataset, "publish": True})

    run = await farm.run(connector)

    assert (run["state"], await farm.records(dataset)) == ("ok", [{"no": "1", "name": "a"}])


async def test_a_kind_that_raises_anything_is_broken_and_its_words_are_nowhere(
    installed: Path, farm: Farm, capsys: pytest.CaptureFixture[str]
) -> None:
    farm.world.platform.kinds = farm.harvester.kinds
    feed = {"dataset": await farm.dataset(), "selection": {"table": "broken"}}
    connector = await farm.add("dial", {"word": "hidden-word-7"}, feed)

    tested = await farm.ask("POST", f"/{connector}/test")
    answers = [
        await farm.ask("POST", f"/{connector}/{what}", {}) for what in ("discover", "preview")
    ]

    assert [each["code"] for each in tested.json()["checks"]] == [None, "connector_kind_broken"]
    assert [(each.status_code, each.json()["code"]) for each in answers] == [
        (503, "connector_kind_broken")
    ] * 2
    said = "".join([tested.text, *(each.text for each in answers), *capsys.readouterr()])
    assert "hidden-word-7" not in said


def test_a_kind_that_is_not_there_is_refused_with_those_that_are() -> None:
    with pytest.raises(KindUnknown) as refused:
        Kinds().get("telepathy")

    assert ", ".join(sorted(_OWN)) in refused.value.words("en")


@pytest.mark.parametrize(
    ("kind", "secret"),
    [
        ("gtfs_rt", "key"),
        ("http_json", "client_secret"),
        ("http_json", "key"),
        ("file", "password"),
        ("file", "private_key"),
        ("file", "secret"),
        ("fixed_width", "passphrase"),
        ("soap", "password"),
        ("sql", "password"),
        ("xml_feed", "password"),
    ],
)
def test_every_secret_is_write_only_in_the_schema(kind: str, secret: str) -> None:
    schema = schema_of(Kinds().get(kind).settings_shape)
    shapes = [schema, *schema.get("$defs", {}).values()]

    found = [each["properties"][secret] for each in shapes if secret in each.get("properties", {})]

    assert found
    assert all(each["writeOnly"] is True for each in found)


def test_kinds_of_files_bring_no_library_along_before_a_transport_is_spoken() -> None:
    code = (
        "import sys; from app.connectors.kinds import Kinds;"
        "[Kinds().get(name) for name in ('file', 'fixed_width')]; print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert {"polars", "asyncssh", "aioftp", "httpx"}.isdisjoint(done.stdout.split())


async def test_a_source_that_goes_on_telling_what_it_has_is_slow(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Talking(ScriptedConnector):
        async def discover(self) -> Sequence[Proposal]:
            await asyncio.sleep(60)
            return ()

    monkeypatch.setattr(checking, "_MOST_DISCOVERING", 0.01)
    async with means() as its:
        with pytest.raises(SourceSlow) as refused:
            await checking.discovered(Talking(ScriptedSettings(script="-"), its))

    assert refused.value.at == "silence"
