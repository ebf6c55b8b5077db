"""The functions that a SQL text may call: Trino's built-in ones that only compute.

Upstream: the function list of Trino 476.
Downstream: admit.py.
Guarantee: an allow-list. What a name not in here would do need not be known; left out on purpose are table
functions, functions that tell about the server or the session, and those that make huge values out of nothing.
"""

_AGGREGATE = """
any_value approx_distinct approx_most_frequent approx_percentile arbitrary array_agg avg bitwise_and_agg
bitwise_or_agg bitwise_xor_agg bool_and bool_or checksum corr count count_if covar_pop covar_samp every
geometric_mean histogram kurtosis listagg map_agg map_union max max_by min min_by multimap_agg
numeric_histogram regr_count regr_intercept regr_r2 regr_slope skewness stddev stddev_pop stddev_samp sum
var_pop var_samp variance grouping
"""
_WINDOW = """
cume_dist dense_rank first_value lag last_value lead nth_value ntile percent_rank rank row_number
"""
_TEXT = """
chr codepoint concat concat_ws format format_number from_utf8 hamming_distance length
levenshtein_distance lower lpad ltrim luhn_check normalize position regexp_count regexp_extract
regexp_extract_all regexp_like regexp_position regexp_replace regexp_split replace reverse rpad rtrim
soundex split split_part split_to_map starts_with strpos substr substring to_utf8 translate trim typeof
upper url_decode url_encode url_extract_fragment url_extract_host url_extract_parameter url_extract_path
url_extract_port url_extract_protocol url_extract_query word_stem
"""
_NUMBER = """
abs acos asin atan atan2 bit_count bitwise_and bitwise_not bitwise_or bitwise_xor cbrt ceil ceiling cos cosh
cosine_similarity degrees e exp floor from_base greatest infinity is_finite is_infinite is_nan least ln log
log10 log2 mod nan parse_data_size pi pow power radians round sign sin sinh sqrt tan tanh to_base truncate
width_bucket
"""
_TIME = """
at_timezone current_date current_timestamp date date_add date_diff date_format date_parse date_trunc day
day_of_month day_of_week day_of_year dow doy extract format_datetime from_iso8601_date
from_iso8601_timestamp from_iso8601_timestamp_nanos from_unixtime from_unixtime_nanos hour
human_readable_seconds last_day_of_month localtimestamp millisecond minute month now parse_datetime
parse_duration quarter second timezone_hour timezone_minute to_iso8601 to_milliseconds to_unixtime week
week_of_year with_timezone year year_of_week yow
"""
_NESTED = """
all_match any_match array_distinct array_except array_intersect array_join array_max array_min
array_position array_remove array_sort array_union arrays_overlap cardinality contains contains_sequence
element_at filter flatten map map_concat map_entries map_filter map_from_entries map_keys map_values
map_zip_with none_match reduce row sequence shuffle slice transform transform_keys transform_values
trim_array unnest zip zip_with
"""
_JSON = """
is_json_scalar json_array json_array_contains json_array_get json_array_length json_exists json_extract
json_extract_scalar json_format json_object json_parse json_query json_size json_value
"""
_OTHER = """
cast coalesce crc32 exists from_base64 from_base64url from_hex if md5 nullif sha1 sha256 sha512 to_base64
to_base64url to_hex try try_cast xxhash64
"""

ALLOWED_FUNCTIONS: frozenset[str] = frozenset(
    " ".join((_AGGREGATE, _WINDOW, _TEXT, _NUMBER, _TIME, _NESTED, _JSON, _OTHER)).split()
)
