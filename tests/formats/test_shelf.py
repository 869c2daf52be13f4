"""The shelf's standards, judged by their own tools: rdflib, pyshacl, mlcroissant, feedparser."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import feedparser
import pytest
import rdflib
from hypothesis import given, settings
from hypothesis import strategies as st
from rdflib.compare import isomorphic

from app.api.opendata.outlets import SERVICES
from app.formats import licences
from app.formats.shelf import (
    atom,
    croissant,
    data_json,
    dcat,
    forms,
    pages,
    rdf,
    schema_org,
    sitemap,
    themes,
)
from app.formats.shelf.atom import FeedPage
from app.formats.shelf.dcat import CataloguePage
from app.formats.shelf.facts import Announced, EarlierVersion, File, OpenDataset, plain
from app.kit.clock import TOKYO
from app.query.fields import Field, FieldType

# What rdflib says of its own insides.
pytestmark = pytest.mark.filterwarnings("ignore:ConjunctiveGraph is deprecated")
DATA = Path(os.environ.get("URBANOS_REAL_DATA", Path(__file__).parents[3] / "shared" / "data"))
SHAPES = DATA / "shapes" / "dcat-ap-3.0.0-shapes.ttl"
ISSUER = "https://urbanos.example.jp"
WHEN = datetime(2026, 4, 1, 9, 0, tzinfo=TOKYO)
LATER = datetime(2026, 5, 1, 9, 0, tzinfo=TOKYO)
HOSTILE = '</script><script>alert("1")</script> & \\ \' \r\n\t𠮷野家 ]]> {x} <!--'
SHA256 = "a" * 64
MINIMAL = OpenDataset(
    id="parks",
    title_ja="公園一覧",
    title_en=None,
    description_ja=None,
    description_en=None,
    publisher_id="271004",
    publisher_ja="架空市",
    publisher_en=None,
    steward_name="公園課",
    steward_email=None,
    license="市の利用規約",
    update_frequency="irregular",
    legal_basis=None,
    source_system=None,
    keywords=(),
    profile=None,
    temporal=(None, None),
    extent=None,
    rows=1,
    version=1,
    issued_at=WHEN,
    modified_at=WHEN,
)
FIELDS = (
    Field("no", "c001", "番号", FieldType.CODE, key=True),
    Field("name", "c002", HOSTILE, FieldType.TEXT, description=HOSTILE),
    Field("size", "c003", "面積", FieldType.DECIMAL, unit="m2"),
    Field("opened", "c004", "開園日", FieldType.DATE),
)
RICH = replace(
    MINIMAL,
    id="shelters",
    title_ja=HOSTILE,
    title_en=HOSTILE,
    description_ja=HOSTILE,
    description_en=HOSTILE,
    publisher_en="Kaku",
    steward_name=HOSTILE,
    steward_email='"><b>|^`{}\\@example.jp',
    license="cc by 4.0",
    legal_basis="災害対策基本法",
    source_system=HOSTILE,
    keywords=("防災", "公園・緑地", HOSTILE),
    profile=("shelters", 2),
    temporal=(date(2025, 4, 1), date(2026, 3, 31)),
    extent=(135.5, 34.5, 135.6, 34.7),
    score=Decimal("87.50"),
    fields=FIELDS,
    versions=(EarlierVersion(2, WHEN), EarlierVersion(1, WHEN)),
    files=tuple(
        File(f"shelters-v2.{kind}", kind, 1_234, SHA256) for kind in sorted(forms.FILE_KINDS)
    ),
)
PAGE = CataloguePage((MINIMAL, RICH), f"{ISSUER}/here", f"{ISSUER}/next")


def documents() -> list[dict[str, Any]]:
    return [
        dcat.catalogue(PAGE, ISSUER, SERVICES),
        dcat.document(MINIMAL, ISSUER, SERVICES),
        dcat.document(RICH, ISSUER, SERVICES),
    ]


def graph(document: dict[str, Any], syntax: str) -> rdflib.Graph:
    """What a client of the syntax understands."""
    write = {"json-ld": rdf.json_ld, "turtle": rdf.turtle, "xml": rdf.rdf_xml}[syntax]
    return rdflib.Graph().parse(data=write(document), format=syntax)


@pytest.mark.parametrize("at", [0, 1, 2])
def test_the_three_syntaxes_hold_one_graph(at: int) -> None:
    document = documents()[at]

    told, *others = (graph(document, syntax) for syntax in ("json-ld", "turtle", "xml"))

    assert len(told) > 30
    assert all(isomorphic(told, other) for other in others)


@settings(max_examples=25)
@given(st.text(max_size=30).map(plain))
def test_whatever_is_written_in_a_title_is_the_same_in_every_syntax(title: str) -> None:
    document = dcat.document(replace(MINIMAL, title_ja=title or "-"), ISSUER, ())

    titles = {
        str(graph(document, syntax).value(rdflib.URIRef(document["@id"]), rdflib.DCTERMS.title))
        for syntax in ("json-ld", "turtle", "xml")
    }

    assert titles == {title or "-"}


@pytest.mark.skipif(not SHAPES.exists(), reason=f"left out: the shapes are not at {SHAPES}")
def test_the_graph_keeps_every_rule_of_dcat_ap() -> None:
    from pyshacl import validate  # noqa: PLC0415 - slow to import, and only here

    shapes = rdflib.Graph().parse(SHAPES, format="turtle")
    told = rdflib.Graph()
    for document in documents():
        told += graph(document, "turtle")

    conforms, _, report = validate(told, shacl_graph=shapes, advanced=True)
    told.remove((None, rdflib.FOAF.name, None))
    conforms_without_names, _, _ = validate(told, shacl_graph=shapes, advanced=True)

    assert conforms, report
    assert not conforms_without_names  # or the shapes would say yes to anything


def test_croissant_is_valid_by_its_own_tool(tmp_path: Path) -> None:
    for name, dataset in (("live", replace(RICH, files=())), ("files", RICH)):
        (tmp_path / f"{name}.json").write_text(json.dumps(croissant.document(dataset, ISSUER)))
    program = (
        "import sys, mlcroissant\n"
        "for path in sys.argv[1:]:\n"
        "    made = mlcroissant.Dataset(jsonld=path)\n"
        "    assert not made.metadata.ctx.issues.errors, made.metadata.ctx.issues.report()\n"
        "    table = made.metadata.distribution[0]\n"
        "    print(table.sha256, [field.name for field in made.metadata.record_sets[0].fields])\n"
    )

    paths = (str(tmp_path / f"{name}.json") for name in ("live", "files"))
    asked = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program, *paths],
        capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert asked.returncode == 0, asked.stderr
    names = "['no', 'name', 'size', 'opened']"
    assert asked.stdout.splitlines()[:2] == [f"None {names}", f"{SHA256} {names}"]


def test_croissant_says_what_each_column_holds() -> None:
    made = croissant.document(RICH, ISSUER)

    fields = {each["name"]: each["dataType"] for each in made["recordSet"][0]["field"]}

    assert fields == {"no": "sc:Text", "name": "sc:Text", "size": "sc:Float", "opened": "sc:Date"}
    assert made["recordSet"][0]["key"] == {"@id": "records/no"}
    assert "isLiveDataset" not in made
    assert croissant.document(MINIMAL, ISSUER)["isLiveDataset"] is True


def test_data_json_holds_what_its_schema_demands() -> None:
    rich, minimal = (data_json.entry(each, ISSUER) for each in (RICH, MINIMAL))

    for entry in (rich, minimal):
        required = {"title", "description", "keyword", "modified", "publisher", "contactPoint",
                    "identifier", "accessLevel"}  # fmt: skip
        assert required <= set(entry)
        assert all(entry[name] for name in required)
        assert (entry["@type"], entry["accessLevel"]) == ("dcat:Dataset", "public")
        for form in entry["distribution"]:
            assert ("mediaType" in form) is ("downloadURL" in form)
    assert rich["spatial"] == "135.5,34.5,135.6,34.7"
    assert rich["temporal"] == "2025-04-01/2026-03-31"
    assert rich["license"] == "https://creativecommons.org/licenses/by/4.0/"
    assert "license" not in minimal
    assert minimal["rights"] == "市の利用規約"
    assert data_json.head(ISSUER)["conformsTo"] == "https://project-open-data.cio.gov/v1.1/schema"
    assert set(data_json.FREQUENCIES) == set(dcat.FREQUENCIES) - {"once"}


def test_files_come_first_and_say_their_size_and_digest() -> None:
    found = list(forms.forms_of(RICH, ISSUER))

    assert [form.id for form in found] == [*sorted(forms.FILE_KINDS), "json"]
    assert all(form.sha256 == SHA256 and form.size == 1_234 for form in found[:-1])
    assert found[0].address == f"{ISSUER}/v1/datasets/shelters/files/shelters-v2.csv"


def test_nothing_that_was_written_ends_the_page_or_its_data() -> None:
    told = pages.dataset(RICH, ISSUER).decode()

    _, _, rest = told.partition('<script type="application/ld+json">')
    block, _, after = rest.partition("</script>")
    assert json.loads(block) == schema_org.dataset(RICH, ISSUER)
    assert "<script" not in after
    assert "<b>" not in told
    assert told.startswith('<!doctype html>\n<html lang="ja">')
    assert "https://creativecommons.org/licenses/by/4.0/" in after
    for outside in ("src=", "<link", "@import", "url("):
        assert outside not in told.replace(block, "")


def test_the_page_is_in_words_of_people_and_says_why_a_file_is_not_there() -> None:
    file = File("parks.xlsx", "xlsx", 7_931, SHA256)
    absent = (("geojson", "no_geometry"), ("geopackage", "no_geometry"), ("csv", "being_made"))
    parks = replace(MINIMAL, steward_email="a&b@example.jp", fields=FIELDS, files=(file,))

    told = pages.dataset(replace(parks, absent=absent), ISSUER).decode()

    assert ">Excel（XLSX）</a> <small>7.9 KB</small>" in told
    assert '<time datetime="2026-04-01T09:00:00+09:00">2026年4月1日 9時00分</time>' in told
    assert '<a href="mailto:a%26b@example.jp">a&amp;b@example.jp</a>' in told
    assert "<td>数値</td>" in told
    assert "<li>GeoJSON、GeoPackage: 地図上の位置" in told
    assert "<li>CSV: 作成中です" in told
    assert "ファイルがない形式" not in pages.dataset(parks, ISSUER).decode()


def test_schema_org_names_downloads_licence_place_and_period() -> None:
    made = schema_org.dataset(RICH, ISSUER)

    assert made["license"] == "https://creativecommons.org/licenses/by/4.0/"
    assert made["temporalCoverage"] == "2025-04-01/2026-03-31"
    assert made["spatialCoverage"]["geo"]["box"] == "34.5 135.5 34.7 135.6"
    assert {each["contentUrl"] for each in made["distribution"]} >= {
        f"{ISSUER}/v1/datasets/shelters/files/shelters-v2.csv"
    }
    assert [each["alternateName"] for each in made["variableMeasured"]] == [
        field.name for field in FIELDS
    ]


def test_a_feed_reader_reads_the_feed_and_the_tombstones_stand_in_it() -> None:
    item = Announced(
        "parks", HOSTILE, None, HOSTILE, "271004", HOSTILE, 2, WHEN, LATER, withdrawn=None
    )
    gone = replace(item, id="gone", withdrawn=HOSTILE)
    name = f"{ISSUER}/opendata/feed.atom?publisher=271004"
    page = FeedPage(name, name, f"{name}&limit=2&cursor=x", HOSTILE, WHEN, (item, gone))

    made = atom.feed(page, ISSUER)
    read = feedparser.parse(made)

    assert not read.bozo
    assert [entry.id for entry in read.entries] == [f"{ISSUER}/opendata/datasets/parks"]
    assert read.entries[0].tags[0].term == "changed"
    links = {link.rel: link.href for link in read.feed.links}
    assert links["next"] == f"{name}&limit=2&cursor=x"
    tombstone = ElementTree.fromstring(made).find(
        "{http://purl.org/atompub/tombstones/1.0}deleted-entry"
    )
    assert tombstone is not None
    assert tombstone.get("ref") == f"{ISSUER}/opendata/datasets/gone"


@settings(max_examples=50)
@given(st.text(max_size=20), st.sampled_from("\x00\x0b\ufffe\uffff\r𠮷"))
def test_what_xml_cannot_hold_is_taken_out_and_nothing_else(text: str, sign: str) -> None:
    text += sign

    left = plain(text)

    ElementTree.fromstring(sitemap.sitemap([(left, WHEN)]))
    assert left == "".join(
        sign
        for sign in text
        if sign in "\t\n\r" or (ord(sign) >= 32 and sign not in "\ufffe\uffff")
    )


@pytest.mark.parametrize(
    ("text", "known"),
    [
        ("CC BY 4.0", "CC-BY-4.0"),
        ("ＣＣ－ＢＹ－４．０", "CC-BY-4.0"),
        ("https://creativecommons.org/licenses/by/4.0", "CC-BY-4.0"),
        ("PDL1.0", "PDL-1.0"),
        ("公共データ利用規約（第1.0版）", "PDL-1.0"),
        ("政府標準利用規約（第2.0版）", "GSTL-2.0"),
        ("ODBL-1.0", "ODbL-1.0"),
        ("CC-BY-NC-4.0", "CC-BY-NC-4.0"),
        ("CC-BY-4.0 (変更禁止)", None),
        ("市の利用規約", None),
    ],
)
def test_a_licence_is_known_however_it_is_spelt(text: str, known: str | None) -> None:
    found = licences.find(text)

    assert (found.id if found else None) == known


@pytest.mark.parametrize(
    "text",
    ["javascript:alert(1)", "https://a b", 'https://a"b', "https://a>b", "https://", "data:,x"],
)
def test_only_a_web_address_stands_where_an_address_is_due(text: str) -> None:
    assert licences.address_of(text) is None


def test_themes_are_mapped_where_one_is_meant_without_doubt() -> None:
    assert themes.codes_of(("防災", "公園・緑地", "Transport", "その他")) == [
        "JUST",
        "ENVI",
        "TRAN",
    ]
