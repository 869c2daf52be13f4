"""The kind `file`: a file of a server or of a folder that is lent, whatever its transport.

Reads no format: what the bytes are is the take-in's to find.
"""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import ConfigDict, StringConstraints

from app.connectors.frame import Shape
from app.connectors.places.choosing import Chosen
from app.connectors.places.settings import PlaceSettings
from app.connectors.places.taking import FilesConnector

FileSettings = PlaceSettings


class FileSelection(Chosen):
    """Which file, and how it is read where that has to be said."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"path": "daily/park_*.csv", "newest_by": "name", "marker": "{name}.done"},
                {"path": "bus/*.zip", "inner": "stops.txt"},
                {"path": "parts/*.csv", "parts": {"heading_lines": 1}, "encoding": "cp932"},
            ]
        }
    )

    encoding: Annotated[str, StringConstraints(max_length=20)] | None = None
    table: Annotated[str, StringConstraints(max_length=200)] | None = None
    crs: Annotated[str, StringConstraints(max_length=100)] | None = None


class FileConnector(FilesConnector[FileSelection]):
    """Files of any format that the take-in reads."""

    kind = "file"
    title_ja = "ファイル（HTTP(S)・SFTP・FTP(S)・S3・WebDAV・フォルダ）"
    title_en = "Files (HTTP(S), SFTP, FTP(S), S3, WebDAV, a folder)"
    selection_shape: ClassVar[type[Shape]] = FileSelection

    def told(self, selection: FileSelection) -> Mapping[str, Any] | None:
        """The words on how the file is read."""
        words = {
            "encoding": selection.encoding,
            "table": selection.table,
            "crs": selection.crs,
        }
        return {name: word for name, word in words.items() if word is not None} or None
