"""The clause for a specification: the standard's own rules, as text, as DOCX that others read, as a page."""

import io
import zipfile
from typing import Final
from urllib.parse import quote

import docx
import pytest
from lxml import etree

from app.certify.lint import Standard
from app.procurement.clause import Layout, Wanted, blocks, text_of
from app.procurement.docx import MEDIA_TYPE, packed
from tests.programmes.office import Office, acting
from tests.world import SAKAI, World

CLAUSE: Final = "/v1/procurement/clause"
ROOT: Final = Standard.read().document.root
W: Final = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
# The order of the schema (ISO/IEC 29500-1, 17.7.4.17 and 17.3.1.26) of what is used here.
ORDER: Final = {
    "style": ("name", "basedOn", "next", "qFormat", "pPr", "rPr"),
    "pPr": ("pStyle", "keepNext", "spacing", "ind", "jc", "outlineLvl"),
    "rPr": ("rFonts", "b", "sz", "lang"),
    "body": ("p", "sectPr"),
}


@pytest.mark.parametrize("conformance", list(ROOT["x-conformance-classes"]))
async def test_the_clause_names_every_rule_of_a_class_and_none_of_another(
    world: World, conformance: str
) -> None:
    answer = await world.client.get(CLAUSE, params={"class": conformance})

    wanted = {conformance, "core"}
    for rule in ROOT["x-rules"]:
        assert (f"{rule['id']}" in answer.text) == (rule["class"] in wanted), rule["id"]
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert [line[:2] for line in answer.text.splitlines() if line[:1] == "第"] == [
        f"第{number}" for number in range(1, 6)
    ]
    assert f"第{ROOT['info']['version']}版（{ROOT['x-published-on']} 公表）" in answer.text


async def test_the_clause_of_a_programme_tells_a_bidder_what_to_hand_in_and_what_comes_back(
    world: World,
) -> None:
    office = await Office.of(world)
    layout = await office.layout()
    programme = await office.programme(classes=["query"], profiles=[layout])
    project = await office.project(programme)
    other = await acting(world, SAKAI)
    path = f"/v1/projects/{project['id']}/clause"

    of_programme = await world.client.get(
        f"/v1/programmes/{programme['id']}/clause", headers=office.city
    )
    of_project = await world.client.get(path, headers=office.city)
    unseen = await world.client.get(path, headers=other)
    chosen = await world.client.get(CLAUSE, params={"class": "query", "profile": layout})
    page = await world.client.get("/standard/clause", params={"profile": layout})

    issuer = world.platform.issuer
    name = layout.partition("/")[0]
    for part in (
        f"{name} 第1版", f"{issuer}/v1/profiles/{layout}/schema", "urbanos verify-certificate",
        f"{issuer}/v1/conformance/revocations", "一括書き出し", "別途の費用を請求しないこと", "OpenAPI 3.1",
    ):  # fmt: skip
        assert part in of_programme.text
    assert project["description"]["title"] in of_project.text
    assert unseen.status_code == 404
    lines = chosen.text.splitlines()
    assert [each for each in of_programme.text.splitlines() if each not in lines] == [
        f"対象: {programme['title']}"
    ]
    assert f'<option value="{layout}" selected>' in page.text
    assert f"?class=core&amp;profile={quote(layout, safe='')}&amp;f=docx" in page.text
    assert "第4 契約終了時のデータ返還" in page.text


async def test_a_layout_that_nobody_can_be_certified_for_is_in_no_clause(world: World) -> None:
    refused = await world.client.get(CLAUSE, params={"profile": "no-such-layout/1"})
    unknown = await world.client.get(CLAUSE, params={"class": "queri"})

    assert (refused.status_code, refused.json()["code"]) == (422, "requirements_invalid")
    assert unknown.status_code == 400 or unknown.status_code == 422


async def test_another_reader_finds_in_the_docx_what_the_text_says(world: World) -> None:
    query = {"class": "secure", "f": "docx"}

    first, again = [await world.client.get(CLAUSE, params=query) for _ in range(2)]
    text = await world.client.get(CLAUSE, params={"class": "secure"})

    read = docx.Document(io.BytesIO(first.content))
    told = [each.text.removeprefix("・") for each in read.paragraphs]
    wanted = [each.strip().removeprefix("・") for each in text.text.splitlines() if each.strip()]
    assert told == wanted
    assert [each.style.name for each in read.paragraphs if each.style][:2] == ["Title", "Heading 1"]
    assert (first.headers["Content-Type"], first.content) == (MEDIA_TYPE, again.content)


def test_the_parts_of_the_docx_are_whole_and_in_the_order_of_the_schema() -> None:
    layout = Layout("aed", 2, 'ＡＥＤ <設置> & "管理"')
    made = blocks(
        ROOT, Wanted(["core"], [layout], "https://os.example.jp", "]]>&amp;\n<w:p/>\uffff")
    )

    with zipfile.ZipFile(io.BytesIO(packed(made))) as archive:
        assert archive.testzip() is None
        parts = {name: etree.fromstring(archive.read(name)) for name in archive.namelist()}

    for part in (parts["word/styles.xml"], parts["word/document.xml"]):
        for name, order in ORDER.items():
            for element in part.iter(f"{W}{name}"):
                places = [order.index(child.tag.removeprefix(W)) for child in element]
                assert places == sorted(places), (name, element)
    styles = {each.get(f"{W}styleId") for each in parts["word/styles.xml"].iter(f"{W}style")}
    used = {each.get(f"{W}val") for each in parts["word/document.xml"].iter(f"{W}pStyle")}
    assert used == styles
    overrides = {each.get("PartName") for each in parts["[Content_Types].xml"]} - {None}
    assert {each.removeprefix("/") for each in overrides} <= set(parts)
    said = "".join(each.text for each in parts["word/document.xml"].iter(f"{W}t"))
    assert "対象: ]]>&amp; <w:p/>\ufffd" in said and layout.title in text_of(made)
