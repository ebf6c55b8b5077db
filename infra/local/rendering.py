"""Fills in the committed configuration templates of infra/kafka and infra/trino.

Upstream: templates with ${name} placeholders.
Downstream: kafka.py and trino.py write the results into <home>.
Guarantee: a placeholder without a value is an error, never an empty setting.
"""

from pathlib import Path
from string import Template

INFRA_FOLDER = Path(__file__).resolve().parents[1]


def render(template: str, **values: object) -> str:
    """Text of a template below infra/ with its placeholders filled in."""
    text = (INFRA_FOLDER / template).read_text()
    return Template(text).substitute({name: str(value) for name, value in values.items()})


def options(template: str) -> list[str]:
    """Lines of an options file (one option a line), without comments and blanks."""
    lines = (line.strip() for line in (INFRA_FOLDER / template).read_text().splitlines())
    return [line for line in lines if line and not line.startswith("#")]
