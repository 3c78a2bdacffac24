"""An avatar of a person carries their consent; one of a synthetic subject asks for none."""

from __future__ import annotations

import io

import pytest

from editing.train.command import subject_with_consent
from renderer.errors import BadInput


def test_synthetic_subjects_need_none() -> None:
    assert subject_with_consent({"kind": "synthetic", "name": "x"}, None) == {"kind": "synthetic", "name": "x"}
    with pytest.raises(BadInput, match="shows no person"):
        subject_with_consent({"kind": "synthetic"}, "yes")


def test_a_persons_statement_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    assert subject_with_consent({"kind": "person"}, " Ada agreed ")["consent"] == "Ada agreed"
    assert subject_with_consent({"kind": "person", "consent": "Ada agreed"}, None)["consent"] == "Ada agreed"
    for given in (None, "", "  "):
        monkeypatch.setattr("sys.stdin", io.StringIO())
        with pytest.raises(BadInput, match="--consent is needed"):
            subject_with_consent({"kind": "person"}, given)


def test_it_is_asked_for_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr("sys.stdin", Terminal())
    monkeypatch.setattr("builtins.input", lambda question: "Ada agreed" if "agree" in question else "")
    assert subject_with_consent({"kind": "person"}, None)["consent"] == "Ada agreed"
