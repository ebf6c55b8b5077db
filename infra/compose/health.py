"""Health check of a container: ends with 0 when the process on the port of that name is ready.

Upstream: the health checks of compose.yaml call ``python -m infra.compose.health NAME``.
Downstream: /readyz of the process.
Guarantee: ends within five seconds.
"""

import http.client
import sys

from infra.runtime.settings import LOOPBACK, StackSettings

TIMEOUT_S = 4.0


def is_ready(port: int) -> bool:
    """Whether /readyz on this machine answers 200."""
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(0 if is_ready(StackSettings().port(sys.argv[1])) else 1)
