"""Avatars that the render worker has loaded, each at a picture size, with their backends.

Loading runs in one thread of its own, so that frames of running sessions go on meanwhile; results are picked up by the worker's loop,
which is woken through a socket. At most `MAX_UNUSED` avatars that no session shows are kept.
"""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import socket
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from renderer.avatar_file import load_avatar
from renderer.backends.base import RenderOptions, open_backend
from renderer.errors import VisavisError

if TYPE_CHECKING:
    from renderer.avatar import Avatar
    from renderer.backends.base import Backend

logger = logging.getLogger(__name__)

MAX_UNUSED = 8
"""Enough for a shelf of styles; one takes about four times its file's size."""
LOADER_NICENESS = 10


@dataclass(frozen=True, eq=False)
class LoadedAvatar:
    """An avatar that can be rendered at one size."""

    path: str
    size: int
    avatar: Avatar
    backend: Backend


@dataclass(frozen=True)
class _Key:
    path: str
    size: int
    modified_ns: int
    """A file that was written anew is another avatar."""


Done = Callable[["LoadedAvatar | VisavisError"], None]


class AvatarStore:
    """Loads avatars. All methods are called by the worker's one loop; `wake` becomes readable when `collect` has something to do."""

    def __init__(self, backend: str, threads: int, check: Callable[[Avatar], None]) -> None:
        """`check` raises for an avatar that cannot be shown here."""
        self._backend, self._threads, self._check = backend, threads, check
        self._loaded: OrderedDict[_Key, LoadedAvatar] = OrderedDict()
        self._wanted: dict[_Key, list[Done]] = {}
        self._requests: queue.SimpleQueue[_Key] = queue.SimpleQueue()
        self._results: queue.SimpleQueue[tuple[_Key, LoadedAvatar | VisavisError]] = queue.SimpleQueue()
        self.wake, self._waker = socket.socketpair()
        self._thread = threading.Thread(target=self._load_on_request, name="avatar-loader", daemon=True)
        self._thread.start()

    def open_now(self, path: str, size: int) -> LoadedAvatar:
        """Load in the caller's time."""
        key = _key(path, size)
        if key not in self._loaded:
            self._loaded[key] = self._load(key)
        return self._loaded[key]

    def request(self, path: str, size: int, done: Done) -> None:
        """Call `done` with the avatar or the reason why not: at once if it is loaded, else out of a later `collect`."""
        try:
            key = _key(path, size)
        except VisavisError as error:
            done(error)
            return
        if key in self._loaded:
            self._loaded.move_to_end(key)
            done(self._loaded[key])
        elif key in self._wanted:
            self._wanted[key].append(done)
        else:
            self._wanted[key] = [done]
            self._requests.put(key)

    def collect(self) -> None:
        """Hand over what the thread has loaded."""
        self.wake.recv(4096)
        while not self._results.empty():
            key, result = self._results.get()
            if isinstance(result, LoadedAvatar):
                self._loaded[key] = result
            for done in self._wanted.pop(key, []):
                done(result)

    def drop_unused(self, shown: set[LoadedAvatar]) -> None:
        """Free the longest unused avatars."""
        unused = [key for key, loaded in self._loaded.items() if loaded not in shown]
        for key in unused[: max(0, len(unused) - MAX_UNUSED)]:
            self._loaded.pop(key).backend.close()

    def forget(self, loaded: LoadedAvatar) -> None:
        """Free an avatar that nobody shows."""
        for key, value in list(self._loaded.items()):
            if value is loaded:
                del self._loaded[key]
                loaded.backend.close()

    def _load(self, key: _Key) -> LoadedAvatar:
        avatar = load_avatar(key.path)
        self._check(avatar)
        backend = open_backend(avatar, RenderOptions(size=key.size, threads=self._threads), self._backend)
        return LoadedAvatar(key.path, key.size, avatar, backend)

    def _load_on_request(self) -> None:
        if sys.platform == "linux":
            # Pictures of running sessions come first. Elsewhere a thread has no niceness of its own.
            with contextlib.suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), LOADER_NICENESS)
        while True:
            key = self._requests.get()
            try:
                result: LoadedAvatar | VisavisError = self._load(key)
            except VisavisError as error:
                result = error
            except Exception as error:
                # A fault of ours in one avatar must not end the thread that all sessions load with.
                logger.exception("loading %s failed", key.path)
                result = VisavisError(f"{key.path}: {type(error).__name__}: {error}")
            self._results.put((key, result))
            self._waker.send(b"\0")


def _key(path: str, size: int) -> _Key:
    try:
        return _Key(path, size, Path(path).stat().st_mtime_ns)
    except OSError as error:
        raise VisavisError(f"cannot read avatar {path}: {error.strerror}") from error
