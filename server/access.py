"""Who may speak to the server: addresses, origins and the token.

On this machine's own address everybody on the machine may, but no foreign web page: the Host must name this machine (against DNS
rebinding) and a WebSocket's Origin must be the Host. On any other address a token is required for everything but the page's files and
the health check.
"""

from __future__ import annotations

import hmac
import ipaddress
import secrets
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from starlette.datastructures import Headers, QueryParams

    from server.settings import ServerSettings

TOKEN_BYTES = 18
LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})


class Access:
    """The rules of one server."""

    def __init__(self, settings: ServerSettings) -> None:
        self._is_local = settings.is_local
        self._token = settings.token
        self.token_was_made = False
        if self._token is None and not self._is_local:
            self._token, self.token_was_made = secrets.token_urlsafe(TOKEN_BYTES), True
        self._host = settings.host

    @property
    def needs_token(self) -> bool:
        return self._token is not None

    def page_url(self, port: int) -> str:
        """What to open in a browser; holds the token."""
        host = self._host
        try:
            address = ipaddress.ip_address(host)
            if address.is_unspecified:
                host = "localhost"
            elif address.version == 6:
                host = f"[{host}]"
        except ValueError:
            pass
        return f"http://{host}:{port}/" + (f"?token={self._token}" if self._token else "")

    def allows_token(self, token: str | None) -> bool:
        if self._token is None:
            return True
        return token is not None and hmac.compare_digest(token.encode(), self._token.encode())

    def allows_request(self, headers: Headers, query: QueryParams) -> bool:
        """Whether the token is in `?token=` or in `Authorization: Bearer`."""
        scheme, _, bearer = headers.get("authorization", "").partition(" ")
        return self.allows_token(query.get("token")) or (scheme.lower() == "bearer" and self.allows_token(bearer.strip()))

    def allows_foreign_pages(self) -> bool:
        """Whether a page of another origin may ask with the token: it is its only way to be trusted, and no cookie takes its place. Without
        a token whatever page a browser on this machine has open would be let in."""
        return self.needs_token

    def allows_host(self, headers: Headers) -> bool:
        """Against DNS rebinding: a foreign name that resolves to this machine is not this machine."""
        if not self._is_local:
            return True
        return _hostname(f"//{headers.get('host', '')}") in LOCAL_NAMES | {self._host}

    def allows_origin(self, headers: Headers) -> bool:
        """Browsers send the page's origin with a WebSocket; it must be this server. Other programs send none."""
        origin = headers.get("origin")
        if origin is None:
            return True
        return urlsplit(origin).netloc.lower() == headers.get("host", "").lower()


def _hostname(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None
