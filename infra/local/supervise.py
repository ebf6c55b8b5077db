"""The supervisor's own process: `python -m infra.local.supervise [part ...]`, started by `clawtrace up`.

Upstream: up.py starts it in a session of its own.
Downstream: supervisor.py.
Guarantee: ends at once when another supervisor holds the lock of the same home.
"""

import os
import sys

from infra.local.layout import Layout
from infra.local.parts import select_parts
from infra.local.state import supervisor_lock
from infra.local.supervisor import Supervisor
from infra.local.topology import build_topology
from infra.runtime.settings import StackSettings


def main(names: list[str]) -> int:
    """Run the parts of these names (none: all) until told to stop."""
    layout = Layout.of(StackSettings())
    with supervisor_lock(layout.lock_file) as mine:
        if not mine:
            print("another supervisor runs this home", flush=True)
            return 1
        supervisor = Supervisor(
            select_parts(build_topology(layout), names),
            state_file=layout.state_file,
            logs_folder=layout.logs,
            own_pid=os.getpid(),
            port_base=layout.settings.port_base,
        )
        supervisor.listen_to_signals()
        return 0 if supervisor.run() else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
