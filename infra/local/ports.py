"""Finds out who holds the ports of the stack, and says it in plain words.

Upstream: parts with their ports.
Downstream: up.py (may I start?) and down.py (is it really down?).
Guarantee: a port counts as free exactly when our servers could listen on it.
"""

import socket
from collections.abc import Sequence

import psutil

from infra.local.errors import StackError
from infra.local.parts import Part
from infra.runtime.settings import LOOPBACK


def refuse_taken_ports(parts: Sequence[Part], port_base: int) -> None:
    """Stop before anything is started when a port of ours is not free.

    Raises:
        StackError: names every taken port, its holder when the system tells, and the way out.
    """
    taken = [(part.name, port) for part in parts for port in part.ports if not is_free(port)]
    if not taken:
        return
    lines = [f"  port {port}, wanted by {name}, is taken{_by_whom(port)}" for name, port in taken]
    raise StackError(
        "Some ports of the stack are taken:\n"
        + "\n".join(lines)
        + f"\nStop what holds them, or move the whole stack: CLAWTRACE_PORT_BASE={port_base + 100} (now "
        f"{port_base}). Another stack of yours may run with another CLAWTRACE_HOME."
    )


def is_free(port: int) -> bool:
    """Whether we could listen on this port."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As servers do: connections of an earlier run that fade out do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
            probe.listen(1)
        except OSError:
            return False
        return True


def _by_whom(port: int) -> str:
    """The process that listens there; other users' processes stay unnamed without root."""
    try:
        connections = psutil.net_connections(kind="tcp")
    except psutil.Error:
        return ""
    for connection in connections:
        is_listener = connection.status == psutil.CONN_LISTEN
        if is_listener and connection.laddr and connection.laddr.port == port and connection.pid:
            try:
                return f" by process {connection.pid} ({psutil.Process(connection.pid).name()})"
            except psutil.Error:
                return f" by process {connection.pid}"
    return ""
