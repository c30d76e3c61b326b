"""A DNS server on loopback over UDP and TCP that answers what the test puts into its table."""

import socket
import struct
import threading
from ipaddress import ip_address

TYPES = {1: 4, 28: 6}  # A, AAAA: the version of their addresses
SERVER_FAILURE, NO_SUCH_NAME = 2, 3


class DnsServer:
    """table[name] is a list of addresses. A name that is not in it does not exist; `failing` fails every question."""

    def __init__(self, ttl=60):
        self.table = {}
        self.ttl = ttl
        self.failing = False
        self.questions = 0
        self.questions_by_tcp = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", self.port))
        threading.Thread(target=self._accept, daemon=True).start()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self):
        while True:
            try:
                question, sender = self._socket.recvfrom(512)
            except OSError:
                return
            if not question:
                return
            self.questions += 1
            self._socket.sendto(self._answer(question), sender)

    def _accept(self):
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve_tcp, args=(sock,), daemon=True).start()

    def _serve_tcp(self, sock):
        """Each message is behind its length (RFC 1035 4.2.2)."""
        with sock, sock.makefile("rb") as file:
            while size := file.read(2):
                answer = self._answer(file.read(int.from_bytes(size, "big")))
                self.questions_by_tcp += 1
                sock.sendall(len(answer).to_bytes(2, "big") + answer)

    def _answer(self, question):
        labels, at = [], 12
        while size := question[at]:
            labels.append(question[at + 1:at + 1 + size].decode())
            at += size + 1
        kind, = struct.unpack_from("!H", question, at + 1)
        end = at + 5
        found = self.table.get(".".join(labels).lower())
        code = SERVER_FAILURE if self.failing else NO_SUCH_NAME if found is None else 0
        wanted = [ip_address(a) for a in found or () if ip_address(a).version == TYPES.get(kind)] if not code else []
        head = question[:2] + struct.pack("!BBHHHH", 0x84, code, 1, len(wanted), 0, 0)
        records = [b"\xc0\x0c" + struct.pack("!HHIH", kind, 1, self.ttl, len(a.packed)) + a.packed for a in wanted]
        return head + question[12:end] + b"".join(records)

    def close(self):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as waker:
            waker.sendto(b"", ("127.0.0.1", self.port))
        self._thread.join()
        self._socket.close()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
