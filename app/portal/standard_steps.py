"""How a vendor gets from the standard to a certificate, as the page and the bundle tell it.

It names what is there, and promises nothing about the outcome.
"""

from typing import Final, NamedTuple

from app.portal.layout import Html, both, coded, html, joined


class _Step(NamedTuple):
    ja: str
    en: str
    told: str  # what is typed or sent


_LINT: Final = "urbanos lint-openapi your-openapi.yaml --class core,query"
_CERTIFY: Final = (
    "urbanos certify http://127.0.0.1:8100 --class core,query\n"
    "urbanos certify http://127.0.0.1:8100 --profile aed/2 --format html --output report.html"
)
_REGISTER: Final = """POST /v1/conformance/services
{"name": "…", "sandbox_url": "https://sandbox.example.jp", "classes": ["core", "query"]}

GET https://sandbox.example.jp/.well-known/urbanos-challenge
5b0f7a4e-8f1f-4c39-9a52-6a3f5c1f8d21"""
_RUN: Final = """POST /v1/conformance/runs
{"service": "5b0f7a4e-8f1f-4c39-9a52-6a3f5c1f8d21"}

GET /v1/conformance/runs/{run}
GET /v1/conformance/runs/{run}/report"""
_VERIFY: Final = """GET /v1/conformance/certificates/{certificate}   → certificate.jws
GET /v1/conformance/keys                         → keys.json
GET /v1/conformance/revocations                  → revocations.jws
urbanos verify-certificate certificate.jws --jwks keys.json --revocations revocations.jws"""
_STEPS: Final = (
    _Step(
        "文書を確かめる。OpenAPI 文書が、名乗るクラスを満たすかを調べます。`urbanos` は基盤に付属するコマンドで、"
        "ネットワークもデータベースも要りません。",
        "Check the document: does it offer the classes that it claims? `urbanos` is the command that "
        "comes with the platform; this needs neither network nor database.",
        _LINT,
    ),
    _Step(
        "サーバを確かめる。架空のデータを入れた公開データセットを一つ用意し、`/v1` より前のアドレスを指定します。"
        "`core` と `query` は読むだけです。`write` と `changes` には `--dataset`、`--sandbox-prefix`、"
        "`--token-file` が要り、その接頭辞で始まるキーのレコードだけを書き、消します。違反があれば終了コードは4です。",
        "Judge the server: with one public dataset of made-up data, by the address before `/v1`. "
        "`core` and `query` only read. `write` and `changes` need `--dataset`, `--sandbox-prefix` and "
        "`--token-file`, and write and remove only records whose keys begin with that prefix. Exit 4 "
        "if a rule is broken.",
        _CERTIFY,
    ),
    _Step(
        "サービスを登録する。基盤の運営者から役割 `developer` のクライアントを受け取り、スコープ "
        "`conformance:write` のトークンで登録します。応答の `id` だけを一行に書いたテキストを、公開の https である"
        "サンドボックスの `/.well-known/urbanos-challenge` に置きます。",
        "Register the service: with a token of the scope `conformance:write`, of a client with the "
        "role `developer` from the platform's operator. The sandbox has a public https address, and "
        "answers `/.well-known/urbanos-challenge` with a text that has the `id` of the answer as a line.",
        _REGISTER,
    ),
    _Step(
        "公式の試験を受ける。終わるまで `state` を見て、結果は `/report` で読みます（JSON、HTML、JUnit、SARIF）。",
        "Have it judged officially: look at `state` until it has ended, and read `/report` (JSON, "
        "HTML, JUnit, SARIF).",
        _RUN,
    ),
    _Step(
        "適合証明書を受け取る。合格した試験に対して運営者が発行し、`/v1/certified-services` とバッジ"
        "（`/v1/certified-services/{id}/badge.svg`）に現れます。証明書はネットワークなしで検証できます。",
        "Get the certificate: the operator issues it for a passed run, and it shows in "
        "`/v1/certified-services` and its badge (`/v1/certified-services/{id}/badge.svg`). Anybody "
        "can verify it without a network.",
        _VERIFY,
    ),
)


def shown() -> Html:
    """The steps in their order."""
    return html("<ol>{steps}</ol>", steps=joined(_shown(each) for each in _STEPS))


def _shown(step: _Step) -> Html:
    words = both(coded(step.ja), coded(step.en))
    return html("<li>{words}<pre>{told}</pre></li>", words=words, told=step.told)


def plain() -> str:
    """The same for a text file."""
    told = (
        f"{number}. {step.ja}\n   {step.en}\n\n{_indented(step.told)}\n"
        for number, step in enumerate(_STEPS, 1)
    )
    return "\n".join(told)


def _indented(text: str) -> str:
    return "\n".join(f"   {line}".rstrip() for line in text.splitlines())
