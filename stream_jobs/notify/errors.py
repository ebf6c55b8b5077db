from stream_jobs.contracts.channel import InvalidChannel
class NoSuchChannel(InvalidChannel):
    """The tenant has no channel of this name."""
