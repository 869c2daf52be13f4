"""The wire shapes of how a file is read: what its publisher says that the bytes do not."""

from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from app.api.shapes import InShape, Name, PlainText

_XPath = Annotated[str, StringConstraints(min_length=1, max_length=500), PlainText]


class FixedColumnIn(InShape):
    """One column of a fixed-length record; the first position is 1."""

    label: Name
    start: Annotated[int, Field(ge=1, le=1_000_000)]
    length: Annotated[int, Field(ge=1, le=1_000_000)]
    type: Literal["text", "graphic", "integer", "zoned", "packed"] = "text"
    scale: Annotated[int, Field(ge=0, le=30)] = 0


class FixedWidthIn(InShape):
    """The layout of a fixed-length file, as a mainframe's nightly batch has it."""

    encoding: Name = "cp932"
    unit: Literal["bytes", "characters"] = "bytes"
    record_length: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    skip_records: Annotated[int, Field(ge=0, le=10_000)] = 0
    columns: Annotated[list[FixedColumnIn], Field(min_length=1, max_length=1_500)]
    trailer: dict[str, Any] | None = Field(
        default=None, description='Such as {"records": 1, "count": {"start": 2, "length": 6}}'
    )
    only: dict[str, Any] | None = Field(
        default=None, description='Data records: {"start": 1, "length": 1, "values": ["2"]}'
    )


class RowsIn(InShape):
    """Where the rows of an XML or JSON document stand."""

    rows: _XPath
    columns: dict[Name, _XPath] | None = None
    namespaces: dict[Name, Name] | None = None


class ReadingIn(InShape):
    """The publisher's word on the files of a dataset; what is not said is found by looking."""

    encoding: Name | None = None
    table: Name | None = None
    crs: Name | None = None
    fixed_width: FixedWidthIn | None = None
    rows: RowsIn | None = None
