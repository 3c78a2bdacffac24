from __future__ import annotations

import pytest

from renderer.errors import BadInput
from server.ice import CREDENTIAL_LIFETIME_S, IceServers, time_limited_credentials

TURN = "turn:turn.example.org:3478?transport=tcp"


def test_time_limited_credentials_are_what_coturn_computes() -> None:
    """The password was computed by another program: printf '%s' 1700000000:visavis | openssl dgst -sha1 -hmac s3cret -binary | base64."""
    assert time_limited_credentials("s3cret", 1_700_000_000) == ("1700000000:visavis", "FO3y7MC55wln8PiTofPrr/H39Yg=")


def test_ice_servers_give_credentials_to_turn_only_and_anew_each_time() -> None:
    now_s = [1000.7]
    ice = IceServers(("stun:stun.example.org", TURN), secret="s3cret", clock=lambda: now_s[0])
    stun, turn = ice.current()
    assert (stun.urls, stun.username, stun.credential) == ("stun:stun.example.org", None, None)
    assert turn.urls == TURN and turn.username == f"{1000 + CREDENTIAL_LIFETIME_S}:visavis" and turn.credential
    now_s[0] += 60
    assert ice.current()[1].username == f"{1060 + CREDENTIAL_LIFETIME_S}:visavis"
    assert ice.current()[1].credential != turn.credential


def test_ice_servers_are_written_as_link_headers() -> None:
    ice = IceServers(("stun:stun.example.org:3478", TURN), username='a"b', password="c\\d")
    assert ice.links() == [
        '<stun:stun.example.org:3478>; rel="ice-server"',
        f'<{TURN}>; rel="ice-server"; username="a\\"b"; credential="c\\\\d"; credential-type="password"',
    ]


@pytest.mark.parametrize(
    ("urls", "options", "words"),
    [
        (("http://a",), {}, "stun:host:port"),
        (("stun:",), {}, "stun:host:port"),
        (("stun:a:99999",), {}, "stun:host:port"),
        (("stun:a?transport=udp",), {}, "stun:host:port"),
        (("turns:a?transport=udp",), {"secret": "x"}, "over TCP"),
        ((TURN,), {}, "turn_secret, or turn_username"),
        ((TURN,), {"username": "a"}, "one needs the other"),
        ((TURN,), {"username": "a", "password": "b", "secret": "c"}, "either the one"),
        ((TURN,), {"secret": ""}, "protects nothing"),
        (("stun:a",), {"secret": "x"}, "without a TURN server"),
    ],
)
def test_ice_servers_reject_what_cannot_work(urls: tuple[str, ...], options: dict[str, str], words: str) -> None:
    with pytest.raises(BadInput, match=words):
        IceServers(urls, **options)
