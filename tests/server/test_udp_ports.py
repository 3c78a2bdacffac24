from __future__ import annotations

import asyncio
import socket

import pytest
from aiortc import RTCPeerConnection

from renderer.errors import BadInput
from server.udp_ports import UdpPorts

LOOPBACK = "127.0.0.1"


def free_range(n_ports: int) -> UdpPorts:
    """That many neighbouring ports that nobody holds on any address."""
    for first in range(41_000, 60_000, 97):
        held = []
        try:
            for port in range(first, first + n_ports):
                held.append(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
                held[-1].bind(("0.0.0.0", port))
        except OSError:
            continue
        finally:
            for taken in held:
                taken.close()
        return UdpPorts(first, first + n_ports - 1)
    raise AssertionError("no free ports")


async def open_port(local: tuple[str, int]) -> asyncio.DatagramTransport:
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(asyncio.DatagramProtocol, local_addr=local)
    return transport


def port_of(transport: asyncio.DatagramTransport) -> int:
    return int(transport.get_extra_info("sockname")[1])


async def test_udp_ports_are_given_in_turn_until_all_are_taken() -> None:
    ports = free_range(3)
    ports.apply(asyncio.get_running_loop())
    opened = [await open_port((LOOPBACK, 0)) for _ in range(3)]
    assert [port_of(transport) for transport in opened] == [ports.first, ports.first + 1, ports.last]
    with pytest.raises(OSError, match=f"all UDP ports {ports} of {LOOPBACK} are taken"):
        await open_port((LOOPBACK, 0))
    opened[1].close()
    await asyncio.sleep(0.05)
    again = await open_port((LOOPBACK, 0))
    assert port_of(again) == ports.first + 1
    for transport in (*opened, again):
        transport.close()


async def test_udp_ports_leave_other_endpoints_alone() -> None:
    ports = free_range(2)
    ports.apply(asyncio.get_running_loop())
    asked = free_range(1).first
    transport = await open_port((LOOPBACK, asked))
    assert port_of(transport) == asked
    client, _ = await asyncio.get_running_loop().create_datagram_endpoint(asyncio.DatagramProtocol, remote_addr=(LOOPBACK, asked))
    assert port_of(client) not in range(ports.first, ports.last + 1)
    for opened in (transport, client):
        opened.close()


async def test_udp_ports_hold_for_every_candidate_of_a_connection() -> None:
    ports = free_range(16)
    ports.apply(asyncio.get_running_loop())
    connection = RTCPeerConnection()
    connection.createDataChannel("x")
    await connection.setLocalDescription(await connection.createOffer())
    found = [line.split() for line in connection.localDescription.sdp.splitlines() if line.startswith("a=candidate:")]
    await connection.close()
    host = [int(words[5]) for words in found if words[7] == "host"]
    assert host, "this machine has an address besides its own"
    assert set(host) <= set(range(ports.first, ports.last + 1))


def test_udp_ports_are_read_from_text() -> None:
    assert UdpPorts.parse("50000-50100") == UdpPorts(50_000, 50_100)


@pytest.mark.parametrize("text", ["50000", "a-b", "50000-", "-5", "50100-50000", "80-90", "60000-70000"])
def test_udp_ports_reject_what_is_no_range(text: str) -> None:
    with pytest.raises(BadInput, match="ice_ports"):
        UdpPorts.parse(text)
