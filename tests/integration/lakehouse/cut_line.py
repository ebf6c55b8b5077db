"""A line between the sink and Postgres that a test can cut."""

import contextlib
import socket
import threading

from infra.runtime.settings import LOOPBACK

_CHUNK_BYTES = 65536
_ANSWERED_WITHIN_S = 60


class CutLine:
    """Forwards TCP to a server until it is cut; can lose the answer to a commit on purpose."""

    def __init__(self, server_port: int) -> None:
        self._server_port = server_port
        self._listener = socket.create_server((LOOPBACK, 0))
        self.port = int(self._listener.getsockname()[1])
        self.is_cut = False
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._lock = threading.Lock()
        # The next so many commits of table pointers reach the server, their answers never come back.
        self.num_answers_to_lose = 0
        self.num_answers_lost = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Break all connections; new ones are closed at once."""
        with self._lock:
            self.is_cut = True
            for pair in self._pairs:
                _close(*pair)

    def mend(self) -> None:
        """Let connections through again."""
        self.is_cut = False

    def close(self) -> None:
        """Stop listening."""
        self._listener.close()
        self.cut()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                with self._lock:
                    if self.is_cut:
                        client.close()
                        continue
                    server = socket.create_connection((LOOPBACK, self._server_port))
                    self._pairs.append((client, server))
                threading.Thread(target=self._to_server, args=(client, server), daemon=True).start()

    def _to_server(self, client: socket.socket, server: socket.socket) -> None:
        """Forward both ways; after the commit of a pointer, wait for the answer and hang up without giving it."""
        back = threading.Thread(target=self._to_client, args=(server, client), daemon=True)
        back.start()
        changes_pointer = False
        with contextlib.suppress(OSError):
            while chunk := client.recv(_CHUNK_BYTES):
                changes_pointer = changes_pointer or b"UPDATE iceberg_tables" in chunk
                if changes_pointer and b"COMMIT" in chunk:
                    changes_pointer = False
                    if self._shall_lose():
                        client.shutdown(socket.SHUT_RDWR)
                        server.sendall(chunk)
                        # It ends when the server has answered: then the commit has landed.
                        back.join(_ANSWERED_WITHIN_S)
                        with self._lock:
                            self.num_answers_lost += 1
                        break
                server.sendall(chunk)
        _close(client, server)

    def _shall_lose(self) -> bool:
        with self._lock:
            shall = self.num_answers_to_lose > 0
            self.num_answers_to_lose -= int(shall)
            return shall

    def _to_client(self, server: socket.socket, client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while chunk := server.recv(_CHUNK_BYTES):
                client.sendall(chunk)
        _close(client, server)


def _close(*sockets: socket.socket) -> None:
    for one in sockets:
        with contextlib.suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)
        one.close()
