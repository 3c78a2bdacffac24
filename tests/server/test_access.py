from __future__ import annotations

import pytest
from starlette.datastructures import Headers, QueryParams

from server.access import Access
from server.settings import ServerSettings

LOCAL = ServerSettings()
REMOTE = ServerSettings(host="0.0.0.0", token="s3cret")


def test_access_on_this_machine_needs_no_token() -> None:
    access = Access(LOCAL)
    assert not access.needs_token
    assert access.allows_request(Headers({}), QueryParams(""))
    assert access.page_url(8000) == "http://127.0.0.1:8000/"


def test_access_from_elsewhere_needs_a_token_which_is_made_if_not_given() -> None:
    access, other = Access(ServerSettings(host="0.0.0.0")), Access(ServerSettings(host="0.0.0.0"))
    token = access.page_url(80).partition("?token=")[2]
    assert access.token_was_made and len(token) >= 20
    assert access.page_url(80) != other.page_url(80)
    assert access.allows_token(token) and not other.allows_token(token)
    assert not access.allows_token(None) and not access.allows_token("")


@pytest.mark.parametrize(
    ("headers", "query", "allowed"),
    [
        ({}, "token=s3cret", True),
        ({"authorization": "Bearer s3cret"}, "", True),
        ({"authorization": "bearer s3cret"}, "", True),
        ({"authorization": "Basic s3cret"}, "", False),
        ({}, "token=wrong", False),
        ({}, "token=é", False),
        ({}, "", False),
    ],
)
def test_access_reads_the_token_from_address_or_header(headers: dict[str, str], query: str, allowed: bool) -> None:
    assert Access(REMOTE).allows_request(Headers(headers), QueryParams(query)) is allowed


@pytest.mark.parametrize(
    ("host", "allowed"),
    [("127.0.0.1:8000", True), ("localhost:8000", True), ("[::1]:8000", True), ("evil.example.org:8000", False), ("", False), ("[", False)],
)
def test_access_rejects_foreign_names_for_this_machine(host: str, allowed: bool) -> None:
    assert Access(LOCAL).allows_host(Headers({"host": host})) is allowed


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [(None, True), ("http://localhost:8000", True), ("http://localhost:9000", False), ("https://evil.example.org", False), ("null", False)],
)
def test_access_rejects_sockets_of_foreign_pages(origin: str | None, allowed: bool) -> None:
    headers = {"host": "localhost:8000"} | ({} if origin is None else {"origin": origin})
    assert Access(LOCAL).allows_origin(Headers(headers)) is allowed
