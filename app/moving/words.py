"""What an archive says about itself to whoever opens it without our software. Holds no data."""

from typing import Final

ABOUT: Final = """Source-Organization: {organization}
External-Identifier: {export}
Bagging-Date: {day}
Payload-Oxum: {size}.{count}
Bag-Software-Agent: urbanos {version}
"""

JA: Final = """\
{name}（{organization}）が所有するデータ一式
作成: {made_at}　元のプラットフォーム: {issuer}

このアーカイブは BagIt（RFC 8493）形式のフォルダをZIPにまとめたものです。専用のソフトウェアは不要です。

確認のしかた
  manifest-sha256.txt   data/ 以下の各ファイルのSHA-256（例: sha256sum -c manifest-sha256.txt）
  export.json           目次: 形式の版、件数、各ファイルの大きさ・SHA-256・行数
  export.jws            export.json の署名（JWS、ES256）。署名鍵は keys.json の kid {kid}
  data/log/extract.ndjson  この組織に関わる監査ログ。元のプラットフォームの deploy/verify_log.py
                        （Python 3.9以降だけで動きます）で検証できます

データセット（data/datasets/<id>/）
  records.csv           現在のレコード。標準レイアウトの英語名の見出し、UTF-8
  records.ndjson        同じもの。1行に1件のJSON（数値・真偽値・空値の型を保つ）
  records.geojson       同じもの。位置のあるデータセットのみ（RFC 7946）
  versions/<版>.csv     公開したことのある版の全改訂。_row はレコードの番号、_since 以上 _until 未満の改訂に
                        その行が含まれる（_until が空なら現行）。引用符のない空欄は「値なし」、"" は空文字
  differences/<回>.csv  公開で変わった行（old_row は前の版、new_row は新しい版の _row）

その他（1行に1件のJSON）
  datasets・versions・editions  カタログの記載、版、読み手に何がいつから見えたか
  profiles・purposes・views・repair_decisions  標準レイアウト、目的、目的別の閲覧範囲、修正の判断
  connectors・feeds     連携の設定（秘密情報は含みません）
  systems・system_revisions・diagnoses・duplicate_decisions  情報システム台帳、履歴、診断、重複の判断
  findings・finding_changes  指摘とその経過
  services・certificates  適合サービスと証明書（jws は署名済みの証明書）
  requests・offers・agreements・exclusions  利用申請、条件の提示、協定（terms とそのSHA-256）、除外
  consents              同意と撤回の件数。誰のものかは含みません
  organizations・others・former_names  この組織と下部組織、関係する組織の名称
含まないもの: クライアントの鍵、接続の秘密、職員の名簿、公開前の版、上限を超える区分のデータセット
（export.json の left_out に一覧）
"""

EN: Final = """\
All that {name} ({organization}) owns
Made: {made_at}   Former platform: {issuer}

This archive is a folder in the form of BagIt (RFC 8493) in a ZIP. No software of ours is needed.

To check it
  manifest-sha256.txt   the SHA-256 of each file under data/ (such as: sha256sum -c manifest-sha256.txt)
  export.json           what there is: version of the form, counts, each file's size, SHA-256 and lines
  export.jws            the signature over export.json (JWS, ES256) by the key {kid} in keys.json
  data/log/extract.ndjson  the audit log's entries that concern the body, verified by deploy/verify_log.py
                        of the former platform, which needs Python 3.9 and nothing else

Datasets (data/datasets/<id>/)
  records.csv           the present records, headed by the standard layout's English names, UTF-8
  records.ndjson        the same, a JSON object a line: numbers, booleans and nulls keep their types
  records.geojson       the same, of datasets with places (RFC 7946)
  versions/<n>.csv      every revision of a version that readers had. _row numbers the record; the row
                        is in the revisions from _since on and before _until (empty: it still is).
                        An empty cell without quotes is no value, "" is the empty text
  differences/<n>.csv   what a publication changed (old_row and new_row are _row before and after)

The rest (a JSON object a line)
  datasets, versions, editions  the catalogue's entries, versions, and what readers got from when on
  profiles, purposes, views, repair_decisions  layouts, purposes, what each lets through, repairs
  connectors, feeds     how data came in (without secrets)
  systems, system_revisions, diagnoses, duplicate_decisions  the inventory, its history, diagnoses
  findings, finding_changes  findings and their course
  services, certificates  conforming services; jws is the certificate as it was signed
  requests, offers, agreements, exclusions  what was asked, offered and agreed (terms, their SHA-256)
  consents              how many consents and withdrawals; not whose
  organizations, others, former_names  the body, those below it, and those that are named
Not in it: keys of clients, secrets of connections, the list of staff, versions before their
publication, and datasets above the class that was asked for (left_out in export.json)
"""
