"""One try to deliver one message, whatever the protocol.

Upstream: ``dispatch``; ``admin`` for a test message.
Downstream: ``outbound``, ``smtp``.
Guarantee: returns an outcome, never an exception of the network; no outcome's text holds a secret.
"""

import time
from dataclasses import dataclass

from stream_jobs.contracts.channel import EmailTarget, Target
from stream_jobs.core.notify.backoff import is_passing, is_taken
from stream_jobs.core.notify.mail import write_mail
from stream_jobs.core.notify.message import Message
from stream_jobs.core.notify.protocols import HttpTarget, request_of
from stream_jobs.notify.outbound import Guard, Outbound, Refused, Unreachable
from stream_jobs.notify.smtp import Mailer, MailRefused


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a try came to."""

    is_sent: bool
    # Whether another try may help.
    is_passing: bool = False
    reason: str = ""
    # What the receiver asked for.
    retry_after_s: float | None = None


class Deliverer:
    """Delivers behind one guard; used by many threads at once."""

    def __init__(self, outbound: Outbound, mailer: Mailer) -> None:
        self._outbound, self._mailer = outbound, mailer

    @classmethod
    def behind(cls, guard: Guard) -> "Deliverer":
        """Make one with the usual times."""
        return cls(Outbound(guard), Mailer(guard))

    def check(self, target: Target) -> None:
        """Refuse a target to which nothing may be sent; sends nothing.

        Raises:
            Refused: the guard forbids the address.
            Unreachable: its name has no address.
        """
        if isinstance(target, EmailTarget):
            self._mailer.check(target)
        else:
            self._outbound.check(_url(target))

    def deliver(self, target: Target, message: Message) -> Outcome:
        """Try once."""
        try:
            if isinstance(target, EmailTarget):
                self._mailer.send(target, write_mail(target, message))
                return Outcome(True)
            request = request_of(target, message, time.time_ns() // 1000)
            status, retry_after_s = self._outbound.post(request)
        except (Refused, MailRefused) as error:
            return Outcome(False, False, str(error))
        except Unreachable as error:
            return Outcome(False, True, str(error))
        if is_taken(status):
            return Outcome(True)
        reason = f"answered with status {status}" + (
            ", a redirect, which is not followed" if 300 <= status < 400 else ""
        )
        return Outcome(False, is_passing(status), reason, retry_after_s)


def _url(target: HttpTarget) -> str:
    return target.url if isinstance(target.url, str) else target.url.get_secret_value()
