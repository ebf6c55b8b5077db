"""Words about taken ports."""

import os
import socket
from pathlib import Path

import pytest

from infra.local.errors import StackError
from infra.local.layout import Layout
from infra.local.parts import Kind, Launch, Part
from infra.local.ports import is_free, refuse_taken_ports
from infra.local.topology import build_topology
from infra.runtime.settings import PORT_OFFSETS, StackSettings
from tests.ports import free_port


def _part(name: str, *ports: int) -> Part:
    return Part(name=name, kind=Kind.PROCESS, launch=lambda: Launch([], Path(), {}), ports=ports)


def test_a_taken_port_is_named_with_its_holder_and_the_way_out() -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        assert not is_free(port)
        with pytest.raises(StackError) as caught:
            refuse_taken_ports([_part("gateway", port)], 4600)
    words = str(caught.value)
    assert f"port {port}, wanted by gateway, is taken by process {os.getpid()}" in words
    assert "CLAWTRACE_PORT_BASE=4700" in words


def test_free_ports_are_no_matter() -> None:
    port = free_port()
    assert is_free(port)
    refuse_taken_ports([_part("gateway", port)], 4600)


def test_every_port_of_the_settings_belongs_to_exactly_one_part(tmp_path: Path) -> None:
    settings = StackSettings(home=tmp_path, port_base=7000, local_nodes=2)
    ports = [port for part in build_topology(Layout.of(settings)) for port in part.ports]
    assert sorted(ports) == sorted(settings.port(name) for name in PORT_OFFSETS)
