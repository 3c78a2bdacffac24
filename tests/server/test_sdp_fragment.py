from __future__ import annotations

import pytest

from renderer.errors import BadInput
from server.sdp_fragment import MAX_CANDIDATES, parse_fragment

FRAGMENT = """a=ice-ufrag:EsAw\r
a=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r
m=audio 9 UDP/TLS/RTP/SAVPF 0\r
a=mid:0\r
a=candidate:1387637174 1 udp 2122260223 192.0.2.1 61764 typ host generation 0 ufrag EsAw network-id 1\r
a=candidate:473322822 1 tcp 1518280447 192.0.2.1 9 typ host tcptype active generation 0\r
a=candidate:2 1 UDP 1 198.51.100.1 61765 typ srflx raddr 192.0.2.1 rport 61764\r
a=end-of-candidates\r
"""
"""After the example of RFC 9725, section 4.3.2."""


def test_fragment_holds_candidates_over_udp_with_their_section() -> None:
    fragment = parse_fragment(FRAGMENT)
    assert (fragment.ufrag, fragment.password, fragment.is_complete) == ("EsAw", "P2uYro0UCOQ4zxjKXaWCBui1", True)
    assert [(c.ip, c.port, c.type, c.sdpMid) for c in fragment.candidates] == [
        ("192.0.2.1", 61764, "host", "0"),
        ("198.51.100.1", 61765, "srflx", "0"),
    ]
    assert fragment.candidates[1].relatedPort == 61764


def test_fragment_without_candidates_may_only_say_that_there_are_no_more() -> None:
    assert parse_fragment("a=end-of-candidates").is_complete
    assert parse_fragment("").candidates == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("hello", "not a line of SDP: 'hello'"),
        ("a=candidate:1 1 udp", "not a candidate"),
        ("a=candidate:1 1 udp x 192.0.2.1 9 typ host", "not a candidate"),
        ("a=candidate:1 1 udp 1 192.0.2.1 9 typ host\n" * (MAX_CANDIDATES + 1), "more than 64"),
    ],
)
def test_fragment_rejects_broken_lines(text: str, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        parse_fragment(text)
