"""Ports for servers that tests start: what is chosen here is still free when the server gets to bind it.

A port that the system chooses (``bind(("127.0.0.1", 0))``) and that is let go again may be the next one an outgoing
connection of any process takes, and may be given to the next who asks.
"""

import random
import socket

# Below the ports that outgoing connections take, above those of the stacks of tests.
_PORTS = range(20_000, 32_000)
_given: set[int] = set()


def free_port() -> int:
    """Return a port that nobody listens on and that was not given before."""
    # Not the generator of the tests: several sessions on one machine must not try the same ones.
    chooser = random.SystemRandom()
    while True:
        port = chooser.choice(_PORTS)
        if port in _given:
            continue
        _given.add(port)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
