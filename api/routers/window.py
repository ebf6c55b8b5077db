"""The time window of a list: two instants, the later one not included.

Upstream: the query of a list route.
Downstream: the routers, as a dependency; the repositories, which turn it into days, so that few partitions are read.
Guarantee: a window that makes no sense is a 422 that names the field.
"""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Annotated

from fastapi import Depends, Query

from api.services import ServicesDep
from infra.runtime.problem import FieldError, invalid

# From and to, in UTC.
Window = tuple[datetime, datetime]
FromAt = Annotated[
    datetime | None,
    Query(alias="from", description="Start of the window (ISO 8601, UTC when it says no zone), included."),
]
ToAt = Annotated[
    datetime | None,
    Query(alias="to", description="End of the window (ISO 8601, UTC when it says no zone), not included."),
]
CursorText = Annotated[
    str | None,
    Query(max_length=1024, description="`next_cursor` of the page before; other parameters are then ignored."),
]

# Ids have no control characters; Postgres refuses some of them, so they must not get that far.
NO_CONTROLS = r"^[^\x00-\x1f]*$"

# Beyond these years, adding a day of slack leaves what datetime can hold.
_FIRST_YEAR, _LAST_YEAR = 1970, 9990


def in_utc(at: datetime | None, field: str) -> datetime | None:
    """Return the instant in UTC.

    Raises:
        Problem: 422 when it lies in no sensible year.
    """
    if at is None:
        return None
    if not _FIRST_YEAR <= at.year <= _LAST_YEAR:
        raise invalid(f"{field}: the year must be from {_FIRST_YEAR} to {_LAST_YEAR}", FieldError(field, "year"))
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)


def check_window(from_at: datetime | None, to_at: datetime | None, *, width: timedelta, latest: datetime) -> Window:
    """Fill in what is missing and return (from, to) in UTC.

    Raises:
        Problem: 422 when it is empty, turned round or wider than ``width``.
    """
    start, end = in_utc(from_at, "from"), in_utc(to_at, "to")
    if end is None:
        end = latest if start is None else start + width
    if start is None:
        start = end - width
    if end <= start:
        raise invalid("to: must be later than from", FieldError("to", "must be later than from"))
    if end - start > width:
        message = f"the window is wider than {width.days} days; ask for less at once"
        raise invalid(f"from: {message}", FieldError("from", message))
    return start, end


def recent_window(from_at: datetime | None, to_at: datetime | None, usual: timedelta, max_days: int) -> Window:
    """Fill in what is missing so that the window is ``usual`` long and, without ``to``, ends now.

    Raises:
        Problem: 422 when it is empty, turned round or longer than ``max_days``.
    """
    now = datetime.now(UTC)
    if from_at is not None and to_at is None:
        start = in_utc(from_at, "from")
        to_at = now if start is None or start < now else start + usual
    end = in_utc(to_at, "to") or now
    return check_window(from_at or end - usual, end, width=timedelta(days=max_days), latest=now)


def _recent(usual: timedelta) -> Callable[..., Awaitable[Window]]:
    async def window(services: ServicesDep, from_at: FromAt = None, to_at: ToAt = None) -> Window:
        return recent_window(from_at, to_at, usual, services.settings.api_list_window_days)

    return window


# The window of a route, which is this long unless the query says otherwise.
DayDep = Annotated[Window, Depends(_recent(timedelta(days=1)))]
WeekDep = Annotated[Window, Depends(_recent(timedelta(days=7)))]
MonthDep = Annotated[Window, Depends(_recent(timedelta(days=30)))]
