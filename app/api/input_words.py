"""What is wrong with an input, in two languages: pydantic's findings as faults. Never the value."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from app.kit.errors import Fault

# Our names for the two that every reader of an answer meets.
_CODES: Final = {"missing": "required", "extra_forbidden": "unknown_field"}
# By pydantic's error type; {…} are filled from its context. What ends in * stands for a family.
JAPANESE: Final[Mapping[str, str]] = {
    "missing": "この項目は必須です。",
    "missing_*": "必須の引数がありません。",
    "extra_forbidden": "この項目は定義されていません。綴りを確認するか、取り除いてください。",
    "json_invalid": "JSONとして読めません。",
    "json_type": "JSON文字列で指定してください。",
    "no_such_attribute": "この属性はありません。",
    "recursion_*": "入れ子が循環しているか、深すぎます。",
    "invalid_key": "キーは文字列で指定してください。",
    "named_tuple_type": "配列で指定してください。",
    "deque_type": "配列で指定してください。",
    "ordered_dict_type": "オブジェクトで指定してください。",
    "counter_type": "オブジェクトで指定してください。",
    "ellipsis_error": "値が正しくありません。",
    "fraction_*": "分数で指定してください。",
    "frozen_*": "この項目は変更できません。",
    "get_attribute_error": "値を取り出せません。",
    "model_*": "オブジェクトで指定してください。",
    "dataclass_*": "オブジェクトで指定してください。",
    "mapping_type": "オブジェクトで指定してください。",
    "dict_type": "オブジェクトで指定してください。",
    "none_required": "null で指定してください。",
    "greater_than": "{gt} より大きい値にしてください。",
    "greater_than_equal": "{ge} 以上にしてください。",
    "less_than": "{lt} より小さい値にしてください。",
    "less_than_equal": "{le} 以下にしてください。",
    "multiple_of": "{multiple_of} の倍数にしてください。",
    "finite_number": "有限の数にしてください。",
    "too_short": "{min_length} 個以上必要です。",
    "too_long": "{max_length} 個までです。",
    "iterable_type": "配列で指定してください。",
    "iteration_error": "配列を読めません。",
    "list_type": "配列で指定してください。",
    "tuple_type": "配列で指定してください。",
    "set_*": "重複のない配列で指定してください。",
    "frozen_set_type": "重複のない配列で指定してください。",
    "string_type": "文字列で指定してください。",
    "string_sub_type": "文字列で指定してください。",
    "string_unicode": "UTF-8の文字列で指定してください。",
    "string_too_short": "{min_length} 文字以上にしてください。",
    "string_too_long": "{max_length} 文字までです。",
    "string_pattern_mismatch": "書式（{pattern}）に合いません。",
    "string_not_ascii": "ASCII文字だけで指定してください。",
    "enum": "次のいずれかにしてください: {expected}",
    "literal_error": "次のいずれかにしてください: {expected}",
    "bool_*": "true か false で指定してください。",
    "int_parsing_size": "整数が大きすぎます。",
    "int_*": "整数で指定してください。",
    "float_*": "数値で指定してください。",
    "decimal_*": "小数で指定してください（桁数も確認してください）。",
    "complex_*": "数値で指定してください。",
    "bytes_*": "バイト列の形式か長さが違います。",
    "date_past": "過去の日付にしてください。",
    "date_future": "将来の日付にしてください。",
    "date_*": "日付は YYYY-MM-DD で指定してください。",
    "time_delta_*": "期間は ISO 8601 で指定してください。",
    "time_*": "時刻は HH:MM:SS で指定してください。",
    "datetime_past": "過去の日時にしてください。",
    "datetime_future": "将来の日時にしてください。",
    "datetime_*": "日時は RFC 3339（例 2026-04-01T00:00:00+09:00）で指定してください。",
    "timezone_*": "時差（+09:00 など）を付けてください。",
    "union_tag_*": "種別の指定が違います。",
    "url_*": "URLの形式が違います。",
    "uuid_*": "UUIDの形式が違います。",
    "year_out_of_range": "年は1900から9000までにしてください。",
    "control_character": "制御文字（NUL など）は使えません。取り除いてください。",
    "value_error": "値が正しくありません。",
    "assertion_error": "値が正しくありません。",
    "is_*": "値の型が違います。",
    "needs_python_object": "値の型が違います。",
    "callable_type": "値の型が違います。",
    "arguments_type": "引数の形が違います。",
    "unexpected_*": "余分な引数があります。",
    "multiple_argument_values": "同じ引数が二度あります。",
    "default_factory_not_called": "既定値を決められません。",
    "missing_sentinel_error": "値が正しくありません。",
}
_FAMILIES: Final = tuple((name[:-1], words) for name, words in JAPANESE.items() if name[-1] == "*")


def japanese(kind: str, context: Mapping[str, Any]) -> str | None:
    """The Japanese words for one of pydantic's error types, None for a type unknown to us."""
    words = JAPANESE.get(kind)
    if words is None:
        words = next((found for start, found in _FAMILIES if kind.startswith(start)), None)
    try:
        return words.format(**context) if words is not None else None
    except KeyError:
        return words


def faults_of(errors: Iterable[Mapping[str, Any]]) -> list[Fault]:
    """What FastAPI found, each with its place: a JSON pointer for bodies, a name for parameters."""
    return [
        Fault(
            pointer=_pointer(error["loc"]),
            code=_CODES.get(error["type"], error["type"]),
            ja=japanese(error["type"], error.get("ctx", {})) or "値が正しくありません。",
            en=str(error["msg"]),
        )
        for error in errors
    ]


def _pointer(place: tuple[str | int, ...]) -> str:
    if not place:
        return ""
    source, *rest = place
    if source == "body":
        # RFC 6901, 3: ~ and / are written ~0 and ~1.
        return "".join(f"/{str(part).replace('~', '~0').replace('/', '~1')}" for part in rest)
    return ".".join(str(part) for part in rest)
