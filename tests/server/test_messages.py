from __future__ import annotations

import json
from typing import get_args

import pytest

from renderer.emotion import EMOTIONS
from server.messages import MAX_MESSAGE_BYTES, BadMessage, Bye, Category, EmotionWish, Offer, Ping, Set, parse_client_message


def test_messages_are_told_apart_by_type() -> None:
    assert parse_client_message('{"type":"offer","sdp":"v=0","avatar":null,"size":null,"token":null}') == Offer(type="offer", sdp="v=0")
    assert parse_client_message('{"type":"set","voice":false}') == Set(type="set", voice=False)
    assert parse_client_message(b'{"type":"ping","t":1.5}') == Ping(type="ping", t=1.5)
    assert parse_client_message('{"type":"bye"}') == Bye(type="bye")


def test_messages_take_every_emotion_of_the_renderer() -> None:
    assert get_args(Category) == EMOTIONS
    happy = parse_client_message('{"type":"set","emotion":{"category":"happy","strength":0.5},"emotion_auto":false}')
    assert happy == Set(type="set", emotion=EmotionWish(category="happy", strength=0.5), emotion_auto=False)


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
        ('{"type":"set","emotion":"happy"}', "set.emotion"),
        ('{"type":"set","emotion":{"category":"happy"}}', "set.emotion.strength"),
        ('{"type":"set","emotion":{"category":"bored","strength":1}}', "set.emotion.category: Input should be 'neutral', 'angry'"),
        ('{"type":"set","emotion":{"category":"sad","strength":1.1}}', "set.emotion.strength: Input should be less than or equal to 1"),
        ('{"type":"set","emotion":{"category":"sad","strength":NaN}}', "set.emotion.strength"),
        ('{"type":"set","emotion_auto":"perhaps"}', "set.emotion_auto"),
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
