"""A memory behind the read channels of an AXI4 port, in Amaranth's simulator: latency, stalls, errors, and a watch on the rules."""

import random
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from amaranth.sim import SimulatorContext

__all__ = ["ERRORS", "RESPONSES", "MemoryModel"]

RESPONSES = {"okay": 0, "exokay": 1, "slverr": 2, "decerr": 3}
"""Of a beat, as AXI4 numbers them."""
ERRORS = ("slverr", "decerr", "early", "missing", "short", "long")
"""What makes a tile worthless: either response; ``rlast`` before the last beat, or not at it; a burst cut off behind
this beat, which has ``rlast``; or one that has a beat more. (``endless`` is one more: from this beat on there is always another.)
"""


class MemoryModel:
    """Answers bursts in order, ``latency`` clocks after each request at least; keeps what was against the rules in ``wrong``.

    ``stall`` is the chance that a channel holds back in a clock; with it the latency is drawn anew for each burst, up to
    ``latency``. ``beats`` counts what was read, ``bursts`` the requests ``(address, beats)``. ``errors``: what is wrong, once, with the
    n-th beat of all, one of ``ERRORS`` or ``RESPONSES``; what asks for a burst's last beat, or another, waits for the next such one.
    ``silent``: before the n-th beat nothing comes for so many clocks; ``deaf``: before the n-th request is taken ``arready`` stays low
    for so many. What was asked for is answered afterwards all the same.
    """

    def __init__(
        self,
        content: bytes,
        *,
        latency: int = 0,
        stall: float = 0.0,
        seed: int = 0,
        errors: Mapping[int, str] | None = None,
        silent: Mapping[int, int] | None = None,
        deaf: Mapping[int, int] | None = None,
    ):
        self._content, self._latency, self._stall = content, latency, stall
        self._errors = dict(errors or {})
        self._silent, self._deaf = dict(silent or {}), dict(deaf or {})
        self._endless = False
        self.made: list[str] = []
        self._rng = random.Random(seed)
        self.bursts: list[tuple[int, int]] = []
        self.wrong: list[str] = []
        self.beats = 0

    def _check(self, address: int, beats: int, size: int, kind: int, width: int) -> None:
        if size != (width - 1).bit_length() or kind != 1:
            self.wrong.append(f"burst of size {size} and kind {kind}")
        if address % width or address // 4096 != (address + beats * width - 1) // 4096:
            self.wrong.append(f"burst of {beats} beats at {address:#x} crosses 4 KiB")
        if address + beats * width > len(self._content):
            self.wrong.append(f"burst of {beats} beats at {address:#x} ends behind the weights")

    def _spoil(self, waiting: deque[tuple[int, int, bool]]) -> tuple[bool, int]:
        """``rlast`` and ``rresp`` of the beat in front, after what is due to go wrong did."""
        clock, address, last = waiting[0]
        if self._endless:
            waiting.insert(1, waiting[0])
            return False, 0
        due = min((place for place in self._errors if place <= self.beats), default=None)
        if due is None:
            return last, 0
        if self._errors[due] not in RESPONSES and last != (self._errors[due] in ("missing", "long")):
            return last, 0
        what = self._errors.pop(due)
        self.made.append(what)
        if what in RESPONSES:
            return last, RESPONSES[what]
        if what == "endless":
            self._endless = True
            return True, 0
        if what == "long":
            waiting.insert(1, (clock, address, True))
        while what == "short" and not waiting[1][2]:
            del waiting[1]
        if what == "short":
            del waiting[1]
        return what in ("early", "short"), 0

    @staticmethod
    def _holds_back(left: dict[int, int], place: int) -> bool:
        """Whether what is at ``place`` must still wait; a clock of that is over."""
        if not left.get(place):
            return False
        left[place] -= 1
        return True

    def serve(self, core: Any) -> Callable[[SimulatorContext], Awaitable[None]]:
        """The process that drives the port of ``core``."""
        width = len(core.m_axi_rdata) // 8

        async def run(ctx: SimulatorContext) -> None:
            waiting: deque[tuple[int, int, bool]] = deque()
            clock, offered = 0, False
            before: tuple[int, ...] | None = None
            ready = 0
            while True:
                silent = not offered and self._holds_back(self._silent, self.beats)
                due = not offered and not silent and waiting and waiting[0][0] <= clock
                if due and self._rng.random() >= self._stall:
                    _, address, _ = waiting[0]
                    last, response = self._spoil(waiting)
                    word = self._content[address : address + width].ljust(width, b"\xa5")
                    ctx.set(core.m_axi_rdata, int.from_bytes(word, "little"))
                    ctx.set(core.m_axi_rlast, last)
                    ctx.set(core.m_axi_rresp, response)
                    offered = True
                ctx.set(core.m_axi_rvalid, offered)
                ready = int(self._rng.random() >= self._stall and not self._holds_back(self._deaf, len(self.bursts)))
                ctx.set(core.m_axi_arready, ready)
                _, _, valid, *request, taken = await ctx.tick().sample(
                    core.m_axi_arvalid, core.m_axi_araddr, core.m_axi_arlen, core.m_axi_arsize, core.m_axi_arburst,
                    core.m_axi_rready,
                )  # fmt: skip
                if before is not None and (not valid or tuple(request) != before):
                    self.wrong.append("a request was withdrawn or changed before it was taken")
                before = tuple(request) if valid and not ready else None
                if valid and ready:
                    address, beats = request[0], request[1] + 1
                    self.bursts.append((address, beats))
                    self._check(address, beats, request[2], request[3], width)
                    latency = self._rng.randint(0, self._latency) if self._stall else self._latency
                    waiting += [(clock + latency, address + n * width, n == beats - 1) for n in range(beats)]
                if offered and taken:
                    waiting.popleft()
                    self.beats += 1
                    offered = False
                clock += 1

        return run
