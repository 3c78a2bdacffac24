"""STUN and TURN servers: what is said to aiortc, to the page, and to WHIP and WHEP clients.

A TURN server asks for a name and a password. They are either always the same, or made here from a secret shared with it: the name is
"<time of expiry, s since 1970>:<who>", the password the base64 of the name's HMAC-SHA1 under the secret (draft-uberti-behave-turn-rest-00;
coturn's `use-auth-secret`). Those are worth nothing a few hours later, so a page may know them.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from renderer.errors import BadInput
from server.messages import IceServer

if TYPE_CHECKING:
    from collections.abc import Callable

CREDENTIAL_LIFETIME_S = 12 * 3600
"""A session may begin so long after its page was opened; one that stands goes on."""
USER = "visavis"
_URL = re.compile(r"(?P<scheme>stuns?|turns?):(?P<host>[^:?/@\s]+)(:(?P<port>\d{1,5}))?(\?transport=(?P<transport>udp|tcp))?")


@dataclass(frozen=True)
class IceServers:
    """All servers of one configuration, with whatever credentials its TURN servers take."""

    urls: tuple[str, ...] = ()
    """`stun:host[:port]`, `turn:host[:port][?transport=udp|tcp]`, `turns:…`, in the order of preference."""
    username: str | None = None
    password: str | None = None
    secret: str | None = None
    """Shared with the TURN servers; in place of `username` and `password`."""
    clock: Callable[[], float] = time.time

    def __post_init__(self) -> None:
        for url in self.urls:
            match = _URL.fullmatch(url)
            if (
                match is None
                or (match["transport"] and match["scheme"].startswith("stun"))
                or int(match["port"] or 1) not in range(1, 65536)
            ):
                raise BadInput(f"ice_servers {url!r}: stun:host:port or turn:host:port?transport=udp|tcp is possible")
            if match["scheme"] == "turns" and match["transport"] == "udp":
                raise BadInput(f"ice_servers {url!r}: turns goes over TCP")
        if self.secret is not None and (self.username is not None or self.password is not None):
            raise BadInput("turn_secret and turn_username/turn_password: either the one or the others are possible")
        if (self.username is None) != (self.password is None):
            raise BadInput("turn_username and turn_password: one needs the other")
        has_credentials = self.secret is not None or self.username is not None
        turn = next((url for url in self.urls if url.startswith("turn")), None)
        if turn is not None and not has_credentials:
            raise BadInput(f"ice_servers {turn!r}: a TURN server needs turn_secret, or turn_username and turn_password")
        if turn is None and has_credentials:
            raise BadInput("turn_secret or turn_username without a TURN server: name one in ice_servers")
        if self.secret == "":
            raise BadInput("turn_secret '': an empty secret protects nothing")

    def current(self) -> list[IceServer]:
        """With credentials that are good from now on."""
        username, credential = self.username, self.password
        if self.secret is not None:
            username, credential = time_limited_credentials(self.secret, int(self.clock()) + CREDENTIAL_LIFETIME_S)
        turn = {"username": username, "credential": credential}
        return [IceServer(urls=url, **(turn if url.startswith("turn") else {})) for url in self.urls]

    def links(self) -> list[str]:
        """Values of `Link` headers (RFC 9725, section 4.6)."""
        return [_link(server) for server in self.current()]


def time_limited_credentials(secret: str, expires_s: int, user: str = USER) -> tuple[str, str]:
    """Name and password that a TURN server with this secret takes until `expires_s`, in seconds since 1970."""
    name = f"{expires_s}:{user}"
    digest = hmac.new(secret.encode(), name.encode(), hashlib.sha1).digest()
    return name, base64.b64encode(digest).decode()


def _link(server: IceServer) -> str:
    link = f'<{server.urls}>; rel="ice-server"'
    if server.username is not None and server.credential is not None:
        link += f'; username="{_quoted(server.username)}"; credential="{_quoted(server.credential)}"; credential-type="password"'
    return link


def _quoted(text: str) -> str:
    """The inside of a quoted string (RFC 9110, section 5.6.4)."""
    return text.replace("\\", "\\\\").replace('"', '\\"')
