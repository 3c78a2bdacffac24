from __future__ import annotations

import json

import pytest

from server.messages import MAX_MESSAGE_BYTES, BadMessage, Bye, Offer, Ping, Set, parse_client_message


def test_messages_are_told_apart_by_type() -> None:
    assert parse_client_message('{"type":"offer","sdp":"v=0","avatar":null,"size":null,"token":null}') == Offer(type="offer", sdp="v=0")
    assert parse_client_message('{"type":"set","voice":false}') == Set(type="set", voice=False)
    assert parse_client_message(b'{"type":"ping","t":1.5}') == Ping(type="ping", t=1.5)
    assert parse_client_message('{"type":"bye"}') == Bye(type="bye")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "JSON"),
        ("{", "JSON"),
        (b"\xff", "JSON"),
        ("3", "object"),
        ("{}", "type"),
        ('{"type":"jump"}', "jump"),
        ('{"type":"offer"}', "offer.sdp"),
        ('{"type":"offer","sdp":5}', "offer.sdp"),
        ('{"type":"offer","sdp":"v","colour":1}', "offer.colour"),
        ('{"type":"set","smoothing":0.9}', "set.smoothing"),
        ('{"type":"set","omega":1.1}', "set.omega"),
        ('{"type":"ping","t":"now"}', "ping.t"),
        ('{"type":"ping","t":1}' + " " * MAX_MESSAGE_BYTES, str(MAX_MESSAGE_BYTES)),
    ],
)
def test_messages_reject_what_is_wrong_in_one_line(text: str | bytes, words: str) -> None:
    with pytest.raises(BadMessage) as error:
        parse_client_message(text)
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_messages_do_not_repeat_what_was_sent() -> None:
    with pytest.raises(BadMessage) as error:
        parse_client_message(json.dumps({"type": "offer", "sdp": "v=0", "token": ["hush"]}))
    assert "hush" not in str(error.value)
