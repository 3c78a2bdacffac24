"""`python run_server.py`: read the settings, take the port, serve until told to stop.

Exit codes: 0 after SIGTERM, 130 after Ctrl-C, 2 for what the user can mend (one line on stderr), 1 for a fault of ours.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import signal
import socket
import sys
from typing import TYPE_CHECKING

from renderer.errors import BadInput, VisavisError

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator, Sequence
    from typing import Any

    from server.access import Access
    from server.live_server import LiveServer
    from server.settings import ServerSettings

EXIT_BAD_INPUT = 2
EXIT_INTERRUPTED = 130
LISTEN_BACKLOG = 128
SHUTDOWN_TIMEOUT_S = 2
PING_INTERVAL_S = 5.0
"""A socket that does not answer a ping within this time is gone, and its session with it."""
MAX_CONNECTIONS = 256
MAX_SOCKET_MESSAGE_BYTES = 128 * 1024

logger = logging.getLogger("visavis")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the server; returns the exit code."""
    from server.settings import read_settings

    try:
        settings = read_settings(sys.argv[1:] if arguments is None else arguments)
        logging.basicConfig(level=settings.log_level.upper(), format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
        # aiortc and aioice tell every candidate at info.
        for chatty in ("aiortc", "aioice"):
            logging.getLogger(chatty).setLevel(max(logging.WARNING, logging.getLogger().level))
        with _listen(settings.host, settings.port) as listener:
            return asyncio.run(_serve(settings, listener))
    except VisavisError as error:
        print(f"run_server.py: {error}", file=sys.stderr)
        return EXIT_BAD_INPUT
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED


def _listen(host: str, port: int) -> socket.socket:
    """Take the port before anything is loaded, so that a port in use is known at once."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    except socket.gaierror as error:
        raise BadInput(f"host {host!r}: {error.strerror}") from error
    listener = socket.socket(family, kind, protocol)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
        listener.listen(LISTEN_BACKLOG)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise BadInput(f"port {port} on {host} is in use by another program; choose another with --port") from error
        raise BadInput(f"cannot listen on {host} port {port}: {error.strerror}") from error
    return listener


async def _serve(settings: ServerSettings, listener: socket.socket) -> int:
    from server.access import Access
    from server.live_server import LiveServer

    stopped_by: list[int] = []
    stopped = asyncio.Event()

    def stop(number: int) -> None:
        stopped_by.append(number)
        stopped.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop, number)
    if settings.ice_ports is not None:
        settings.ice_ports.apply(asyncio.get_running_loop())
    server, access = LiveServer(settings), Access(settings)
    await server.start()
    try:
        with _terminal_keys(server):
            await _serve_http(server, access, listener, stopped)
    finally:
        await server.aclose()
    if server.failure is not None:
        raise server.failure
    return EXIT_INTERRUPTED if signal.SIGINT in stopped_by else 0


@contextlib.contextmanager
def _terminal_keys(server: LiveServer) -> Iterator[None]:
    """While the virtual camera is what the server was started for."""
    if server.settings.virtual_camera is None:
        yield
        return
    from server.virtual_camera.terminal_keys import TerminalKeys, reading_keys

    with reading_keys(TerminalKeys(server.call).press):
        yield


async def _serve_http(server: LiveServer, access: Access, listener: socket.socket, stopped: asyncio.Event) -> None:
    """Returns when told to stop, or when the server cannot go on."""
    # Imported while the render worker starts.
    import uvicorn

    from server.application import create_application

    class Server(uvicorn.Server):
        """Leaves signals to us: uvicorn would raise them again after its end and so decide the exit code."""

        @contextlib.contextmanager
        def capture_signals(self) -> Iterator[None]:
            yield

    config = uvicorn.Config(
        create_application(server, access),
        log_level="warning",
        ws="websockets-sansio",
        ws_max_size=MAX_SOCKET_MESSAGE_BYTES,
        ws_ping_interval=PING_INTERVAL_S,
        ws_ping_timeout=PING_INTERVAL_S,
        lifespan="off",
        server_header=False,
        limit_concurrency=MAX_CONNECTIONS,
        timeout_graceful_shutdown=SHUTDOWN_TIMEOUT_S,
    )
    http = Server(config)

    async def stop_after(event: asyncio.Event) -> None:
        await event.wait()
        server.feed.close_listeners()
        http.should_exit = True

    watchers = [
        asyncio.create_task(_announce(server.wait_ready(), access, listener)),
        asyncio.create_task(stop_after(stopped)),
        asyncio.create_task(stop_after(server.failed)),
    ]
    try:
        await http.serve(sockets=[listener])
    finally:
        for watcher in watchers:
            watcher.cancel()
        await asyncio.gather(*watchers, return_exceptions=True)


async def _announce(ready: Coroutine[Any, Any, None], access: Access, listener: socket.socket) -> None:
    await ready
    url = access.page_url(listener.getsockname()[1])
    print(f"visavis is ready: open {url}", file=sys.stderr, flush=True)
