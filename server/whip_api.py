"""WHIP (RFC 9725) and WHEP (draft-ietf-wish-whep-04) over HTTP: `/whip` takes sound, `/whep` gives picture and voice. See `/docs`."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote

from fastapi import Depends, FastAPI, HTTPException, Request, Response

from renderer.errors import BadInput
from server.live_server import NotReady, ServerBusy, UnknownPerformance
from server.messages import MAX_MESSAGE_BYTES
from server.sdp_fragment import parse_fragment
from server.webrtc_peer import MalformedSdp, NoCandidates, SdpError
from server.whip import IceRestart, TooManyPlayers, UnknownResource, WhipSessions

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from server.access import Access
    from server.live_server import LiveServer
    from server.whip import Player, Publisher

SDP, FRAGMENT = "application/sdp", "application/trickle-ice-sdpfrag"
RETRY_AFTER_S = 3
PREFLIGHT_LIFETIME_S = 600
Kind = Literal["whip", "whep"]
ANSWER: dict[int | str, dict[str, Any]] = {
    201: {"description": "the SDP answer; `Location` is the session's own address", "content": {SDP: {}}},
    409: {"description": "nobody speaks here now"},
    415: {"description": f"the body is not {SDP}"},
    422: {"description": "an offer that cannot be answered"},
    503: {"description": "no place is free, or the server still loads"},
}


def add_whip(app: FastAPI, access: Access, server: LiveServer, require_token: Callable[[Request], None]) -> None:
    """Add the routes to the application."""
    sessions = WhipSessions(server)

    def require_trust(request: Request) -> None:
        require_token(request)
        if not access.allows_origin(request.headers) and not access.allows_foreign_pages():
            raise HTTPException(403, "this request comes from a page of another server; start with --token, and let it send the token")

    @app.middleware("http")
    async def cross_origin(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        """Pages of other servers may use these routes where a token is asked for, which no browser adds by itself."""
        response = await call_next(request)
        if request.url.path.split("/")[1] in ("whip", "whep") and access.allows_foreign_pages():
            response.headers["Access-Control-Allow-Origin"] = "*"
            response.headers["Access-Control-Expose-Headers"] = "Location, Link, ETag, Accept-Post, Retry-After, X-Visavis-Session"
        return response

    trusted = [Depends(require_trust)]

    @app.post("/whip", status_code=201, response_class=Response, responses=ANSWER, dependencies=trusted)
    async def publish(request: Request, avatar: str | None = None, size: int | None = None) -> Response:
        """WHIP: the body is an offer that sends Opus. A session begins in which `avatar` (default: the server's) speaks that sound; it ends
        with the connection, or by DELETE of its `Location`."""
        with _refusals():
            publisher, answer = await sessions.publish(await _text(request, SDP), avatar, size)
        return _created(request, publisher, answer)

    @app.post("/whep", status_code=201, response_class=Response, responses=ANSWER, dependencies=trusted)
    async def play(request: Request, session: str | None = None) -> Response:
        """WHEP: the body is an offer that receives video, audio or both. It shows the session of that id (`answer.session` of the
        socket, or what a publisher was told in `X-Visavis-Session`), by default the one in which somebody spoke last."""
        with _refusals():
            player, answer = await sessions.play(await _text(request, SDP), session)
        return _created(request, player, answer)

    def _created(request: Request, resource: Publisher | Player, answer: str) -> Response:
        address = f"{request.scope.get('root_path', '')}/{resource.kind}/{resource.id}"
        if (token := request.query_params.get("token")) is not None:
            # Whoever cannot send headers finds the session's address complete.
            address += f"?token={quote(token, safe='')}"
        headers = {"Location": address, "ETag": resource.etag, "X-Visavis-Session": resource.performance.id}
        response = Response(answer, 201, headers, SDP)
        offer_servers(response)
        return response

    def offer_servers(response: Response) -> None:
        for link in server.settings.ice.links():
            response.headers.append("Link", link)

    def add_kind(kind: Kind) -> None:
        @app.options(f"/{kind}", include_in_schema=False)
        async def preflight(request: Request) -> Response:
            response = Response(headers=_preflight_headers("POST, OPTIONS"))
            response.headers["Accept-Post"] = SDP
            # Not in a browser's own question, which carries no token; for clients that must know their servers before they offer.
            if "access-control-request-method" not in request.headers and access.allows_request(request.headers, request.query_params):
                offer_servers(response)
            return response

        @app.options(f"/{kind}/{{name}}", include_in_schema=False)
        async def session_preflight(name: str) -> Response:
            return Response(headers=_preflight_headers("PATCH, DELETE, OPTIONS"))

        @app.get(f"/{kind}", include_in_schema=False)
        @app.get(f"/{kind}/{{name}}", include_in_schema=False)
        async def nothing() -> Response:
            """Neither has a representation (section 4.1)."""
            return Response(status_code=204)

        @app.patch(f"/{kind}/{{name}}", status_code=204, response_class=Response, dependencies=trusted)
        async def trickle(name: str, request: Request) -> Response:
            """Trickle ICE: the body is an SDP fragment (RFC 8840) with candidates, `If-Match` the session's ETag. ICE restarts: 422."""
            with _refusals():
                resource = sessions.find(kind, name)
                fragment = parse_fragment(await _text(request, FRAGMENT))
                _require_match(request.headers.get("if-match"), resource.etag)
                await resource.add_candidates(fragment)
            return Response(status_code=204)

        @app.delete(f"/{kind}/{{name}}", response_class=Response, dependencies=trusted)
        async def end(name: str) -> Response:
            """End the session."""
            with _refusals():
                sessions.find(kind, name).end()
            return Response(status_code=200)

    add_kind("whip")
    add_kind("whep")


def _require_match(wanted: str | None, etag: str) -> None:
    """Of a PATCH (section 4.3.1)."""
    if wanted is None:
        raise HTTPException(428, "If-Match with the session's ETag is needed")
    if wanted.strip() in ("*", '"*"'):
        raise IceRestart("ICE restarts are not served; start a new session")
    if etag not in [tag.strip() for tag in wanted.split(",")]:
        raise HTTPException(412, f"If-Match {wanted}: the session's ETag is another one")


def _preflight_headers(methods: str) -> dict[str, str]:
    return {
        "Access-Control-Allow-Methods": methods,
        "Access-Control-Allow-Headers": "Authorization, Content-Type, If-Match, Link",
        "Access-Control-Max-Age": str(PREFLIGHT_LIFETIME_S),
        "Allow": methods,
    }


async def _text(request: Request, content_type: str) -> str:
    """The body, of no more than is allowed."""
    given = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if given != content_type:
        raise HTTPException(415, f"Content-Type {given or 'missing'}: {content_type} was expected")
    data = bytearray()
    async for part in request.stream():
        data += part
        if len(data) > MAX_MESSAGE_BYTES:
            raise HTTPException(413, f"the body has more than {MAX_MESSAGE_BYTES >> 10} KiB")
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise HTTPException(400, "the body is not UTF-8 text") from None
    if not text.strip():
        raise HTTPException(400, "the body is empty")
    return text


@contextlib.contextmanager
def _refusals() -> Iterator[None]:
    """Errors as HTTP statuses, each with its one line."""
    later = {"Retry-After": str(RETRY_AFTER_S)}
    try:
        yield
    except (ServerBusy, NotReady, TooManyPlayers) as error:
        raise HTTPException(503, str(error), later) from error
    except NoCandidates as error:
        raise HTTPException(503, str(error), later) from error
    except UnknownPerformance as error:
        # The draft's answer where nothing is published yet; players try again by themselves.
        raise HTTPException(409, str(error), later) from error
    except UnknownResource as error:
        raise HTTPException(404, str(error)) from error
    except MalformedSdp as error:
        raise HTTPException(400, str(error)) from error
    except (SdpError, IceRestart) as error:
        raise HTTPException(422, str(error)) from error
    except BadInput as error:
        raise HTTPException(400, str(error)) from error
