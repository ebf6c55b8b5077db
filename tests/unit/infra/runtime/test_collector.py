"""The garbage collector of processes that turn records into many small objects."""

import subprocess
import sys

# In a process of its own: what it sets holds for all of one.
PROGRAM = """
import gc, weakref
from infra.runtime.collector import THRESHOLDS, collect_seldom

class Node:
    pass

collect_seldom()
assert gc.get_threshold() == THRESHOLDS, gc.get_threshold()
assert gc.get_freeze_count() > 1_000, gc.get_freeze_count()
node = Node()
node.itself = node
alive = weakref.ref(node)
del node
kept = [[] for _ in range(2 * THRESHOLDS[0])]
assert alive() is None, "a cycle was never found"
"""

FULL = """
import gc, weakref
from infra.runtime.collector import FullCollection, collect_seldom

class Node:
    pass

collect_seldom()
node = Node()
node.itself = node
gc.collect(), gc.collect()  # it is among the old ones now, which are looked at last
alive = weakref.ref(node)
del node
gc.collect(1)
FullCollection(3600).offer()
assert alive() is not None, "it came too early"
FullCollection(0).offer()
assert alive() is None, "it left out the old ones"
"""


def test_cycles_are_still_found_and_what_is_imported_is_left_out() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_a_full_collection_comes_when_it_is_time() -> None:
    done = subprocess.run([sys.executable, "-c", FULL], check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
