"""The standard as it is published: no change that breaks a client, a page, and one file of it all."""

import io
import re
import zipfile
from html import escape
from typing import Any

import httpx
import orjson
import pytest
import yaml  # type: ignore[import-untyped]

from app.certify.document import LOADER, Document
from app.certify.lint import STANDARD, Standard, lint
from tests.certify import mutants, mutants_secure, mutants_write

RELEASED = sorted((STANDARD.parent / "released").glob("linkage-*.yaml"))
TEXT = STANDARD.read_text("utf-8")
DOCUMENT: dict[str, Any] = yaml.load(TEXT, LOADER)


def test_there_is_a_release_to_be_compared_with() -> None:
    assert RELEASED


@pytest.mark.parametrize("path", RELEASED, ids=lambda path: path.stem)
def test_what_a_client_of_a_release_relies_on_is_still_there(path: Any) -> None:
    """Within one major version (the standard's own change policy)."""
    released = Standard(Document.read(path.read_bytes()))
    now = Document.read(TEXT.encode())

    major = path.stem.removeprefix("linkage-").partition(".")[0]

    assert now.root["info"]["version"].partition(".")[0] == major
    assert lint(released, now, released.classes) == []
    rules = {each["id"] for each in DOCUMENT["x-rules"]}
    assert {each["id"] for each in released.document.root["x-rules"]} <= rules


def test_every_rule_of_the_standard_has_a_mutant_that_breaks_it() -> None:
    """That the judge names it and no other is asked where the mutants are judged."""
    by_class = (mutants.MUTANTS, mutants_write.MUTANTS, mutants_secure.MUTANTS.values())

    broken = {name.partition(" ")[0] for names in by_class for name in names}

    assert broken == {each["id"] for each in DOCUMENT["x-rules"]}


async def test_the_page_has_every_rule_in_both_languages_and_loads_nothing(
    client: httpx.AsyncClient,
) -> None:
    answer = await client.get("/standard")

    assert answer.headers["content-type"].startswith("text/html")
    for rule in DOCUMENT["x-rules"]:
        assert f'id="{rule["id"]}"' in answer.text
    assert len(re.findall(r'<dd>[^<]+<span lang="en">[^<]+', answer.text)) >= len(
        DOCUMENT["x-rules"]
    )
    for text in (each["why_en"] for each in DOCUMENT["x-rules"]):
        assert escape(text) in answer.text
    assert answer.text.count("<pre>HTTP 2") == 12  # of each operation that answers with a body
    assert not re.search(r"<(script|img|link|iframe)\b", answer.text)
    linked = set(re.findall(r'href="#([A-Z0-9-]+)"', answer.text))
    assert linked <= {each["id"] for each in DOCUMENT["x-rules"]}


def test_each_operation_and_parameter_is_told_in_japanese_too() -> None:
    standard = Document.read(TEXT.encode())

    for _, _, operation in standard.operations():
        told = [standard.resolved(each) for each in operation["parameters"]]
        assert re.search(r"[ぁ-ん]", operation["x-summary-ja"])
        assert all(re.search(r"[ぁ-ん一-龠]", each["x-description-ja"]) for each in told), told


async def test_the_way_to_a_certificate_stands_on_the_page_and_in_the_bundle(
    client: httpx.AsyncClient,
) -> None:
    """Each path is one of the platform, each command and option is there."""
    page = await client.get("/standard")
    bundle = await client.get("/standard/linkage-v1.zip")
    platform = yaml.load((STANDARD.parent / "platform-v1.yaml").read_text("utf-8"), LOADER)

    files = zipfile.ZipFile(io.BytesIO(bundle.content))
    told = files.read("README.txt").decode()
    paths = set(re.findall(r"(?:GET|POST) (/v1/\S+)", told))
    assert len(paths) >= 7 and all(path in escape(page.text) for path in paths)
    assert {re.sub(r"{.*?}", "{}", path) for path in paths} <= {
        re.sub(r"{.*?}", "{}", path) for path in platform["paths"]
    }
    assert set(re.findall(r"urbanos ([a-z-]+) ", told)) == {
        "certify", "lint-openapi", "verify-certificate",
    }  # fmt: skip
    assert "own-duty" in {each["code"] for each in orjson.loads(files.read("codes/purposes.json"))}


async def test_the_bundle_holds_the_standard_its_codes_and_every_layout(
    client: httpx.AsyncClient,
) -> None:
    answer = await client.get("/standard/linkage-v1.zip")
    again = await client.get("/standard/linkage-v1.zip")
    have = await client.get(
        "/standard/linkage-v1.zip", headers={"If-None-Match": answer.headers["etag"]}
    )
    yaml_alone = await client.get("/standard/linkage-v1.yaml")

    files = zipfile.ZipFile(io.BytesIO(answer.content))
    layouts = [name for name in files.namelist() if name.startswith("profiles/")]
    businesses = orjson.loads(files.read("codes/businesses.json"))
    assert answer.content == again.content
    assert have.status_code == 304
    assert files.read("linkage-v1.yaml").decode() == yaml_alone.text == TEXT
    assert len(layouts) >= 23
    readable = files.read("standard.html").decode()
    assert 'id="PAGE-03"' in readable and 'href="linkage-v1.yaml"' in readable
    assert "/standard/" not in readable
    assert orjson.loads(files.read(layouts[0]))["type"] == "object"
    assert "270008" in files.read("codes/local_governments.csv").decode()
    assert len(businesses) == 20


async def test_the_service_names_the_version_of_the_standard_that_is_published(
    client: httpx.AsyncClient,
) -> None:
    health = await client.get("/v1/health")

    assert health.json()["interface"] == DOCUMENT["info"]["version"]
