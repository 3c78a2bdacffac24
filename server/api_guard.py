"""What the parts of the HTTP interface share: who may change something, bodies without unknown fields, and errors as statuses."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from fastapi import HTTPException, Request
from pydantic import BaseModel, ConfigDict

from renderer.errors import VisavisError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from server.access import Access

FORBIDDEN = 403

Statuses = tuple[tuple[type[VisavisError], int], ...]
"""What an error is to whoever asked; the first kind that fits counts."""


class Wish(BaseModel):
    """A request's body; an unknown field is refused."""

    model_config = ConfigDict(extra="forbid")


def page_guard(access: Access, require_token: Callable[[Request], None]) -> Callable[[Request], None]:
    """A dependency for what changes something: only this server's own page may, and programs, which send no origin."""

    def require_page(request: Request) -> None:
        require_token(request)
        if not access.allows_origin(request.headers):
            raise HTTPException(FORBIDDEN, "this request comes from a page of another server")

    return require_page


@contextlib.contextmanager
def refusals(statuses: Statuses) -> Iterator[None]:
    """Errors as HTTP statuses, each with its one line. One of no kind that is named goes on as it is."""
    try:
        yield
    except VisavisError as error:
        status = next((status for kind, status in statuses if isinstance(error, kind)), None)
        if status is None:
            raise
        raise HTTPException(status, str(error)) from error
