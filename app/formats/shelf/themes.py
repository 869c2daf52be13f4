"""Themes in the publisher's words → the EU's data themes, where one is meant without doubt."""

from collections.abc import Iterable, Mapping
from typing import Final

_WORDS: Final[Mapping[str, str]] = {
    "AGRI": "農業 林業 水産 水産業 漁業 農林水産 農林水産業 食品 食 agriculture fisheries forestry food",
    "ECON": "経済 産業 商業 財政 予算 決算 雇用 労働 観光経済 経済産業 企業 economy finance business industry",
    "EDUC": "教育 文化 スポーツ 学校 図書館 文化財 生涯学習 観光 education culture sport tourism",
    "ENER": "エネルギー 電力 再生可能エネルギー energy",
    "ENVI": "環境 気象 ごみ 廃棄物 リサイクル 公園 緑地 河川 水質 大気 environment weather waste parks",
    "GOVE": "行政 行財政 選挙 議会 公共施設 電子行政 government",
    "HEAL": "健康 医療 保健 感染症 病院 介護 ワクチン health medical",
    "INTR": "国際 国際交流 international",
    "JUST": "防災 防犯 消防 安全 安心 避難所 避難場所 災害 交通安全 disaster safety",
    "REGI": "都市計画 地域 まちづくり 住宅 土地 地理空間 建築 urban regions",
    "SOCI": "人口 世帯 福祉 子育て 高齢者 統計 国勢調査 障害福祉 障がい福祉 population welfare childcare",
    "TECH": "科学 技術 情報通信 ICT 科学技術 science technology",
    "TRAN": "交通 道路 鉄道 バス 駐車場 駐輪場 運輸 港湾 transport traffic road",
}
_CODES: Final[Mapping[str, str]] = {
    word.casefold(): code for code, words in _WORDS.items() for word in words.split()
}


def codes_of(themes: Iterable[str]) -> list[str]:
    """The codes, each once, in the order of the themes."""
    parts = (part for theme in themes for part in theme.replace("・", "/").split("/"))
    found = (_CODES.get(part.strip().casefold()) for part in parts)
    return list(dict.fromkeys(code for code in found if code is not None))
