"""What the codes of files with shapes say to the clerk, in Japanese and English; it quotes no value."""

_ZONES_JA = (
    "平面直角座標系（JGD2011）: 1系 EPSG:6669 長崎・鹿児島の島 / 2系 6670 福岡・佐賀・熊本・大分・宮崎・"
    "鹿児島 / 3系 6671 山口・島根・広島 / 4系 6672 香川・愛媛・徳島・高知 / 5系 6673 兵庫・鳥取・岡山 / "
    "6系 6674 京都・大阪・福井・滋賀・三重・奈良・和歌山 / 7系 6675 石川・富山・岐阜・愛知 / "
    "8系 6676 新潟・長野・山梨・静岡 / 9系 6677 東京・福島・栃木・茨城・埼玉・千葉・群馬・神奈川 / "
    "10系 6678 青森・秋田・山形・岩手・宮城 / 11～13系 6679～6681 北海道 / 14系 6682 小笠原 / "
    "15～17系 6683～6685 沖縄 / 18系 6686 沖ノ鳥島 / 19系 6687 南鳥島"
)
_ZONES_EN = (
    "Plane rectangular zones (JGD2011): zone 1 to 19 are EPSG:6669 to 6687; 5 (6673) Hyogo, Tottori, "
    "Okayama; 6 (6674) Kyoto, Osaka, Fukui, Shiga, Mie, Nara, Wakayama; 7 (6675) Ishikawa, Toyama, "
    "Gifu, Aichi; 8 (6676) Niigata, Nagano, Yamanashi, Shizuoka; 9 (6677) Tokyo and Kanto"
)
_REFUSED: dict[str, tuple[str, str]] = {
    "crs_missing": (
        "座標の単位がメートルのようですが、座標系の指定がありません。crs=EPSG:6674 のように指定してください。"
        + _ZONES_JA,
        "The coordinates look like metres and no coordinate system is given. Say which, such as "
        "crs=EPSG:6674. " + _ZONES_EN,
    ),
    "crs_conflict": (
        "ファイルの座標系は「{name}」ですが、座標がそれに合いません（日本の中に収まりません）。"
        "書き出しの設定を直すか、crs=EPSG:6674 のように正しい座標系を指定してください。"
        + _ZONES_JA,
        "The file says “{name}”, but its coordinates cannot be of it (none lies in Japan). Mend the "
        "export, or say the right one, such as crs=EPSG:6674. " + _ZONES_EN,
    ),
    "crs_unknown": (
        "座標系「{name}」は扱えません。crs=EPSG:6674、crs=JGD2011、crs=Tokyo のように指定してください。"
        + _ZONES_JA,
        "The coordinate system “{name}” is not known here. Say crs=EPSG:6674, crs=JGD2011 or "
        "crs=Tokyo. " + _ZONES_EN,
    ),
    "no_coordinates_to_convert": (
        "座標系「{name}」の指定がありますが、座標の列が見つかりません（X座標・Y座標、北距・東距、緯度・経度）。"
        "見出しは次のとおりです: {found}",
        "“{name}” was given, but no columns of coordinates were found (X座標 and Y座標, 北距 and 東距, "
        "緯度 and 経度). The headings are: {found}",
    ),
    "geojson_unavailable": (
        "中身は「{said}」という応答だけで、地物がありません。配布元にこの地域のデータはありません。",
        "The file only answers “{said}” and holds no features: its source has no data for this area.",
    ),
    "geojson_broken": (
        "GeoJSONの構文が{offset}文字目付近で正しくありません。書き出し直すか、送り直してください。",
        "The GeoJSON is not well-formed near character {offset}. Export it again or send it again.",
    ),
    "feature_too_large": (
        "1つの地物が大きすぎます（上限{limit_mb} MB）。図形を分けてください。",
        "A single feature is too large (limit {limit_mb} MB). Split its shape.",
    ),
    "topojson_broken": (
        "TopoJSONとして読めません（弧の参照か座標に誤りがあります）。書き出し直してください。",
        "This cannot be read as TopoJSON (its arcs or coordinates are wrong). Export it again.",
    ),
    "geopackage_broken": (
        "GeoPackageとして読めません（{why}）。QGISなどで開けるか確かめ、書き出し直してください。",
        "This cannot be read as a GeoPackage ({why}). Check that QGIS opens it and export it again.",
    ),
    "no_layers": (
        "地物のレイヤーがありません。レイヤーの入ったファイルを選び直してください。",
        "There is no layer of features. Choose the file that holds one.",
    ),
    "shapefile_part_missing": (
        "シェープファイル「{name}」の{part}がありません。shp・shx・dbf・prjを一つのZIPにまとめてください。",
        "The shapefile “{name}” lacks its {part}. Put shp, shx, dbf and prj into one ZIP.",
    ),
    "shapefile_broken": (
        "シェープファイル「{name}」が壊れています（{part}）。書き出し直してください。",
        "The shapefile “{name}” is broken ({part}). Export it again.",
    ),
    "kml_broken": (
        "KMLの構文が{line}行目で正しくありません。書き出し直してください。",
        "The KML is not well-formed at line {line}. Export it again.",
    ),
    "kml_has_dtd": (
        "KMLに文書型宣言（DTD）があります。安全のため読みません。宣言を除いてください。",
        "The KML has a document type declaration. It is not read, for safety; remove it.",
    ),
    "kml_only_links": (
        "KMLの中身は他のファイルへのリンク（NetworkLink）だけです。リンク先のKMLを送ってください。",
        "The KML only links to other files (NetworkLink). Send the KML that it links to.",
    ),
}

