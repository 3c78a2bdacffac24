"""The avatars that a server offers, by name: what ships with the program, a folder of the user's, and the one given by path.

Only headers are read here, in the media process; the render worker loads the fields.
"""

from __future__ import annotations

import contextlib
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from renderer.avatar_file import read_header
from renderer.errors import BadAvatar, BadInput, VisavisError
from renderer.library import avatar_paths, find_avatar
from server.messages import AvatarInfo

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Entry:
    modified_ns: int
    header: dict[str, Any] | None
    """None: not usable, and the log says why."""


class AvatarLibrary:
    """Looks at the folder anew at each question, so that an avatar that has just been trained is there; headers are kept."""

    def __init__(self, default: str, folder: Path | None) -> None:
        """Raises BadInput or BadAvatar if the default avatar is not there or not usable."""
        self._folder = folder
        self._default_path = find_avatar(default, folder).resolve()
        self._headers: dict[Path, _Entry] = {}
        header = read_header(self._default_path)
        self._encoder_sha256 = _encoder_sha256(header, self._default_path)
        self._default_look_ahead_ms = _look_ahead_ms(header)
        self.default_name = self._default_path.stem

    def infos(self) -> list[AvatarInfo]:
        """The avatars that can be shown, the default first."""
        paths = self._paths()
        names = sorted(paths, key=lambda name: (name != self.default_name, name))
        return [
            AvatarInfo(
                name=name,
                title=str(header.get("name", name)),
                subject=str(header.get("subject", {}).get("kind", "")),
                # A file that was written anew has another poster, and the browser is to ask for it.
                poster=f"api/avatars/{quote(name)}/poster.jpg?v={self._headers[path].modified_ns}" if header.get("poster") else None,
                refiner=bool(header.get("refiner")),
                instruction=header.get("lineage", {}).get("instruction"),
                editable=bool(header.get("n_audio_steps")),
                emotional=_is_emotional(header),
            )
            for name in names
            if (header := self._header(path := paths[name])) is not None
        ]

    def names(self) -> set[str]:
        """Of all files that are there, usable or not."""
        return set(self._paths())

    def is_editable(self, name: str) -> bool:
        """Whether the avatar holds what was said in its training clip. Raises BadInput for a name that is not there."""
        return bool((self._header(self.path(name)) or {}).get("n_audio_steps"))

    def is_emotional(self, name: str) -> bool:
        """Whether the avatar can show emotions; one that has gone from the shelf cannot."""
        path = self._paths().get(name)
        return path is not None and _is_emotional(self._header(path) or {})

    def picture_pixels(self, name: str) -> int:
        """Of the avatar's own camera. Raises BadInput for a name that is not there."""
        camera = (self._header(self.path(name)) or {}).get("camera", {})
        return int(camera.get("width", 0)) * int(camera.get("height", 0))

    def files(self) -> dict[str, int]:
        """When each file was last written, in ns: whether anything is new."""
        found = {}
        for path in self._paths().values():
            with contextlib.suppress(OSError):
                found[str(path)] = path.stat().st_mtime_ns
        return found

    def path(self, name: str | None) -> Path:
        """Where an avatar lies; None: the default. Raises BadInput with the names that exist."""
        if name is None:
            return self._default_path
        path = self._paths().get(name)
        if path is None or self._header(path) is None:
            raise BadInput(f"no avatar {name!r}; known: {', '.join(info.name for info in self.infos())}")
        return path

    def name(self, path: str) -> str:
        """The name of an avatar by its path."""
        return Path(path).stem

    def more_look_ahead_ms(self) -> float:
        """How much more look-ahead than the default the others need, so that a swap needs no other latency."""
        known = {path: header for path in self._paths().values() if (header := self._header(path)) is not None}
        # The default's file may have gone since; what it needed is known all the same.
        return max(0.0, *(_look_ahead_ms(header) - self._default_look_ahead_ms for header in known.values()))

    def _paths(self) -> dict[str, Path]:
        found = {name: path.resolve() for name, path in avatar_paths(self._folder).items()}
        return found | {self.default_name: self._default_path}

    def _header(self, path: Path) -> dict[str, Any] | None:
        try:
            modified_ns = path.stat().st_mtime_ns
        except OSError:
            return None
        entry = self._headers.get(path)
        if entry is None or entry.modified_ns != modified_ns:
            entry = _Entry(modified_ns, self._read(path))
            self._headers[path] = entry
        return entry.header

    def _read(self, path: Path) -> dict[str, Any] | None:
        try:
            header = read_header(path)
            if _encoder_sha256(header, path) != self._encoder_sha256:
                logger.warning("%s is not offered: it was trained with another audio encoder", path)
                return None
            _look_ahead_ms(header)
        except VisavisError as error:
            logger.warning("%s is not offered: %s", path, error)
            return None
        return header


def _encoder_sha256(header: dict[str, Any], path: Path) -> str:
    encoder = header.get("encoder")
    if not isinstance(encoder, dict) or not isinstance(encoder.get("sha256"), str):
        raise BadInput(f"{path}: the header does not name its audio encoder")
    return str(encoder["sha256"])


def _is_emotional(header: dict[str, Any]) -> bool:
    return bool(header.get("field", {}).get("emotion_dim"))


def _look_ahead_ms(header: dict[str, Any]) -> float:
    try:
        return float(header["field"]["audio_window"]["look_ahead_ms"])
    except (KeyError, TypeError, ValueError) as error:
        raise BadAvatar("the header does not say how far the avatar looks ahead") from error
