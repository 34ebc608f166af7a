"""Trouble on demand: what Telegram and the network do to a bot on a bad day."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

KINDS = ("flood", "error", "bad_gateway", "drop", "half", "silence", "lost_answer", "delay", "duplicate")


@dataclass(slots=True)
class Fault:
    """One kind of trouble for the next `times` calls of a method ("*": of any).

    Attributes:
        kind: flood: 429 with retry_after. error: 500. bad_gateway: 502 with a page of HTML. drop: the connection
            breaks before the call is carried out. half: it breaks in the middle of the upload. silence: the call is
            neither answered nor carried out, and the connection breaks in the end. lost_answer: it is carried out and
            then the connection breaks. delay: it is carried out late.
        method: "file" for downloads, of which half a one is a file that ends in the middle.
        seconds: retry_after of flood, or how long delay and silence last.
    """

    kind: str
    method: str
    times: int
    seconds: float


class Faults:
    """The faults that are still to come, oldest first."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._duplicates: list[int] = []
        self._swaps = 0

    def flood(self, method: str = "*", times: int = 1, *, retry_after: int = 1) -> None:
        self.add("flood", method, times, retry_after)

    def error(self, method: str = "*", times: int = 1) -> None:
        self.add("error", method, times)

    def bad_gateway(self, method: str = "*", times: int = 1) -> None:
        self.add("bad_gateway", method, times)

    def drop(self, method: str = "*", times: int = 1) -> None:
        self.add("drop", method, times)

    def half(self, method: str = "*", times: int = 1) -> None:
        self.add("half", method, times)

    def silence(self, method: str = "*", times: int = 1, *, seconds: float = 1.0) -> None:
        self.add("silence", method, times, seconds)

    def lost_answer(self, method: str = "*", times: int = 1) -> None:
        self.add("lost_answer", method, times)

    def delay(self, method: str = "*", times: int = 1, *, seconds: float = 1.0) -> None:
        self.add("delay", method, times, seconds)

    def duplicate(self, times: int = 1, *, copies: int = 2) -> None:
        """Push each of the next `times` updates `copies` times, side by side, through the webhook."""
        if times < 1 or copies < 1:
            raise ValueError("times and copies must be at least 1")
        self._duplicates += [copies] * times

    def swap(self, times: int = 1) -> None:
        """Let each of the next `times` updates be overtaken by the one behind it in its chat, if one comes soon."""
        if times < 1:
            raise ValueError("times must be at least 1")
        self._swaps += times

    def add(self, kind: str, method: str = "*", times: int = 1, seconds: float = 1.0) -> None:
        """Add a fault by the name of its kind; raise ValueError for an unknown one."""
        if kind not in KINDS or kind == "duplicate":
            raise ValueError(f"unknown fault {kind!r}; known: {', '.join(KINDS)}")
        if times < 1 or seconds < 0:
            raise ValueError("times must be at least 1 and seconds not negative")
        self._faults.append(Fault(kind, method.lower(), times, seconds))

    def clear(self) -> None:
        self._faults.clear()
        self._duplicates.clear()
        self._swaps = 0

    def take(self, method: str) -> Fault | None:
        """Return the fault of this call, used up by one."""
        for fault in self._faults:
            if fault.method in {"*", method.lower()}:
                fault.times -= 1
                if not fault.times:
                    self._faults.remove(fault)
                return fault
        return None

    def copies_of_next_update(self) -> int:
        return self._duplicates.pop(0) if self._duplicates else 1

    def swaps_next_update(self) -> bool:
        if not self._swaps:
            return False
        self._swaps -= 1
        return True

    def pending(self) -> list[dict[str, Any]]:
        """What is still to come, for the page."""
        return [
            {"kind": fault.kind, "method": fault.method, "times": fault.times, "seconds": fault.seconds}
            for fault in self._faults
        ]
