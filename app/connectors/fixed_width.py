"""The kind `fixed_width`: nightly batch files of mainframes, cut by a layout that stands as data.

Cuts nothing itself: the take-in does, by the layout that goes along, so that every record that
cannot be read is told in its place and a trailer that counts others refuses the whole file.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Final, Literal, Self

from pydantic import ConfigDict, Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from app.connectors.frame import Capabilities, Proposal, Shape
from app.connectors.places.choosing import Chosen
from app.connectors.places.place import Entry
from app.connectors.places.taking import FilesConnector
from app.formats.guidance import FileRefused
from app.formats.readers.fixed.ebcdic import FAMILY
from app.formats.readers.fixed.layout import fixed_layout

_MOST_LENGTH: Final = 1 << 20
_Values = Annotated[
    list[Annotated[str, StringConstraints(max_length=100)]], Field(min_length=1, max_length=100)
]


class Piece(Shape):
    """A part of a record; the first position is 1."""

    start: Annotated[int, Field(ge=1, le=_MOST_LENGTH)]
    length: Annotated[int, Field(ge=1, le=1 << 16)]
    type: Literal["text", "graphic", "integer", "zoned", "packed"] = Field(
        default="text", description="`packed`: COMP-3; `integer`: COMP; `graphic`: DBCS, no shifts"
    )
    scale: Annotated[int, Field(ge=0, le=30)] = 0


class LayoutColumn(Piece):
    """One column."""

    label: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    date: Literal["western", "era"] | None = Field(
        default=None, description="`western`: 20261129; `era`: 5081129 or R081129; zeros are none"
    )
    empty: _Values | None = Field(default=None, description="What stands for no value: 99999999")


class LayoutMark(Shape):
    """What tells a kind of record: a place, and what stands there."""

    start: Annotated[int, Field(ge=1, le=_MOST_LENGTH)]
    length: Annotated[int, Field(ge=1, le=100)]
    values: _Values


class LayoutSum(Piece):
    """A place in the trailer that is to be the sum of the column of this label."""

    label: Annotated[str, StringConstraints(min_length=1, max_length=200)]


class LayoutTrailer(Shape):
    """The records that say how much there is: the last ones, or those that bear a mark."""

    records: Annotated[int, Field(ge=1, le=100)] | None = None
    mark: LayoutMark | None = None
    count: Piece | None = None
    sums: Annotated[list[LayoutSum], Field(max_length=20)] | None = None


class Layout(Shape):
    """How records are cut. Without `record_length` a record ends with its line."""

    encoding: Annotated[str, StringConstraints(max_length=20)] = Field(
        default="cp932",
        description="cp932, euc_jp, utf-8, cp930, cp939, cp290, cp037, cp273, cp500, cp1140",
    )
    unit: Literal["bytes", "characters"] = "bytes"
    record_length: Annotated[int, Field(ge=1, le=_MOST_LENGTH)] | None = Field(
        default=None, description="Line ends count, where there are any"
    )
    skip_records: Annotated[int, Field(ge=0, le=1_000)] = 0
    columns: Annotated[list[LayoutColumn], Field(min_length=1, max_length=1_500)]
    headers: LayoutMark | None = None
    only: LayoutMark | None = Field(default=None, description="The records that are data")
    trailer: LayoutTrailer | None = None

    @model_validator(mode="after")
    def _can_be(self) -> Self:
        try:
            fixed_layout(self.told)
        except FileRefused as refusal:
            raise PydanticCustomError(
                "layout", "{why}", {"why": f"{refusal.words('ja')} {refusal.words('en')}"}
            ) from None
        return self

    @property
    def told(self) -> dict[str, Any]:
        """As the take-in reads it."""
        return self.model_dump(mode="json", exclude_none=True)


class FixedWidthSelection(Chosen):
    """Which file, and how its records are cut."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "path": "NIGHTLY_*.DAT",
                    "newest_by": "name",
                    "marker": "{stem}.END",
                    "layout": {
                        "encoding": "cp930",
                        "record_length": 80,
                        "columns": [
                            {"label": "番号", "start": 2, "length": 6, "type": "zoned"},
                            {"label": "名称", "start": 8, "length": 40},
                            {"label": "金額", "start": 48, "length": 5, "type": "packed"},
                            {"label": "開始日", "start": 53, "length": 7, "date": "era"},
                        ],
                        "only": {"start": 1, "length": 1, "values": ["2"]},
                        "trailer": {
                            "mark": {"start": 1, "length": 1, "values": ["8"]},
                            "count": {"start": 2, "length": 6, "type": "zoned"},
                            "sums": [{"label": "金額", "start": 8, "length": 7, "type": "packed"}],
                        },
                    },
                }
            ]
        }
    )

    layout: Layout

    @model_validator(mode="after")
    def _joins(self) -> Self:
        trailer = self.layout.trailer
        is_last = trailer is not None and trailer.mark is None
        if self.parts is not None and (is_last or self.layout.skip_records):
            raise PydanticCustomError(
                "parts", "Where there are parts, headers and trailers are told by marks."
            )
        return self


class FixedWidthConnector(FilesConnector[FixedWidthSelection]):
    """Files of records of one length, over every transport."""

    kind = "fixed_width"
    title_ja = "固定長ファイル（汎用機の夜間バッチなど）"
    title_en = "Fixed-length files (nightly batches of mainframes)"
    selection_shape: ClassVar[type[Shape]] = FixedWidthSelection
    capabilities = Capabilities(notices_changes=True)

    def told(self, selection: FixedWidthSelection) -> Mapping[str, Any] | None:
        """The layout."""
        return {"fixed_width": selection.layout.told}

    async def discover(self) -> Sequence[Proposal]:
        """Nothing: a file does not tell its layout."""
        return ()

    def joins_lines(self, selection: FixedWidthSelection) -> bool:
        """Records of a told length, and those of EBCDIC, are joined as they are."""
        layout = fixed_layout(selection.layout.told)
        return layout.record_length is None and layout.encoding not in FAMILY

    def check_entries(self, selection: FixedWidthSelection, entries: Sequence[Entry]) -> None:
        """Raises `FileRefused` for a file that no whole records make."""
        length = selection.layout.record_length
        if length is None or selection.inner is not None:
            return
        for each in entries:
            if each.size is not None and each.size % length:
                raise FileRefused(
                    "fixed_width_length", size=each.size, length=length, rest=each.size % length
                )
