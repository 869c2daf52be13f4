"""Blocks of text as a DOCX file (ISO/IEC 29500-1), made here: the same blocks are the same bytes.

Paragraphs and four styles are all that it knows.
"""

import io
import re
import zipfile
from collections.abc import Sequence
from typing import Final
from xml.sax.saxutils import escape

from app.procurement.clause import Block, Style

MEDIA_TYPE: Final = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
_W: Final = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
_PACKAGE: Final = "http://schemas.openxmlformats.org/package/2006"
_OFFICE: Final = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_HEAD: Final = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
_WORD: Final = "application/vnd.openxmlformats-officedocument.wordprocessingml"
# Known to be no day at all, so that the bytes depend on the blocks alone.
_NO_DAY: Final = (1980, 1, 1, 0, 0, 0)
_NO_CHAR: Final = re.compile(
    r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]"
)  # XML 1.0, 2.2
_STYLES: Final[dict[Style, str]] = {
    "title": "Title", "heading": "Heading1", "text": "Normal", "item": "ListBullet",
}  # fmt: skip
_PARTS: Final = {
    "[Content_Types].xml": (
        f'{_HEAD}<Types xmlns="{_PACKAGE}/content-types"><Default Extension="rels"'
        ' ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        '<Default Extension="xml" ContentType="application/xml"/>'
        f'<Override PartName="/word/document.xml" ContentType="{_WORD}.document.main+xml"/>'
        f'<Override PartName="/word/styles.xml" ContentType="{_WORD}.styles+xml"/></Types>'
    ),
    "_rels/.rels": (
        f'{_HEAD}<Relationships xmlns="{_PACKAGE}/relationships"><Relationship Id="rId1"'
        f' Type="{_OFFICE}/officeDocument" Target="word/document.xml"/></Relationships>'
    ),
    "word/_rels/document.xml.rels": (
        f'{_HEAD}<Relationships xmlns="{_PACKAGE}/relationships"><Relationship Id="rId1"'
        f' Type="{_OFFICE}/styles" Target="styles.xml"/></Relationships>'
    ),
    # In each style the order of the schema: name, basedOn, next, qFormat, pPr, rPr.
    "word/styles.xml": (
        f'{_HEAD}<w:styles xmlns:w="{_W}"><w:docDefaults><w:rPrDefault><w:rPr>'
        '<w:rFonts w:ascii="Century" w:hAnsi="Century" w:eastAsia="游明朝"/><w:sz w:val="21"/>'
        '<w:lang w:val="en-US" w:eastAsia="ja-JP"/></w:rPr></w:rPrDefault></w:docDefaults>'
        '<w:style w:type="paragraph" w:default="1" w:styleId="Normal"><w:name w:val="Normal"/>'
        '<w:qFormat/><w:pPr><w:spacing w:after="80"/></w:pPr></w:style>'
        '<w:style w:type="paragraph" w:styleId="Title"><w:name w:val="Title"/>'
        '<w:basedOn w:val="Normal"/><w:next w:val="Normal"/><w:qFormat/><w:pPr>'
        '<w:spacing w:after="240"/><w:jc w:val="center"/></w:pPr><w:rPr><w:b/><w:sz w:val="28"/>'
        "</w:rPr></w:style>"
        '<w:style w:type="paragraph" w:styleId="Heading1"><w:name w:val="heading 1"/>'
        '<w:basedOn w:val="Normal"/><w:next w:val="Normal"/><w:qFormat/><w:pPr><w:keepNext/>'
        '<w:spacing w:before="240"/><w:outlineLvl w:val="0"/></w:pPr><w:rPr><w:b/>'
        '<w:sz w:val="24"/></w:rPr></w:style>'
        '<w:style w:type="paragraph" w:styleId="ListBullet"><w:name w:val="List Bullet"/>'
        '<w:basedOn w:val="Normal"/><w:qFormat/><w:pPr><w:ind w:left="420" w:hanging="210"/>'
        "</w:pPr></w:style></w:styles>"
    ),
}


def packed(blocks: Sequence[Block]) -> bytes:
    """The file."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in {**_PARTS, "word/document.xml": _document(blocks)}.items():
            entry = zipfile.ZipInfo(name, _NO_DAY)
            entry.create_system = 0  # whichever system this runs on
            archive.writestr(entry, text, zipfile.ZIP_DEFLATED)
    return out.getvalue()


def _document(blocks: Sequence[Block]) -> str:
    return (
        f'{_HEAD}<w:document xmlns:w="{_W}"><w:body>{"".join(map(_paragraph, blocks))}'
        '<w:sectPr><w:pgSz w:w="11906" w:h="16838"/><w:pgMar w:top="1418" w:right="1418"'
        ' w:bottom="1418" w:left="1418" w:header="851" w:footer="851" w:gutter="0"/></w:sectPr>'
        "</w:body></w:document>"
    )


def _paragraph(block: Block) -> str:
    text = f"・{block.text}" if block.style == "item" else block.text
    text = _NO_CHAR.sub("\ufffd", text)
    return (
        f'<w:p><w:pPr><w:pStyle w:val="{_STYLES[block.style]}"/></w:pPr><w:r>'
        f'<w:t xml:space="preserve">{escape(text)}</w:t></w:r></w:p>'
    )
