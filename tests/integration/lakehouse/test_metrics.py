"""What a scrape of a working sink shows is what the reference says, and true."""

import httpx2
from prometheus_client.parser import text_string_to_metric_families

from infra.runtime.settings import LOOPBACK
from tests.contract.reference import metrics
from tests.integration.lakehouse.lake import KAFKA_TIMEOUT_S, Lake, wait_until
from tests.unit.lakehouse import records as make

NUM_RECORDS = 3


def test_a_scrape_shows_every_metric_of_the_reference_and_what_was_stored(lake: Lake) -> None:
    for number in range(NUM_RECORDS):
        lake.produce("clawtrace.events.v1", make.event_record("spool", number * 2, 2), partition=0)
    lake.flush()
    sink = lake.start_sink()
    wait_until(lambda: sink.metric('clawtrace_sink_freshness_seconds_count{table="events"}') == NUM_RECORDS, "stored")
    body = httpx2.get(f"http://{LOOPBACK}:{sink.port}/metrics", trust_env=False, timeout=KAFKA_TIMEOUT_S).text
    families = {family.name: family for family in text_string_to_metric_families(body)}
    shown = {name for name in families if name.startswith("clawtrace_")}
    known = {metric.describe()[0].name for process, metric in metrics() if process in ("runtime", "sink", "upkeep")}
    assert shown == known
    assert sink.metric('clawtrace_sink_records_total{topic="clawtrace.events.v1"}') == NUM_RECORDS
    assert sink.metric('clawtrace_sink_table_rows{table="events"}') == lake.num_rows("events")
    assert sink.metric('clawtrace_sink_table_bytes{table="events"}') > 0
    wait_until(lambda: sink.metric("clawtrace_runtime_missing_conditions") == 0, "nothing is missing")
    (build,) = families["clawtrace_runtime_build_info"].samples
    assert build.labels["process"] == "sink"
