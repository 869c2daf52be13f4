"""A made-up city's catalogue of some 300 datasets, to search in. All of it is synthetic."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from app.formats.profiles import municipal

# slug, title, English title, theme, headings, description
_TOPICS = """
bousai-musen|防災行政無線設置一覧|Emergency broadcast speakers|防災|設置場所 方式|屋外拡声子局の位置です。
hazard|洪水ハザードマップ区域|Flood hazard zones|防災|想定浸水深 河川名|大雨のときに水につかるおそれのある範囲です。
bichiku|備蓄物資一覧|Emergency supplies|防災|品名 数量 保管場所|災害に備えて蓄えている物資です。
kyusui|応急給水拠点|Emergency water points|防災|容量 開設条件|断水のときに水を配る場所です。
kitaku|帰宅困難者一時滞在施設|Shelters for stranded commuters|防災|受入人数|電車が止まったときに休める施設です。
gomi|家庭ごみ収集日|Garbage collection days|環境|町名 曜日 分別|地区ごとの収集曜日です。
recycle|資源回収拠点|Recycling stations|環境|回収品目|古紙や空き缶を持ち込める場所です。
taiki|大気測定結果|Air quality measurements|環境|二酸化窒素 PM2.5 測定局|測定局の一時間値です。
kouen-yugu|公園遊具点検結果|Playground inspections|都市|遊具名 点検日 判定|すべり台などの点検の記録です。
gairoju|街路樹台帳|Street trees|都市|樹種 幹周 路線名|道路沿いの木の台帳です。
kyouryou|橋梁点検結果|Bridge inspections|都市|橋名 架設年 健全度|市が管理する橋の点検の結果です。
shidou|市道認定路線|Municipal roads|都市|路線番号 幅員 延長|認定している道路の一覧です。
akiya|空き家実態調査|Vacant houses survey|都市|町丁目 戸数|空き家の数を調べた結果です。
jutaku|市営住宅募集状況|Public housing vacancies|住まい|団地名 間取り 家賃|入居者を募集している住宅です。
suidou|水道水質検査結果|Tap water quality|水道|検査項目 基準値|毎月の検査の結果です。
gesui|下水道管路台帳|Sewer pipes|水道|管径 埋設深|地下に埋めた管の台帳です。
bus|コミュニティバス停留所|Community bus stops|交通|停留所名 系統|循環バスの乗り場です。
bus-jikoku|コミュニティバス時刻表|Community bus timetable|交通|系統 発時刻|平日と土休日の時刻です。
churin|市営自転車駐車場|Bicycle parking|交通|収容台数 料金|駅前などの駐輪場です。
chusha|市営駐車場|Car parks|交通|収容台数 利用時間|公共の駐車場です。
jiko|交通事故発生状況|Traffic accidents|交通|発生日時 当事者|警察の資料によります。
hoiku|保育所入所待ち児童数|Nursery waiting lists|子育て|年齢 人数|毎月の待機児童の数です。
gakudou|放課後児童クラブ|After-school clubs|子育て|定員 対象学年|放課後に小学生が過ごす場所です。
shien-center|子育て支援センター|Child care support centres|子育て|開館日 対象年齢|親子で遊べる場所です。
kyushoku|学校給食献立|School lunch menus|教育|日付 献立 アレルゲン|小中学校で毎日出す食事です。
tsuugaku|通学路危険箇所|Dangerous spots on school routes|教育|学校名 危険の内容|点検でわかった場所です。
jidou-seito|児童生徒数|Pupils by school|教育|学校名 学年 人数|五月一日現在の数です。
toshokan|図書館蔵書統計|Library holdings|文化|館名 蔵書数|館ごとの本の冊数です。
toshokan-kashi|図書館貸出ランキング|Most borrowed books|文化|書名 著者名 回数|よく借りられた本です。
museum|市立博物館収蔵資料|Museum collection|文化|資料名 時代|収蔵している資料の目録です。
matsuri|年中行事と祭り|Festivals and annual events|観光|行事名 開催日|地域の祭りの日程です。
kankou-kyaku|観光入込客数|Visitor numbers|観光|月 人数|月ごとの観光客の数です。
wifi|公衆無線LAN利用状況|Public wireless usage|観光|接続回数|無料で使える電波の利用回数です。
yado|宿泊施設一覧|Hotels and inns|観光|施設名 客室数|市内のホテルと旅館です。
byouin|休日夜間診療当番医|Doctors on duty|医療|診療科 当番日|休みの日にみてもらえる医院です。
yakkyoku|調剤薬局一覧|Pharmacies|医療|薬局名 営業時間|薬を受け取れる店です。
wakuchin|予防接種実施医療機関|Vaccination clinics|医療|接種の種類|定期接種を受けられる医療機関です。
kenshin|がん検診受診率|Cancer screening rates|医療|部位 受診率|検診を受けた人の割合です。
kansen|感染症発生動向|Infectious diseases|医療|疾病名 報告数|週ごとの報告数です。
kaigo|介護サービス事業所空き状況|Vacancies of care services|福祉|サービス種別 空き|毎週の空き状況です。
shougai|障がい福祉サービス事業所|Disability services|福祉|サービス種別 定員|障がいのある人が使える事業所です。
fukushi-hinan|福祉避難所一覧|Welfare shelters|福祉|受入対象 収容人数|配慮が要る人のための避難所です。
kourei|高齢者見守り協力店|Shops watching over the elderly|福祉|店名|お年寄りを見守る店です。
toilet|バリアフリートイレ一覧|Accessible toilets|福祉|オストメイト ベビーベッド|車いすで使える便所です。
touhyou|投票所一覧|Polling places|選挙|投票区 施設名|選挙のときの投票所です。
senkyo|選挙結果投票率|Election turnout|選挙|投票区 投票率|過去の選挙の結果です。
yosan|一般会計予算|Municipal budget|財政|款 項 金額|当初の予算の内訳です。
nyusatsu|入札結果一覧|Tender results|財政|件名 落札者 金額|工事と委託の結果です。
hojokin|補助金交付先|Subsidies granted|財政|事業名 交付額|団体への補助の一覧です。
jinkou-cho|町丁別人口世帯数|Population by neighbourhood|統計|町丁 人口 世帯数|住民基本台帳によります。
shussei|出生死亡数|Births and deaths|統計|年月 人数|毎月の届出の数です。
jigyousho|事業所数従業者数|Establishments and employees|統計|産業分類 人数|経済センサスによります。
nougyou|農業経営体数|Farms|産業|経営耕地面積|農林業センサスによります。
shotengai|商店街店舗一覧|Shops in shopping streets|産業|店名 業種|加盟する店の一覧です。
kyujin|求人情報|Job vacancies|産業|職種 賃金|市内の会社の募集です。
kigyou|進出企業一覧|Companies located here|産業|社名 業種|工業団地の会社です。
inu|犬の登録頭数|Registered dogs|環境|町名 頭数|狂犬病の注射の数も載せています。
boshi|墓地使用者募集|Cemetery plots|環境|区画 使用料|市営霊園の募集です。
gikai|市議会会議録|Council minutes|行政|会議名 発言者|本会議の記録です。
kouchou|市民意識調査結果|Citizens survey|行政|設問 回答数|毎年のアンケートの結果です。
mado|窓口混雑状況|Queues at counters|行政|窓口 待ち人数|待っている人の数です。
koukyou|公共施設予約状況|Bookings of public facilities|行政|施設名 空き|会議室や体育館の空きです。
hana|桜の名所|Cherry blossom spots|観光|場所 本数|花見のできる場所です。
nikki|濵﨑文書目録|Hamasaki archives|文化|文書名 年代|旧家に伝わる古文書の目録です。
hiroba|廣瀬記念広場利用記録|Hirose square bookings|都市|利用日 団体|広場を使った団体の記録です。
saitou|斎藤家住宅入館者数|Saito house visitors|文化|月 入館者数|古い家を見に来た人の数です。
"""
_WARDS = {"kita": "架空北区", "minami": "架空南区", "higashi": "架空東区", "nishi": "架空西区"}


def entries() -> Iterator[dict[str, Any]]:
    """Bodies of `NewDataset`: each topic of the city, many also ward by ward."""
    for at, line in enumerate(_TOPICS.strip().splitlines()):
        slug, title, english, theme, labels, told = line.split("|")
        yield _entry(slug, title, theme, labels.split(), told, english)
        if at % 4 != 3:
            for ward, name in _WARDS.items():
                yield _entry(f"{slug}-{ward}", f"{name} {title}", theme, labels.split(), told)
    path = Path(municipal.__file__).with_name("municipal.json")
    for profile in json.loads(path.read_text(encoding="utf-8"))["profiles"]:
        headings = [column["label"] for column in profile["versions"][-1]["columns"]]
        yield _entry(
            f"std-{profile['name']}".replace("_", "-"),
            profile["title_ja"],
            "標準",
            headings[:30],
            "自治体標準オープンデータセットの形です。",
            profile["title_en"],
        )


def _entry(
    slug: str, title: str, theme: str, labels: list[str], told: str, english: str | None = None
) -> dict[str, Any]:
    fields = [{"name": f"f{at}", "label": label, "type": "text"} for at, label in enumerate(labels)]
    return {
        "id": slug, "title_ja": title, "title_en": english, "description_ja": told,
        "themes": (theme,), "fields": fields,
    }  # fmt: skip
