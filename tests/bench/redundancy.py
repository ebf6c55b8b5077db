"""How long finding near-duplicates takes, against comparing every pair, and whether it finds the same.

Upstream: made-up calls of one tool, a mixture as agents make it: repeats, variants of a command, things apart.
Downstream: a table for people and one line of JSON.
Guarantee: the same set is proven over all calls, with every pair of different texts compared; what comparing every
pair costs is measured on a sample of pairs, drawn evenly, and multiplied (all of them would take hours). Seconds are
those of the processor.
"""

import argparse
import json
import random
import sys
import time

from rich.console import Console
from rich.table import Table

from stream_jobs.core.redundancy.levenshtein import distance_within, max_distance
from stream_jobs.core.redundancy.memory import PlainMemory
from stream_jobs.core.redundancy.normalise import asked_text, units_of
from stream_jobs.core.redundancy.similar import DEFAULT_MAX_TEXTS, DEFAULT_MIN_PERCENT, SimilarTexts

NUM_CALLS = 10_000
NUM_SAMPLED_PAIRS = 20_000
WANTED_RATIO = 100.0

# Names as they stand in paths and commands; a list that is everywhere the same.
_WORDS = sorted(name.strip("_") for name in sys.stdlib_module_names)
_VERBS = ("cat", "sed -n '1,80p'", "grep -rn", "python -m pytest -q", "ls -la", "git log -3 --", "wc -l", "node")
_HOSTS = ("api.acme.test", "jobs.acme.test", "localhost:8080")


def make_calls(num_calls: int, seed: int) -> list[str]:
    """Make params as JSON: 35 % repeats of an earlier call, 25 % variants of one, 40 % new commands."""
    rng = random.Random(seed)
    calls: list[str] = []
    for _ in range(num_calls):
        kind = rng.random()
        if calls and kind < 0.35:
            calls.append(rng.choice(calls[-400:]))
        elif calls and kind < 0.60:
            calls.append(_variant(rng, rng.choice(calls[-400:])))
        else:
            calls.append(json.dumps({"command": _command(rng), "workdir": f"/home/user/{rng.choice(_WORDS)}"}))
    return calls


def _command(rng: random.Random) -> str:
    path = "/".join(rng.sample(_WORDS, rng.randint(2, 5)))
    kind = rng.randrange(4)
    if kind == 0:
        return f"{rng.choice(_VERBS)} {path}_{rng.randint(1, 999)}.py"
    if kind == 1:
        return f"curl -s https://{rng.choice(_HOSTS)}/{path}?id={rng.randrange(10**6)} | jq '.{rng.choice(_WORDS)}'"
    if kind == 2:
        body = " ".join(rng.choice(_WORDS) for _ in range(rng.randint(6, 30)))
        return f"python - <<'PY'\nfrom {path.replace('/', '.')} import {rng.choice(_WORDS)}\nprint('{body}')\nPY"
    flags = " ".join(f"--{word}={rng.randint(0, 99)}" for word in rng.sample(_WORDS, rng.randint(1, 6)))
    return f"cd /home/user/{path} && make {rng.choice(_WORDS)} {flags} 2>&1 | tail -{rng.randint(5, 60)}"


def _variant(rng: random.Random, call: str) -> str:
    params = json.loads(call)
    words = params["command"].split(" ")
    for _ in range(rng.randint(1, 2)):
        words[rng.randrange(len(words))] = rng.choice(_WORDS)
    return json.dumps({**params, "command": " ".join(words)})


def find_redundant(texts: list[str], max_texts: int) -> tuple[set[int], float, int]:
    """Return the redundant calls, the seconds it took, and how many texts were not remembered."""
    started = time.process_time()
    similar = SimilarTexts(PlainMemory(), "bench", max_texts=max_texts)
    redundant: set[int] = set()
    for number, text in enumerate(texts):
        finding = similar.add(text, str(number))
        if finding.is_redundant:
            redundant.add(number)
        redundant.update(map(int, finding.newly_redundant))
    return redundant, time.process_time() - started, similar.family.num_forgotten


def find_by_pairs(texts: list[str]) -> set[int]:
    """Return the redundant calls by comparing every two different texts."""
    numbers: dict[str, list[int]] = {}
    for number, text in enumerate(texts):
        numbers.setdefault(text, []).append(number)
    different = list(numbers)
    redundant = {text for text, found in numbers.items() if len(found) > 1}
    for place, left in enumerate(different):
        for right in different[place + 1 :]:
            if left in redundant and right in redundant:
                continue
            limit = max_distance(max(len(left), len(right)), DEFAULT_MIN_PERCENT)
            if distance_within(left, right, limit) <= limit:
                redundant |= {left, right}
    return {number for text in redundant for number in numbers[text]}


def seconds_by_pairs(texts: list[str], seed: int) -> float:
    """Reckon the seconds that the distances of all pairs would take, in full."""
    rng = random.Random(seed)
    pairs = [rng.sample(texts, 2) for _ in range(NUM_SAMPLED_PAIRS)]
    started = time.process_time()
    for left, right in pairs:
        distance_within(left, right, max(len(left), len(right)))
    per_pair_s = (time.process_time() - started) / NUM_SAMPLED_PAIRS
    return per_pair_s * len(texts) * (len(texts) - 1) / 2


def measure(num_calls: int = NUM_CALLS, seed: int = 7) -> dict[str, float]:
    """Return the figures, with their names."""
    texts = [units_of(asked_text(call)) for call in make_calls(num_calls, seed)]
    found, ours_s, _ = find_redundant(texts, num_calls)
    _, bounded_s, num_forgotten = find_redundant(texts, DEFAULT_MAX_TEXTS)
    pairs_s = seconds_by_pairs(texts, seed)
    is_same = found == find_by_pairs(texts)
    return {
        "calls": len(texts),
        "different": len(set(texts)),
        "mean_chars": round(sum(map(len, texts)) / len(texts)),
        "redundant": len(found),
        "same_set": is_same,
        "ours_s": round(ours_s, 3),
        "bounded_s": round(bounded_s, 3),
        "not_remembered": num_forgotten,
        "by_pairs_s": round(pairs_s, 1),
        "ratio": round(pairs_s / ours_s),
    }


def is_good(figures: dict[str, float]) -> bool:
    """Whether the sets are the same and the ratio is as wanted."""
    return bool(figures["same_set"]) and figures["ratio"] >= WANTED_RATIO


def main() -> int:
    """Print the figures; 0 when they are good."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=NUM_CALLS)
    parser.add_argument("--seed", type=int, default=7)
    wanted = parser.parse_args()
    result = measure(wanted.calls, wanted.seed)
    table = Table(title="Near-duplicate calls of one tool")
    for name, value in result.items():
        table.add_row(name, str(value))
    Console(stderr=True).print(table)
    print(json.dumps(result))
    return 0 if is_good(result) else 1


if __name__ == "__main__":
    sys.exit(main())
