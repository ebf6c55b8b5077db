"""Values of Trino as JSON says them: money as decimal text, instants in ISO 8601.

Upstream: results of the repositories.
Downstream: POST /v1/sql, `clawtrace sql --json`.
Guarantee: a decimal never becomes a float, and the result is always valid JSON.
"""

import math
from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any


def json_value(value: Any) -> Any:
    """Return the value as something that json.dumps takes."""
    match value:
        case None | bool() | int() | str():
            return value
        case Decimal():
            return decimal_text(value)
        case float():
            # JSON has no NaN and no infinity; Trino writes them so, too.
            return value if math.isfinite(value) else {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}[str(value)]
        case datetime():
            return instant_text(value)
        case date() | time():
            return value.isoformat()
        case bytes() | bytearray():
            return value.hex()
        case timedelta():
            return str(value)
        case Mapping():
            return {str(json_value(key)): json_value(item) for key, item in value.items()}
        case list() | tuple() | set():
            return [json_value(item) for item in value]
        case _:
            return str(value)


def decimal_text(value: Decimal) -> str:
    """Decimal without exponent and without trailing zeros: 0.0001, 12, 0."""
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def instant_text(value: datetime) -> str:
    """ISO 8601; in UTC with a Z when the instant has a zone."""
    if value.tzinfo is None:
        return value.isoformat()
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
