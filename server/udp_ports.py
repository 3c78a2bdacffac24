"""A fixed range of UDP ports for media, so that a firewall or a container can let exactly these through."""

from __future__ import annotations

import errno
from dataclasses import dataclass
from typing import TYPE_CHECKING

from renderer.errors import BadInput

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop
    from typing import Any

LOWEST, HIGHEST = 1024, 65535


@dataclass(frozen=True)
class UdpPorts:
    """From `first` to `last`, both included. A session takes one of them on each network address of the machine."""

    first: int
    last: int

    def __post_init__(self) -> None:
        if not LOWEST <= self.first <= self.last <= HIGHEST:
            raise BadInput(f"ice_ports {self}: FIRST-LAST is possible, with {LOWEST} <= FIRST <= LAST <= {HIGHEST}")

    def __str__(self) -> str:
        return f"{self.first}-{self.last}"

    @classmethod
    def parse(cls, text: str) -> UdpPorts:
        """From "50000-50100". Raises BadInput."""
        first, _, last = text.partition("-")
        if not (first.strip().isdecimal() and last.strip().isdecimal()):
            raise BadInput(f"ice_ports {text!r}: two port numbers were expected, such as 50000-50100")
        return cls(int(first), int(last))

    def apply(self, loop: AbstractEventLoop) -> None:
        """Have this event loop take a port of the range wherever a datagram endpoint asks for any free port of a local address.

        aioice always asks so for its host candidates, and offers no way to say anything else. Ports are taken in turn, so that a packet on
        its way to a session that has ended finds nobody for as long as possible.
        """
        open_endpoint = loop.create_datagram_endpoint
        n_ports = self.last - self.first + 1
        turn = 0

        async def in_range(protocol_factory: Any, local_addr: Any = None, **more: Any) -> Any:
            nonlocal turn
            if local_addr is None or local_addr[1] != 0:
                return await open_endpoint(protocol_factory, local_addr=local_addr, **more)
            for _ in range(n_ports):
                port = self.first + turn % n_ports
                turn += 1
                try:
                    return await open_endpoint(protocol_factory, local_addr=(local_addr[0], port), **more)
                except OSError as error:
                    if error.errno != errno.EADDRINUSE:
                        raise
            raise OSError(errno.EADDRINUSE, f"all UDP ports {self} of {local_addr[0]} are taken")

        setattr(loop, "create_datagram_endpoint", in_range)  # noqa: B010
