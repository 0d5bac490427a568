"""A user that asks while slow clients are there."""

import socket
from time import perf_counter

import gevent

from loadtests.generator.lean_user import CONNECT_PATIENCE, LeanUser


class BesideSlowUser(LeanUser):
    """Asks while slow clients are there: `companions` of them in all, divided among the users.

    A slow client sends the head of a request, and then a byte of its body now and then, until the window ends.
    """

    abstract = True
    companions = 0
    clients = 16
    pause = 0.2  # seconds between two bytes

    def on_start(self) -> None:
        """Connects the user, then its slow clients."""
        super().on_start()
        head = f"POST /upload HTTP/1.1\r\nHost: {self.url.netloc}\r\nContent-Length: 1000000\r\n\r\n".encode()
        self.slow: list[socket.socket] = []
        try:
            for _ in range(self.companions // self.clients):
                self.slow.append(self.dial(CONNECT_PATIENCE))
                self.slow[-1].sendall(head)
        except OSError as error:
            self.count_error(f"a slow client could not connect: {type(error).__name__}")
        self.dripping = gevent.spawn(self.drip)

    def drip(self) -> None:
        """Sends a byte of each slow client again and again; closes their connections when the window ends."""
        while (left := self.end - perf_counter()) > 0:
            gevent.sleep(min(self.pause, left))
            for connection in list(self.slow):
                try:
                    connection.send(b"x")
                except OSError:
                    self.slow.remove(connection)
                    self.count_error("a slow client was cut off")
        self.close_slow()

    def close_slow(self) -> None:
        """Closes the slow clients' connections."""
        while self.slow:
            self.slow.pop().close()

    def on_stop(self) -> None:
        """Ends the slow clients with their user."""
        self.dripping.kill(block=False)
        self.close_slow()
        super().on_stop()
