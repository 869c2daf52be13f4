"""The clerk of Story 8 and her workbook: a client id, a secret, a spreadsheet. All is synthetic."""

import io
from typing import Any

import openpyxl

from tests.world import World

SCOPE = "catalogue:write organization:write"
FILENAME = "公共施設一覧.xlsx"
DATASET = "chihayaakasaka-public-facility"
VILLAGE = "273830"  # 千早赤阪村
ADDRESS = "大阪府南河内郡千早赤阪村大字水分{}"
NAMES = ("村役場", "図書館", "公民館", "体育館", "診療所", "児童館")
_BASE = {
    "全国地方公共団体コード": VILLAGE,
    "地方公共団体名": "大阪府千早赤阪村",
    "所在地_全国地方公共団体コード": VILLAGE,
    "所在地_都道府県": "大阪府",
    "所在地_市区町村": "南河内郡千早赤阪村",
    "所在地_町字": "大字水分",
    "開始時間": "09:00",
    "終了時間": "17:00",
}


def rows(longitude_of_4: float | None) -> list[dict[str, Any]]:
    """Six facilities: row 4 may lack its longitude, row 5 a check digit, row 6 has one address cell."""
    made: list[dict[str, Any]] = [
        {
            **_BASE,
            "ID": f"{at:04}",
            "名称": f"架空{name}",
            "所在地_連結表記": ADDRESS.format(at),
            "所在地_番地以下": str(at),
            "緯度": 34.46 + at / 1000,
            "経度": 135.62 + at / 1000,
            "電話番号": f"0721-00-{at:04}",
        }
        for at, name in enumerate(NAMES, start=1)
    ]
    made[3]["経度"] = longitude_of_4
    made[4]["全国地方公共団体コード"] = 27383
    for column in ("所在地_都道府県", "所在地_市区町村", "所在地_番地以下"):
        made[5][column] = None
    made[5]["所在地_町字"] = ADDRESS.format(6)
    return made


def workbook(columns: list[str], *, longitude_of_4: float | None) -> bytes:
    """The clerk's file: a merged title, the layout's header, six rows."""
    book = openpyxl.Workbook()
    sheet = book.worksheets[0]
    sheet.title = "公共施設一覧"
    sheet.append(["千早赤阪村 公共施設一覧（架空）"])
    sheet.merge_cells(start_row=1, start_column=1, end_row=1, end_column=len(columns))
    sheet.append(columns)
    for row in rows(longitude_of_4):
        sheet.append([row.get(column) for column in columns])
    kept = io.BytesIO()
    book.save(kept)
    return kept.getvalue()


class Village:
    """The clerk at her machine: a client id and a secret, a browser, a spreadsheet. No code."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.client = world.client
        self.headers: dict[str, str] = {}
        self.steps: list[int | None] = []  # what the checklist called next, after each step

    async def send(self, path: str, body: Any = None, *, method: str = "POST") -> Any:
        response = await self.client.request(method, path, json=body, headers=self.headers)
        assert response.status_code in {200, 201}, response.text
        return response.json()

    async def sign_in(self, client_id: str, secret: str) -> None:
        answer = await self.client.post(
            "/oauth/token",
            data={"grant_type": "client_credentials", "scope": SCOPE},
            auth=(client_id, secret),
        )
        assert answer.status_code == 200, answer.text
        self.headers = {"Authorization": f"Bearer {answer.json()['access_token']}"}

    async def look_up_next(self) -> None:
        path = f"/v1/organizations/{VILLAGE}/onboarding"
        self.steps.append((await self.send(path, method="GET")).get("next"))

    async def upload(self, file: bytes) -> dict[str, Any]:
        sent = await self.client.post(
            f"/v1/datasets/{DATASET}/versions",
            files={"file": (FILENAME, file)},
            headers=self.headers,
        )
        assert sent.status_code == 202, sent.text
        run = await self.world.ended(self.headers, sent.json()["id"])
        assert run["version_number"] is not None, run
        return run
