"""The clause of a specification that requires the standard (調達仕様書への記載例), as blocks of text.

Pure. The numbers of rules and the version are the standard's own: nothing of them is written here.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from itertools import count
from typing import Any, Final, Literal

Style = Literal["title", "heading", "text", "item"]
_VERIFY: Final = (
    "urbanos verify-certificate certificate.jws --jwks keys.json --revocations revocations.jws"
)


@dataclass(frozen=True, slots=True)
class Block:
    """A paragraph, and how it is set."""

    style: Style
    text: str


@dataclass(frozen=True, slots=True)
class Layout:
    """A version of a standard layout. `until`: its last day, where one is set."""

    name: str
    version: int
    title: str
    edition: str | None = None
    until: date | None = None


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be required. `address`: of the platform that issues certificates."""

    classes: Sequence[str]
    layouts: Sequence[Layout]
    address: str
    subject: str | None = None


def blocks(standard: Mapping[str, Any], wanted: Wanted) -> list[Block]:
    """The clause, in Japanese: `standard` is the standard's document."""
    parts = [
        *_standard(standard, wanted),
        *_layouts(wanted),
        *_evidence(wanted),
        *_return(wanted),
        *_disclosure(standard),
        *_change(standard),
    ]
    # On one line: what somebody named so is no clause of its own.
    named = " ".join((wanted.subject or "").split())
    subject = [Block("text", f"対象: {named}")] if named else []
    title = Block("title", "調達仕様書 記載例（データ連携標準インタフェースへの適合）")
    return [title, *subject, *_numbered(parts)]


def text_of(clause: Sequence[Block]) -> str:
    """As plain text: an empty line before each heading."""
    lines = []
    for block in clause:
        if block.style == "heading":
            lines.append("")
        lines.append(f"  ・{block.text}" if block.style == "item" else block.text)
    return "\n".join(lines) + "\n"


def _numbered(parts: Sequence[Block]) -> Iterator[Block]:
    numbers = count(1)
    for block in parts:
        is_heading = block.style == "heading"
        yield replace(block, text=f"第{next(numbers)} {block.text}") if is_heading else block


def _standard(standard: Mapping[str, Any], wanted: Wanted) -> Iterator[Block]:
    info, published = standard["info"], standard.get("x-published-on")
    on = f"（{published} 公表）" if published else ""
    yield Block("heading", "適用する規格と適合クラス")
    yield Block(
        "text",
        f"受注者が納入するシステム（以下「本システム」という。）は、データ連携標準インタフェース 第{info['version']}版"
        f"{on}（以下「標準」という。本文: {wanted.address}/standard）の次の適合クラスに属するすべての規則に"
        "適合すること。",
    )
    for name in wanted.classes:
        rules = [each["id"] for each in standard["x-rules"] if each["class"] == name]
        told = standard["x-conformance-classes"][name]["ja"]
        yield Block("item", f"適合クラス {name}（{told}） 全{len(rules)}規則: {'、'.join(rules)}")


def _layouts(wanted: Wanted) -> Iterator[Block]:
    if not wanted.layouts:
        return
    yield Block("heading", "標準レイアウト")
    yield Block(
        "text",
        "本システムは、次の標準レイアウトの版のとおりにデータを提供すること。項目名・型・コードを独自に変更しないこと。",
    )
    for each in wanted.layouts:
        edition = f"、{each.edition}" if each.edition else ""
        until = f"、有効期限 {each.until}" if each.until else ""
        where = f"{wanted.address}/v1/profiles/{each.name}/{each.version}/schema"
        yield Block(
            "item", f"{each.name} 第{each.version}版（{each.title}{edition}{until}） 定義: {where}"
        )


def _evidence(wanted: Wanted) -> Iterator[Block]:
    required = "、".join(
        (*wanted.classes, *(f"{one.name}/{one.version}" for one in wanted.layouts))
    )
    yield Block("heading", "適合の証明")
    yield Block("text", "応札者は、提案書とともに次の書類を電子ファイルで提出すること。")
    yield Block(
        "item",
        f"適合証明書（署名付きファイル certificate.jws）。対象サービスについて {required} のすべてが記載され、"
        "提出日に有効であること。複数の証明書で満たしてもよい。",
    )
    yield Block(
        "item",
        f"発行者の公開鍵 keys.json（{wanted.address}/v1/conformance/keys）と失効リスト revocations.jws"
        f"（{wanted.address}/v1/conformance/revocations、提出日前7日以内に取得したもの）。",
    )
    yield Block("item", f"次の検証コマンドの実行結果（終了コード0）: {_VERIFY}")
    yield Block(
        "text",
        "提出日に証明書がない場合は、適合クラス又は標準レイアウトの名称、取得期日及び責任者を記した取得計画を提出すること。取得期日は納入期限までとし、"
        "期日までに証明書を提出できないときは、検査に合格しないものとする。",
    )
    yield Block(
        "text",
        "受注者は、契約期間中、証明書を有効に保つこと。失効又は期限切れとなったときは直ちに発注者に通知し、受注者の負担で"
        "是正のうえ、改めて証明書を提出すること。",
    )


def _return(wanted: Wanted) -> Iterator[Block]:
    layout = (
        "第2の標準レイアウト"
        if wanted.layouts
        else "標準レイアウト（定めのないものは CSV（UTF-8）と項目定義書）"
    )
    yield Block("heading", "契約終了時のデータ返還")
    yield Block(
        "text",
        "本システムに蓄積されたデータに関する権利は発注者に帰属する。受注者は、契約の終了時、及び契約期間中に発注者が求めたとき、"
        "発注者が所有するすべてのデータを返還すること。",
    )
    yield Block(
        "item",
        f"方法: 所有者による一括書き出しとし、{layout}によること。メタデータ、提供・利用の合意、アクセス記録の抽出を含むこと。",
    )
    yield Block(
        "item", "確認: 件数とハッシュ値の一覧を添え、発注者が別の環境に取り込んで照合できること。"
    )
    yield Block(
        "item",
        "費用: 返還及び次期システムへの移行に必要な技術情報の提供について、別途の費用を請求しないこと。",
    )
    yield Block(
        "item",
        "返還の確認後、受注者の環境のデータを復元できない方法で消去し、消去したことを証する書面を提出すること。",
    )


def _disclosure(standard: Mapping[str, Any]) -> Iterator[Block]:
    yield Block("heading", "知的財産権とインタフェースの開示")
    yield Block(
        "item",
        "本システムのすべての外部インタフェースの仕様を OpenAPI 3.1 の文書として発注者に提出し、発注者が公開し、第三者に"
        "利用させることを妨げないこと。",
    )
    yield Block(
        "item",
        "標準によるインタフェースの利用・接続に、発注者及び発注者が指定する第三者から使用料・接続料を徴収しないこと。",
    )
    yield Block(
        "item",
        "発注者の費用で作成した設定・対応付け・文書の著作権（著作権法第27条及び第28条の権利を含む。）は発注者に帰属するか、"
        "発注者が期間の定めなく自由に利用・改変・再許諾できること。",
    )
    licence = standard["info"].get("license", {}).get("name")
    if licence:
        yield Block("item", f"標準は {licence} で公開されており、実装に許諾料は要らない。")


def _change(standard: Mapping[str, Any]) -> Iterator[Block]:
    yield Block("heading", "標準の改定への対応")
    yield Block("text", "".join(map(str.strip, standard["x-change-policy"]["ja"].splitlines())))
    yield Block(
        "text",
        "契約期間中に標準又は標準レイアウトの新しい主版が公表されたときは、旧版が有効な期間内の対応方法を発注者と協議すること。",
    )