GEO_REJECTED: dict[str, tuple[str, str]] = {
    "invalid_geometry": (
        "図形として読めません（座標が数でないか、欠けています）。元のGISデータを確かめてください。",
        "Not a geometry (a coordinate is no number, or missing). Check it in the GIS it came from.",
    ),
    "geometry_ring_open": (
        "面の輪が閉じていません。最初と最後の点を同じにしてください。",
        "A ring is not closed. Let its last position be its first.",
    ),
    "geometry_too_few_points": (
        "点が足りない図形です（線は2点以上、面の輪は最初と最後を含めて4点以上）。",
        "The shape has too few positions (a line needs two, a closed ring four).",
    ),
    "geometry_too_large": (
        "頂点が多すぎる図形です（上限1,000,000）。分けるか、簡略化してください。",
        "The shape has too many positions (limit 1,000,000). Split or simplify it.",
    ),
}

_NOTICED: dict[str, tuple[str, str]] = {
    "crs_converted": (
        "座標を「{name}」から経度・緯度に変換しました（変換の精度は約{metres} m）。",
        "Coordinates were converted from “{name}” to longitude and latitude (accuracy about "
        "{metres} m).",
    ),
    "coordinates_converted": (
        "「{north}」（北方向）と「{east}」（東方向）を「{name}」の座標として読み、緯度・経度に変換しました"
        "（精度は約{metres} m）。",
        "“{north}” (northward) and “{east}” (eastward) were read as coordinates of “{name}” and "
        "converted to latitude and longitude (accuracy about {metres} m).",
    ),
    "coordinates_unplaced": (
        "「{north}」と「{east}」は座標の列のようですが、座標系の指定がないため、数値として読みました。"
        "地図や場所での検索に使うには、公開する前に、crs=EPSG:6674 のように指定して取り込み直してください。"
        + _ZONES_JA,
        "“{north}” and “{east}” look like coordinates, but no coordinate system is given, so they "
        "were read as numbers. For maps and searches by place load the file again before it is "
        "published, with crs= such as crs=EPSG:6674. " + _ZONES_EN,
    ),
    "crs_kept": (
        "座標系は「{name}」です。経度・緯度の値はそのままです。",
        "The coordinate system is “{name}”: longitudes and latitudes are as they were.",
    ),
    "crs_assumed": (
        "座標系の指定がないため、JGD2011の経度・緯度として読みました。違う場合は crs= で指定してください。",
        "No coordinate system is given; longitude and latitude of JGD2011 were assumed. If that is "
        "wrong, say crs=.",
    ),
    "crs_of_file_wrong": (
        "ファイルの座標系「{name}」は座標に合わないため、指定された「{told}」で読みました。",
        "The file says “{name}”, which its coordinates cannot be; “{told}” was taken as told.",
    ),
    "z_dropped": (
        "高さ（Z）は除きました: {count}件。",
        "Heights (Z) were left out: {count} shapes.",
    ),
    "geometry_not_valid": (
        "「{label}」の{count}件は、自分自身と交わるなど正しくない図形ですが、公表のまま読みました"
        "（行: {lines}）。",
        "“{label}”: {count} shapes cross themselves or are otherwise not valid; they were taken as "
        "published (lines: {lines}).",
    ),
    "encoding_declared_wrong": (
        "属性の文字コードは「{declared}」とありますが、実際は{name}なので、そう読みました。",
        "The attributes say “{declared}” but are {name}, and were read so.",
    ),
    "attributes_replaced": (
        "属性に読めない文字が{count}か所あり、「�」に置き換えました（長さの上限で切れた文字など）。",
        "Characters in the attributes that could not be read were replaced by “�” (places: {count}), "
        "such as those cut at a field's end.",
    ),
}

GEO_WORDS = _REFUSED | GEO_REJECTED | _NOTICED
