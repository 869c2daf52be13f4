"""Benchmarks of searching: a catalogue of 100,000 datasets, and `q` on 300,000 records."""

import asyncio
import json
import os
import random
import statistics
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import httpx

from app.catalogue.indexing import MADE_AS
from app.formats.profiles import municipal
from app.query.fields import Field
from app.query.folding import fold
from app.query.grams import grams
from app.query.words import searched
from app.tasks.words import keep_words
from tests.bench.figures import Figure, rounds
from tests.bench.stage import PUBLIC, Stage

_DATASETS: Final = 100_000
_ASKED: Final = 600
_PLACES: Final = [
    "中央",
    "北",
    "南",
    "東",
    "西",
    "緑",
    "港",
    "桜",
    "松",
    "竹",
    "梅",
    "鶴",
    "亀",
    "朝日",
    "日の出",
    "栄",
    "旭",
    "泉",
    "川",
    "山",
]
_KINDS: Final = [
    "一覧",
    "台帳",
    "統計",
    "位置情報",
    "調査結果",
    "月報",
    "年報",
    "台帳（令和5年度）",
    "一覧（旧）",
    "概要",
]
_DATASET: Final = [
    "id",
    "title_ja",
    "title_kana",
    "description_ja",
    "publisher_id",
    "steward_name",
    "data_class",
    "zone",
    "license",
    "update_frequency",
    "themes",
    "hidden",
    "state",
    "created_at",
    "created_by",
    "modified_at",
]
# One, two and many characters; what everything has, what some have, what nothing has; misspelt.
_COMMON: Final = ("一覧", "市", "の", "住所", "地", "統計", "データ", "名称 住所")
_MEDIUM: Final = ("公園", "ひなん", "AED", "ﾄｲﾚ", "避難所", "子供", "桜", "保育所 一覧", "図書館")
_RARE: Final = (
    "旭 文化財 年報",
    "資料第99999号",
    "第77号",
    "避難所 鶴亀 月報",
    "ゔ",
    "存在しない語",
)
_MISSPELT: Final = ("指定緊急避離場所", "公衆無腺LAN", "文化材一覧")
_FILTERS: Final = ("", "", "", "&theme=防災", "&publisher={publisher}", "&class=public")


async def catalogue(stage: Stage) -> list[Figure]:
    """p50 and p99 over HTTP of a mix of queries, one after the other, beside a bare answer's.

    The machine's load is told with them: with other work on its cores, only the ratio says much.
    """
    publishers = await _fill(stage)
    source = random.Random(4)
    asked = []
    for _ in range(_ASKED):
        words = source.choice(source.choice((_COMMON, _MEDIUM, _MEDIUM, _RARE, _MISSPELT)))
        narrowed = source.choice(_FILTERS).format(publisher=source.choice(publishers))
        asked.append(f"/v1/datasets?q={quote(words)}{narrowed}&limit=20")
    for address in asked[:60]:
        await _took(stage.http, address)
    alone, bare, loads = [], [], []
    for at, address in enumerate(asked):
        alone.append(await _took(stage.http, address))
        if at % 5 == 0:
            bare.append(await _took(stage.http, "/healthz"))
            loads.append(os.getloadavg()[0])
    worst = sorted(zip(alone, asked, strict=True), reverse=True)[:5]
    print("slowest:", *(f"{took:.0f} ms {address}" for took, address in worst), sep="\n  ")
    name = "catalogue search, 100,000 datasets"
    low, high = (_at(alone, 50),), (_at(alone, 99),)
    beside = ((_at(bare, 50),), "/healthz, p50")
    return [
        Figure(f"{name}, p50", "ms", low, wanted_below=15),
        Figure(f"{name}, p99", "ms", high, wanted_below=60),
        Figure(f"{name}, p50 beside a bare answer", "ms", low, *beside),
        Figure(f"{name}, p99 beside a bare answer", "ms", high, *beside),
        Figure("the machine's load meanwhile", "processes", tuple(loads)),
    ]


async def _took(http: httpx.AsyncClient, address: str) -> float:
    began = time.perf_counter()
    answer = await http.get(address)
    taken = (time.perf_counter() - began) * 1_000
    assert answer.status_code == 200, answer.text
    return taken


def _at(values: Sequence[float], percent: int) -> float:
    return statistics.quantiles(values, n=100)[percent - 1]


