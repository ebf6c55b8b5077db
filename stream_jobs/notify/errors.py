"""What a channel that is not there is refused with.

Upstream: ``admin``.
Downstream: the command line and the API.
Guarantee: the text names the channel.
"""

from stream_jobs.contracts.channel import InvalidChannel


class NoSuchChannel(InvalidChannel):
    """There is no channel of this name."""
