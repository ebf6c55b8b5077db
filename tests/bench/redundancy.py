"""How long finding near-duplicates takes, against comparing every pair, and whether it finds the same.

Upstream: made-up calls of one tool, a mixture as agents make it: repeats, variants of a command, things apart.
Downstream: a table for people and one line of JSON.
Guarantee: the same set is proven over all calls, with every pair of different texts compared by another program
(rapidfuzz, C++); what comparing every pair costs is measured on a sample, drawn evenly, and multiplied. Seconds are
those of the processor, one thread. Four baselines: all distances in Python; those in C++, asked for one by one; all at
once; and those with a limit beyond which a pair is given up.
"""

import argparse
import json
import random
import sys
import time

from rapidfuzz import process
from rapidfuzz.distance import Levenshtein
from rich.console import Console
from rich.table import Table

from stream_jobs.core.redundancy.levenshtein import distance_within, max_distance
from stream_jobs.core.redundancy.memory import PlainMemory
from stream_jobs.core.redundancy.normalise import asked_text, units_of
from stream_jobs.core.redundancy.similar import DEFAULT_MAX_TEXTS, DEFAULT_MIN_PERCENT, SimilarTexts
from tests.bench.harness import Check, Figure, Part
from tests.bench.tool_calls import make_calls
from tests.bench.world import World

NUM_CALLS = 10_000
NUM_SAMPLED_PAIRS = 20_000
NUM_SAMPLED_ROWS = 200
NUM_TEXTBOOK_PAIRS = 500
GOAL_R7 = 100.0


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
    """Return the redundant calls by comparing every two different texts, in C++."""
    numbers: dict[str, list[int]] = {}
    for number, text in enumerate(texts):
        numbers.setdefault(text, []).append(number)
    different = list(numbers)
    redundant = {text for text, found in numbers.items() if len(found) > 1}
    for place, left in enumerate(different):
        # A little below the limit, then by whole numbers: the score is a float.
        for right, _, _ in _compare(left, different[place + 1 :], (DEFAULT_MIN_PERCENT - 1) / 100):
            if Levenshtein.distance(left, right) <= max_distance(max(len(left), len(right)), DEFAULT_MIN_PERCENT):
                redundant |= {left, right}
    return {number for text in redundant for number in numbers[text]}


def _compare(text: str, others: list[str], least: float | None) -> list[tuple[str, float, int]]:
    found: list[tuple[str, float, int]] = process.extract(
        text, others, scorer=Levenshtein.normalized_similarity, processor=None, score_cutoff=least, limit=None
    )
    return found


def seconds_in_cpp(texts: list[str], seed: int, least: float | None) -> float:
    """Reckon the seconds that all pairs would take in C++; below the least similarity a pair is given up."""
    rows = random.Random(seed).sample(texts, NUM_SAMPLED_ROWS)
    started = time.process_time()
    for text in rows:
        _compare(text, texts, least)
    return (time.process_time() - started) / NUM_SAMPLED_ROWS * (len(texts) - 1) / 2


def seconds_by_pairs(texts: list[str], seed: int) -> float:
    """Reckon the seconds that the distances of all pairs would take, in full."""
    rng = random.Random(seed)
    pairs = [rng.sample(texts, 2) for _ in range(NUM_SAMPLED_PAIRS)]
    started = time.process_time()
    for left, right in pairs:
        distance_within(left, right, max(len(left), len(right)))
    per_pair_s = (time.process_time() - started) / NUM_SAMPLED_PAIRS
    return per_pair_s * len(texts) * (len(texts) - 1) / 2


def textbook_distance(left: str, right: str) -> int:
    """Levenshtein's distance by a table of all prefixes, as one writes it down first."""
    above = list(range(len(right) + 1))
    for row, char in enumerate(left, start=1):
        line = [row]
        for column, other in enumerate(right, start=1):
            line.append(min(above[column] + 1, line[-1] + 1, above[column - 1] + (char != other)))
        above = line
    return above[-1]


def seconds_by_textbook(texts: list[str], seed: int) -> float:
    """Reckon the seconds that all pairs would take in Python alone."""
    rng = random.Random(seed)
    pairs = [rng.sample(texts, 2) for _ in range(NUM_TEXTBOOK_PAIRS)]
    started = time.process_time()
    for left, right in pairs:
        textbook_distance(left, right)
    return (time.process_time() - started) / NUM_TEXTBOOK_PAIRS * len(texts) * (len(texts) - 1) / 2


def measure(num_calls: int = NUM_CALLS, seed: int = 7) -> dict[str, float]:
    """Return the figures, with their names."""
    texts = [units_of(asked_text(call)) for call in make_calls(num_calls, seed)]
    found, ours_s, _ = find_redundant(texts, num_calls)
    _, bounded_s, num_forgotten = find_redundant(texts, DEFAULT_MAX_TEXTS)
    textbook_s, pairs_s = seconds_by_textbook(texts, seed), seconds_by_pairs(texts, seed)
    cpp_s, cpp_cut_s = (seconds_in_cpp(texts, seed, least) for least in (None, DEFAULT_MIN_PERCENT / 100))
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
        "in_python_s": round(textbook_s),
        "one_by_one_s": round(pairs_s, 1),
        "at_once_in_cpp_s": round(cpp_s, 1),
        "at_once_in_cpp_with_limit_s": round(cpp_cut_s, 1),
        "ratio_to_python": round(textbook_s / ours_s),
        "ratio_to_one_by_one": round(pairs_s / ours_s),
        "ratio_to_cpp": round(cpp_s / ours_s, 1),
        "ratio_to_cpp_with_limit": round(cpp_cut_s / ours_s, 2),
    }


def measure_part(_: World) -> Part:
    """R7; needs no stack."""
    found = measure()
    part = Part("redundancy", details=dict(found))
    part.figures = [
        Figure("R7 textbook Levenshtein of all pairs ÷ ours", found["ratio_to_python"], goal=("≥", GOAL_R7)),
        Figure("all pairs in C++, one by one ÷ ours", found["ratio_to_one_by_one"]),
        Figure(f"ours, {found['calls']:,} calls, processor", found["ours_s"], "s"),
    ]
    part.ledger = [Check("the same set as with every pair compared", 1, int(is_good(found)))]
    return part


def print_table(figures: dict[str, float], console: Console) -> None:
    """Print the figures for people."""
    table = Table(title="Near-duplicate calls of one tool")
    for name, value in figures.items():
        table.add_row(name, str(value))
    console.print(table)


def is_good(figures: dict[str, float]) -> bool:
    """Whether the sets are the same; how long it takes decides nothing."""
    return bool(figures["same_set"])


def main() -> int:
    """Print the figures; 0 when they are good."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=NUM_CALLS)
    parser.add_argument("--seed", type=int, default=7)
    wanted = parser.parse_args()
    result = measure(wanted.calls, wanted.seed)
    print_table(result, Console(stderr=True))
    print(json.dumps(result))
    return 0 if is_good(result) else 1


if __name__ == "__main__":
    sys.exit(main())
