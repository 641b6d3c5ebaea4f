"""What a service manager is told, as sd_notify(3) does it: nothing where there is none.

A daemon that is one of several under `chimewayd run --processes` tells its parent the same, over
the socket that is its standard input; the parent speaks to the service manager.
"""

import os
import socket
import time
from collections.abc import Callable, Mapping

PATIENCE_SECONDS = 0.5
"""A manager whose queue is full is busy; READY is worth waiting this long for, once."""

PINGS_PER_WATCHDOG = 3

STATUS_SECONDS = 5.0


class Notifier:
    """Tells of the service's state; a manager that does not listen never disturbs the work."""

    def __init__(self, send: Callable[[bytes], object] | None = None) -> None:
        self._send = send

    @property
    def is_heard(self) -> bool:
        """Whether there is anybody to tell."""
        return self._send is not None

    def tell(self, *assignments: str) -> bool:
        """Send assignments, as in `READY=1`; tell whether they were taken."""
        if self._send is None:
            return False
        lines = [line.replace("\n", " ") for line in assignments]
        try:
            self._send("".join(f"{line}\n" for line in lines).encode())
        except OSError:
            return False
        return True

    def ready(self) -> bool:
        """Say that a delivery that is inserted now goes out; also the end of a reload."""
        return self.tell("READY=1")

    def reloading(self) -> bool:
        # Source: sd_notify(3): microseconds of CLOCK_MONOTONIC, for Type=notify-reload.
        now = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        return self.tell("RELOADING=1", f"MONOTONIC_USEC={now}")

    def stopping(self, within_seconds: float) -> bool:
        """Say that we stop, and by when: the unit's own limit may be shorter than the grace."""
        return self.tell("STOPPING=1", f"EXTEND_TIMEOUT_USEC={int(within_seconds * 1e6)}")

    def alive(self) -> bool:
        return self.tell("WATCHDOG=1")


def to_manager(environment: Mapping[str, str] = os.environ) -> Notifier:
    """Speak to the service manager of $NOTIFY_SOCKET."""
    name = environment.get("NOTIFY_SOCKET", "")
    if not name.startswith(("/", "@")):
        return Notifier()
    # A name in the abstract namespace begins with a null byte; @ stands for it.
    address = b"\0" + os.fsencode(name[1:]) if name.startswith("@") else os.fsencode(name)

    def send(message: bytes) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.settimeout(PATIENCE_SECONDS)
            sender.sendto(message, address)

    return Notifier(send)


def to_parent(lifeline: int) -> Notifier:
    """Speak to the process at the other end of this socket."""

    def send(message: bytes) -> None:
        with socket.socket(fileno=os.dup(lifeline)) as parent:
            parent.send(message, socket.MSG_DONTWAIT)

    return Notifier(send)


def watchdog_seconds(environment: Mapping[str, str] = os.environ) -> float | None:
    """Return after how long a silence the manager ends us; None: never."""
    microseconds = environment.get("WATCHDOG_USEC", "")
    whose = environment.get("WATCHDOG_PID", str(os.getpid()))
    if not microseconds.isdecimal() or whose != str(os.getpid()):
        return None
    return int(microseconds) / 1e6 or None


def for_children(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Leave out what is meant for this process alone; the watchdog's time holds for children."""
    ours = {"NOTIFY_SOCKET", "WATCHDOG_PID"}
    if watchdog_seconds(environment) is None:
        ours.add("WATCHDOG_USEC")
    return {name: value for name, value in environment.items() if name not in ours}
