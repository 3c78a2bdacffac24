"""The HTTP side of publishing by WHIP (RFC 9725): an offer goes out by POST, the answer comes back, DELETE ends it.

Redirections of the POST are followed (section 4.5); the bearer token goes along to the same origin only. These functions block: call them
in a thread. They use what Python brings, for the live server needs no HTTP client else.
"""

from __future__ import annotations

import logging
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit, urlunsplit

from renderer.errors import BadInput, VisavisError

if TYPE_CHECKING:
    from email.message import Message
    from typing import Any

logger = logging.getLogger(__name__)

WHIP = "whip:"
HTTP_TIMEOUT_S = 10.0
DELETE_TIMEOUT_S = 1.5
MAX_REDIRECTS = 5
MAX_ANSWER_BYTES = 256 * 1024
FINAL_STATUSES = frozenset({400, 401, 403, 404, 405, 406, 410, 415, 422})
"""Answers after which another try would end the same way."""


class Refused(BadInput):
    """The media server will not have this; asking again is of no use."""


class NotPublished(VisavisError):
    """This try failed; the next may not."""


@dataclass(frozen=True)
class WhipTarget:
    """Where to publish."""

    url: str
    token: str | None = None
    """Bearer token; shown nowhere."""

    @classmethod
    def parse(cls, text: str) -> WhipTarget:
        """From `whip:https://[TOKEN@]host/path`. Raises BadInput."""
        url = text.removeprefix(WHIP)
        try:
            parts = urlsplit(url)
            is_possible = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:
            is_possible = False
        if not is_possible or any(character.isspace() or not character.isprintable() for character in url):
            raise BadInput(f"publish {_without_token(text)!r}: whip:https://TOKEN@host/path is possible")
        bare = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
        return cls(bare, parts.username or None)

    def __str__(self) -> str:
        return WHIP + self.url


class _LeaveRedirects(urllib.request.HTTPRedirectHandler):
    """A redirected POST would become a GET."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


_OPENER = urllib.request.build_opener(_LeaveRedirects)


def post_offer(target: WhipTarget, offer: str) -> tuple[str | None, str]:
    """Address of the session and the answer. Raises Refused or NotPublished."""
    url = target.url
    for _ in range(MAX_REDIRECTS + 1):
        headers_out = {"Content-Type": "application/sdp", **_authorisation(target, url)}
        request = urllib.request.Request(url, offer.encode(), headers_out, method="POST")
        status, headers, body = _ask(request, HTTP_TIMEOUT_S)
        location = headers.get("Location")
        if status in (301, 302, 307, 308) and location:
            url = urljoin(url, location)
            continue
        if status != 201:
            said = " ".join(body.decode(errors="replace").split())[:200]
            line = f"the media server answered {status}" + (f": {said}" if said else "")
            raise Refused(line) if status in FINAL_STATUSES else NotPublished(line)
        return urljoin(url, location) if location else None, body.decode(errors="replace")
    raise Refused(f"more than {MAX_REDIRECTS} redirections")


def delete_session(target: WhipTarget, resource: str) -> None:
    request = urllib.request.Request(resource, headers=_authorisation(target, resource), method="DELETE")
    try:
        status, _, _ = _ask(request, DELETE_TIMEOUT_S)
    except NotPublished as error:
        logger.info("%s: the session could not be taken back: %s", target, error)
    else:
        logger.info("%s: ended, status %d", target, status)


def _ask(request: urllib.request.Request, timeout_s: float) -> tuple[int, Message, bytes]:
    """Status, headers and body. Raises NotPublished where there is no answer."""
    try:
        with _OPENER.open(request, timeout=timeout_s) as response:
            return response.status, response.headers, response.read(MAX_ANSWER_BYTES)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers, error.read(MAX_ANSWER_BYTES)
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise NotPublished(f"{urlsplit(request.full_url).netloc} does not answer: {reason}") from error


def _authorisation(target: WhipTarget, url: str) -> dict[str, str]:
    here, there = urlsplit(target.url), urlsplit(url)
    if target.token is None or (here.scheme, here.netloc) != (there.scheme, there.netloc):
        return {}
    return {"Authorization": f"Bearer {target.token}"}


def _without_token(text: str) -> str:
    """For a message: what stands before an @ may be a secret."""
    scheme, separator, rest = text.rpartition("//")
    return scheme + separator + rest.rpartition("@")[2]
