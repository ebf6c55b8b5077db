"""Batches: each event counts once, one bad event does no harm, the same in gives the same out."""

import msgspec

from stream_jobs.core.stitch import stitch_batch
from tests.unit.stream_jobs.core.hooks import Script
from tests.unit.stream_jobs.core.stitching import PRICES, RULES, Replay, batch_of, events_of, lines_of, replay


def simple_run() -> Script:
    script = Script()
    script.reply()
    script.begin()
    script.call()
    script.end(1000)
    return script


def test_a_batch_sent_again_does_nothing() -> None:
    stitched = Replay()
    events = simple_run().events
    stitched.feed(events)
    again = stitched.feed(events)
    assert again.changes == {}
    assert again.payloads == {}
    assert (again.spans, again.traces, again.alerts) == ([], [], [])
    assert again.counts == {"duplicates": len(events)}


def test_only_the_new_events_of_a_batch_count() -> None:
    stitched = Replay()
    events = simple_run().events
    stitched.feed(events[:4])
    stitched.feed(events[2:])
    (trace,) = stitched.traces.values()
    assert (trace.input_tokens, trace.num_model_calls) == (1000, 1)
    assert stitched.counts["duplicates"] == 2


def test_a_bad_payload_sinks_only_itself() -> None:
    script = Script()
    script.begin()
    bad = script.hook("before_message_write", {"message": 7}, {"sessionKey": script.session})
    script.call()
    script.end(1000)
    stitched = Replay()
    stitched.feed(script.events)
    assert [event_id for event_id, _ in stitched.rejects] == [bad.event_id]
    assert stitched.counts["bad_payloads"] == 1
    assert [it.input_tokens for it in stitched.traces.values()] == [1000]


def test_senseless_tokens_are_rejected() -> None:
    for tokens in (-1, 10**30):
        script = Script()
        script.begin()
        script.call(tokens=tokens)
        stitched = Replay()
        stitched.feed(script.events)
        assert len(stitched.rejects) == 1
        assert "input_tokens" in stitched.rejects[0][1]


def test_same_state_and_batch_give_the_same_bytes() -> None:
    events = events_of(lines_of("subagent"))
    stitched = Replay()
    stitched.feed(events[:40])
    store = dict(stitched.store)
    first, second = (stitch_batch(store, batch_of(events[40:]), 1, PRICES, RULES) for _ in range(2))
    assert msgspec.msgpack.encode(first) == msgspec.msgpack.encode(second)
    assert list(first.changes) == list(second.changes)
    assert store == stitched.store


def test_agents_share_nothing() -> None:
    events = simple_run().events
    one = stitch_batch({}, batch_of(events, "box-1"), 0, PRICES, RULES)
    two = stitch_batch({}, batch_of(events, "box-2"), 0, PRICES, RULES)
    assert not set(one.changes) & set(two.changes)
    assert all(key.startswith(b"acme01|box-1\x1f") for key in [*one.changes, *one.payloads])


def test_values_stay_small_however_long_the_trace() -> None:
    def biggest(num_calls: int, *, of_rules: bool) -> int:
        script = Script()
        script.begin()
        for number in range(num_calls):
            script.call()
            script.tool(f"tool-{number}")
        store = Replay().feed_each(script.events, 50).store
        return max(len(value) for key, value in store.items() if (b"\x1fm\x1f" in key) == of_rules)

    assert biggest(400, of_rules=False) < biggest(40, of_rules=False) + 100
    # What a rule remembers grows to its bound; then no more.
    assert biggest(800, of_rules=True) < 16_384


def test_long_texts_are_cut_and_flagged() -> None:
    script = Script()
    script.begin()
    script.tool("tool-1", result={"content": [{"type": "text", "text": "x" * 100_000}]})
    stitched = Replay()
    stitched.feed(script.events)
    (tool,) = stitched.of_kind("tool_call")
    assert tool.flags == ["payload_cut"]
    text = msgspec.json.decode((tool.output or "").encode())
    assert text.startswith('{"content"')
    assert "cut: 1000" in text[-40:]
    assert tool.input == '{"a": 1}'


def test_a_half_emoji_does_no_harm() -> None:
    script = Script()
    event = script.begin(prompt="cut @ here")
    payload = bytes(event.payload).replace(b"@", b"\\ud83d")
    stitched = Replay()
    stitched.feed([msgspec.structs.replace(event, payload=msgspec.Raw(payload))])
    assert stitched.rejects == []
    assert [it.name for it in stitched.traces.values()] == ["cut � here"]


def test_texts_are_the_hooks_own() -> None:
    stitched = replay("simple")
    (run,) = stitched.of_kind("run")
    (call,) = stitched.of_kind("model_call")
    assert run.input == '"[Mon 2026-11-23 05:57 UTC] [[scenario:simple]] What is the capital of France?"'
    assert run.output == '["Paris is the capital of France."]'
    assert call.output == '[{"type": "text", "text": "Paris is the capital of France."}]'


def test_token_columns_are_on_model_calls_only() -> None:
    stitched = replay("subagent")
    for span in stitched.spans.values():
        assert (span.input_tokens is not None) == (span.kind == "model_call")
        assert (span.run_input_tokens is not None) == (span.kind == "run")
