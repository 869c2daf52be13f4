"""The GTFS Schedule reference and GTFS-JP (4th ed.) as data: types, keys, references; it reads nothing.

Source: gtfs.org, "GTFS Schedule Reference" (field types, primary keys, foreign IDs), and
標準的なバス情報フォーマット for the `_jp` files. Enumerations are integers as there; colours, urls
and phones are told by their values, for feeds write words there (`ＨＰなし`).
"""

from app.query.fields import FieldType

_BY_TYPE: dict[FieldType, str] = {
    FieldType.CODE: (
        "agency_id stop_id stop_code zone_id parent_station level_id platform_code route_id "
        "network_id trip_id service_id block_id shape_id location_group_id fare_id origin_id "
        "destination_id contains_id area_id pathway_id from_stop_id to_stop_id from_route_id "
        "to_route_id from_trip_id to_trip_id trans_id attribution_id booking_rule_id "
        "fare_product_id fare_media_id leg_group_id from_area_id to_area_id timeframe_group_id "
        "record_id jp_parent_route_id jp_office_id office_id origin_stop_id destination_stop_id"
    ),
    FieldType.INTEGER: (
        "location_type wheelchair_boarding route_type route_sort_order continuous_pickup "
        "continuous_drop_off direction_id wheelchair_accessible bikes_allowed cars_allowed "
        "stop_sequence pickup_type drop_off_type timepoint monday tuesday wednesday thursday "
        "friday saturday sunday exception_type payment_method transfers transfer_duration "
        "shape_pt_sequence headway_secs exact_times transfer_type min_transfer_time pathway_mode "
        "is_bidirectional traversal_time stair_count is_producer is_operator is_authority"
    ),
    FieldType.DECIMAL: "shape_dist_traveled price length max_slope min_width level_index amount",
    FieldType.DATE: "date start_date end_date feed_start_date feed_end_date route_update_date",
    FieldType.TIME: "arrival_time departure_time start_time end_time",
    FieldType.LATITUDE: "stop_lat shape_pt_lat",
    FieldType.LONGITUDE: "stop_lon shape_pt_lon",
    FieldType.TEXT: (
        "agency_name agency_timezone agency_lang stop_name stop_desc stop_timezone tts_stop_name "
        "route_short_name route_long_name route_desc route_color route_text_color trip_headsign "
        "trip_short_name stop_headsign feed_publisher_name feed_lang feed_version default_lang "
        "currency_type lang translation table_name field_name language record_sub_id field_value "
        "jp_trip_desc jp_trip_desc_symbol agency_official_name agency_address "
        "agency_president_pos agency_president_name office_name origin_stop via_stop "
        "destination_stop"
    ),
}
TYPES: dict[str, FieldType] = {
    name: kind for kind, names in _BY_TYPE.items() for name in names.split()
}

# The columns that together name a row. Where they do not in a feed, the feed has no key there.
KEYS: dict[str, tuple[str, ...]] = {
    "agency": ("agency_id",),
    "stops": ("stop_id",),
    "routes": ("route_id",),
    "trips": ("trip_id",),
    "stop_times": ("trip_id", "stop_sequence"),
    "calendar": ("service_id",),
    "calendar_dates": ("service_id", "date"),
    "fare_attributes": ("fare_id",),
    "shapes": ("shape_id", "shape_pt_sequence"),
    "frequencies": ("trip_id", "start_time"),
    "pathways": ("pathway_id",),
    "levels": ("level_id",),
    "attributions": ("attribution_id",),
    "translations": ("trans_id", "lang"),
    "agency_jp": ("agency_id",),
    "routes_jp": ("route_id",),
    "office_jp": ("office_id",),
}

# file: (column, the files that must know its value, the column there)
REFERENCES: dict[str, tuple[tuple[str, tuple[str, ...], str], ...]] = {
    "stops": (("parent_station", ("stops",), "stop_id"),),
    "routes": (("agency_id", ("agency",), "agency_id"),),
    "trips": (
        ("route_id", ("routes",), "route_id"),
        ("service_id", ("calendar", "calendar_dates"), "service_id"),
        ("shape_id", ("shapes",), "shape_id"),
    ),
    "stop_times": (
        ("trip_id", ("trips",), "trip_id"),
        ("stop_id", ("stops",), "stop_id"),
    ),
    "frequencies": (("trip_id", ("trips",), "trip_id"),),
    "fare_rules": (
        ("fare_id", ("fare_attributes",), "fare_id"),
        ("route_id", ("routes",), "route_id"),
    ),
    "transfers": (
        ("from_stop_id", ("stops",), "stop_id"),
        ("to_stop_id", ("stops",), "stop_id"),
    ),
    "agency_jp": (("agency_id", ("agency",), "agency_id"),),
    "routes_jp": (("route_id", ("routes",), "route_id"),),
}
