"""The WebSocket `/ws`: one socket, one session. The socket's end is the session's end."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from starlette.websockets import WebSocketDisconnect

from renderer.errors import BadInput, VisavisError
from server.live_server import NotReady, ServerBusy
from server.messages import BadMessage, Bye, Error, Offer, Ping, Pong, Say, Set, StopSaying, parse_client_message
from server.webrtc_peer import NoCandidates, SdpError

if TYPE_CHECKING:
    from starlette.websockets import WebSocket

    from server.access import Access
    from server.live_server import LiveServer
    from server.messages import ErrorCode, ServerMessage
    from server.session import Session

logger = logging.getLogger(__name__)

MAX_WAITING_MESSAGES = 64
"""To a client that does not read; beyond that its socket is closed."""
CLOSE_POLICY_VIOLATION = 1008
CLOSE_TRY_AGAIN_LATER = 1013


class SignallingSocket:
    """Serves one socket from its acceptance to its end."""

    def __init__(self, socket: WebSocket, server: LiveServer, access: Access) -> None:
        self._socket, self._server, self._access = socket, server, access
        self._is_trusted = access.allows_request(socket.headers, socket.query_params)
        self._outbox: asyncio.Queue[ServerMessage] = asyncio.Queue(MAX_WAITING_MESSAGES)
        self._session: Session | None = None
        self._overflowed = asyncio.Event()

    async def serve(self) -> None:
        """Returns when the socket is closed, and with it the session."""
        await self._socket.accept()
        if self._socket.query_params.get("token") is not None and not self._is_trusted:
            await self._socket.send_text(_unauthorised().model_dump_json())
            await self._socket.close(CLOSE_POLICY_VIOLATION)
            return
        sender = asyncio.create_task(self._send_all())
        reader = asyncio.create_task(self._read_all())
        overflow = asyncio.create_task(self._overflowed.wait())
        try:
            await asyncio.wait({sender, reader, overflow}, return_when=asyncio.FIRST_COMPLETED)
            if self._overflowed.is_set():
                await self._socket.close(CLOSE_TRY_AGAIN_LATER)
        finally:
            for task in (sender, reader, overflow):
                task.cancel()
            results = await asyncio.gather(sender, reader, overflow, return_exceptions=True)
            self._end_session()
            for result in results:
                if isinstance(result, Exception) and not isinstance(result, WebSocketDisconnect | RuntimeError):
                    logger.error("a signalling socket failed", exc_info=result)

    def _say(self, message: ServerMessage) -> None:
        try:
            self._outbox.put_nowait(message)
        except asyncio.QueueFull:
            self._overflowed.set()

    def _refuse(self, code: ErrorCode, message: str) -> None:
        self._say(Error(code=code, message=message))

    async def _send_all(self) -> None:
        while True:
            message = await self._outbox.get()
            await self._socket.send_text(message.model_dump_json())

    async def _read_all(self) -> None:
        await self._server.wait_ready()
        hello = self._server.hello()
        # Who has not shown the token yet learns no names and no TURN password.
        self._say(hello if self._is_trusted else hello.model_copy(update={"avatars": [], "ice_servers": []}))
        while True:
            event = await self._socket.receive()
            if event["type"] == "websocket.disconnect":
                return
            try:
                message = parse_client_message(event.get("text") or event.get("bytes") or "")
            except BadMessage as error:
                self._refuse("bad_message", str(error))
                continue
            await self._act(message)

    async def _act(self, message: Offer | Set | Ping | Say | StopSaying | Bye) -> None:
        if isinstance(message, Offer):
            await self._open(message)
        elif isinstance(message, Bye):
            self._end_session()
        elif self._session is not None:
            self._session.performance.control(message, self._say)
        elif isinstance(message, Ping):
            self._say(Pong(t=message.t))
        else:
            self._refuse("bad_message", "there is no session to do this in; send an offer first")

    async def _open(self, offer: Offer) -> None:
        if not self._is_trusted and not self._access.allows_token(offer.token):
            self._say(_unauthorised())
            return
        if self._session is not None:
            self._refuse("bad_message", "this socket has a session; say bye to it first")
            return
        try:
            self._session, answer = await self._server.open_session(offer, self._say, self._session_ended)
        except (ServerBusy, NotReady) as error:
            self._refuse("busy", str(error))
        except SdpError as error:
            self._refuse("bad_sdp", str(error))
        except NoCandidates as error:
            self._refuse("no_candidates", str(error))
        except BadInput as error:
            self._refuse("unknown_avatar", str(error))
        except VisavisError as error:
            self._refuse("internal", str(error))
        except Exception:
            logger.exception("a session could not be opened")
            self._refuse("internal", "the session could not be opened")
        else:
            self._say(answer)

    def _session_ended(self, session: Session) -> None:
        if self._session is session:
            self._session = None

    def _end_session(self) -> None:
        if self._session is not None:
            self._server.close_session(self._session)
            self._session = None


def _unauthorised() -> Error:
    return Error(code="unauthorised", message="the token is missing or wrong; open the address that the server printed")
