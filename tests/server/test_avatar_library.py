from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from renderer.avatar_file import save_avatar
from renderer.errors import BadAvatar, BadInput
from server.avatar_library import AvatarLibrary
from tests.renderer.refiner.random_refiner import random_network

if TYPE_CHECKING:
    from tests.server.conftest import Studio


def test_library_offers_what_the_default_avatars_encoder_can_drive(studio: Studio) -> None:
    library = AvatarLibrary(str(studio.first), studio.folder)
    infos = library.infos()
    assert [info.name for info in infos][:2] == ["first", "second"]
    assert "foreign" not in [info.name for info in infos]
    assert (infos[0].title, infos[0].subject) == ("First", "synthetic")
    assert library.path(None) == library.path("first") == studio.first
    assert library.more_look_ahead_ms() == 0.0


def test_library_rejects_unknown_names_with_the_known_ones(studio: Studio) -> None:
    library = AvatarLibrary(str(studio.first), studio.folder)
    for name in ("nobody", "foreign", "../first"):
        with pytest.raises(BadInput, match="first, second"):
            library.path(name)


def test_library_finds_an_avatar_that_appears_and_leaves_out_a_broken_one(studio: Studio, tmp_path: Path) -> None:
    first = Path(shutil.copy(studio.first, tmp_path / "first.avatar"))
    library = AvatarLibrary(str(first), tmp_path)
    (tmp_path / "broken.avatar").write_bytes(b"no avatar at all")
    shutil.copy(studio.first, tmp_path / "newcomer.avatar")
    names = [info.name for info in library.infos()]
    assert "newcomer" in names and "broken" not in names


def test_library_rejects_a_default_that_is_no_avatar(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"no avatar 'nowhere\.avatar'"):
        AvatarLibrary("nowhere.avatar", None)
    (tmp_path / "text.avatar").write_text("hello, this is only text")
    with pytest.raises(BadAvatar, match="not an avatar"):
        AvatarLibrary(str(tmp_path / "text.avatar"), None)


def test_library_says_which_avatars_have_a_refiner(studio: Studio, tmp_path: Path) -> None:
    shutil.copy(studio.first, tmp_path / "first.avatar")
    save_avatar(studio.avatar("detailed").replace(refiner=random_network().to_refiner()), tmp_path / "detailed.avatar")
    infos = AvatarLibrary(str(tmp_path / "first.avatar"), tmp_path).infos()
    assert {info.name: info.refiner for info in infos if info.name in ("first", "detailed")} == {"first": False, "detailed": True}


def test_library_says_which_avatars_have_emotions(studio: Studio) -> None:
    library = AvatarLibrary(str(studio.first), studio.folder)
    assert {info.name: info.emotional for info in library.infos() if info.name in ("first", "second")} == {"first": False, "second": True}
    assert library.is_emotional("second") and not library.is_emotional("first") and not library.is_emotional("nobody")