async def _fill(stage: Stage) -> list[str]:
    """The catalogue, by COPY: what registering would take an hour for."""
    pool = stage.database.pool
    publishers = [row[0] for row in await pool.fetch("SELECT id FROM organization ORDER BY id")]
    names = dict(await pool.fetch("SELECT id, name_ja FROM organization"))
    entries = [*_entries(publishers)]
    # A notice a row, all in one commit, would take longer than everything else.
    await pool.execute("ALTER TABLE dataset DISABLE TRIGGER dataset_tells")
    await pool.copy_records_to_table(
        "dataset", records=[each[0] for each in entries], columns=_DATASET
    )
    await pool.execute("ALTER TABLE dataset ENABLE TRIGGER dataset_tells")
    words = await asyncio.to_thread(lambda: [*_words(entries, names)])
    columns = ["dataset_id", "length", "title", "kana", "parts", "grams", "made_as"]
    index = await pool.fetchval("SELECT pg_get_indexdef('ix_dataset_words_grams'::regclass)")
    await pool.execute("DROP INDEX ix_dataset_words_grams")
    await pool.copy_records_to_table("dataset_words", records=words, columns=columns)
    await pool.execute(f"SET maintenance_work_mem = '512MB'; {index}")
    await pool.execute("VACUUM ANALYZE dataset")
    await pool.execute("VACUUM ANALYZE dataset_words")
    return publishers


def _entries(publishers: Sequence[str]) -> Iterator[tuple[tuple[Any, ...], list[str]]]:
    source, now = random.Random(1), datetime.now(UTC)
    profiles = json.loads(Path(municipal.__file__).with_name("municipal.json").read_text("utf-8"))[
        "profiles"
    ]
    themes = ("防災", "子育て", "観光", "統計", "環境", "交通", "教育", "福祉")
    for at in range(_DATASETS):
        profile = source.choice(profiles)
        title = profile["title_ja"].removesuffix("一覧")
        title = f"{source.choice(_PLACES)}{title}{source.choice(_KINDS)} 第{at % 977}号"
        labels = [each["label"] for each in profile["versions"][-1]["columns"][:25]]
        yield (
            f"bench-{at:06}", title, None, f"{title}のデータです。資料第{at}号に基づきます。",
            source.choice(publishers), "計測", "public", "internet", "CC-BY-4.0", "irregular",
            [source.choice(themes)], at % 50 == 0, "active", now, "bench", now,
        ), labels  # fmt: skip


def _words(
    entries: Sequence[tuple[tuple[Any, ...], list[str]]], names: dict[str, str]
) -> Iterator[tuple[Any, ...]]:
    held = cache(grams)
    for row, labels in entries:
        id_, title, _, description, publisher, *_ = row
        said = (title, "", " ".join([*row[10], id_]), " ".join(labels), names[publisher])
        parts = [fold(text) for text in (*said, description)]
        found = set[int]().union(
            *(held(text, at) if at in {3, 4} else grams(text, at) for at, text in enumerate(parts))
        )
        yield id_, len(title), *parts[:2], parts, sorted(found), MADE_AS


_WORDS: Final = ("架空", "第77", "北区", "ｶｸｳ 77", "施設12", "無い語")


async def records(stage: Stage) -> list[Figure]:
    """`q` on 300,000 records, 100 of them, beside LIKE by hand on the same columns."""
    await keep_words(stage.database)
    stored = await stage.database.pool.fetchrow(
        "SELECT table_name, fields FROM version WHERE dataset_id = $1", PUBLIC
    )
    assert stored is not None
    fields = [Field.from_json(each) for each in json.loads(stored["fields"])]
    columns = [field.column for field in searched(fields)]
    figures = []
    for words in _WORDS:
        patterns = [f"%{word}%" for word in words.split()]
        each = (
            "(" + " OR ".join(f"{column} LIKE ${at}" for column in columns) + ")"
            for at, _ in enumerate(patterns, 1)
        )
        by_hand = (
            f"SELECT * FROM hosted.{stored['table_name']} WHERE {' AND '.join(each)}"
            " ORDER BY _row LIMIT 100"
        )

        async def asked(at: int, words: str = words) -> float:
            address = f"/v1/datasets/{PUBLIC}/records?q={quote(words)}&limit={100 + at}"
            return 1_000 / await _took(stage.http, address)

        async def likes(_at: int, asked: str = by_hand, with_: list[str] = patterns) -> float:
            began = time.perf_counter()
            await stage.database.pool.fetch(asked, *with_)
            return 1 / (time.perf_counter() - began)

        values, limits = await rounds(asked, likes)
        figures.append(Figure(f"records q={words}", "1/s", values, limits, "LIKE by hand"))
    return figures
