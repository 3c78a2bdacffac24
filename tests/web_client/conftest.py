"""A real Chromium with a fake microphone, and the scripted server, for the page's tests."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Playwright, sync_playwright

from .scripted_server import ScriptedServer

LAUNCH_ARGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--use-fake-device-for-media-stream",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
"""No flag that answers the question for the microphone: each test's context grants it or does not."""

EXPECT_TIMEOUT_MS = 20_000


class PageOpener:
    """Opens the page in a context of its own and keeps what its console says."""

    def __init__(self, browser: Browser, server: ScriptedServer) -> None:
        self.browser = browser
        self.server = server
        self.complaints: list[str] = []
        self._contexts: list[BrowserContext] = []

    def __call__(
        self, query: str = "", microphone: bool = True, script: str | None = None, context: BrowserContext | None = None, **options: Any
    ) -> Page:
        if context is None:
            context = self.browser.new_context(permissions=["microphone"] if microphone else [], **options)
            self._contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(EXPECT_TIMEOUT_MS)
        page.on("console", self._note)
        page.on("pageerror", lambda error: self.complaints.append(f"uncaught: {error}"))
        if script:
            page.add_init_script(script)
        page.goto(self.server.url + query)
        return page

    def _note(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(f"{message.type}: {message.text}")

    def close(self) -> None:
        for context in self._contexts:
            context.close()


@pytest.fixture(scope="module")
def playwright_driver() -> Iterator[Playwright]:
    """Ends with the module: while it runs, no other event loop can run in this thread."""
    with sync_playwright() as driver:
        yield driver


@pytest.fixture(scope="module")
def chromium(playwright_driver: Playwright) -> Iterator[Browser]:
    path = shutil.which("chromium") or shutil.which("google-chrome")
    if path is None and not Path(playwright_driver.chromium.executable_path).exists():
        pytest.skip("no Chromium: install the system's package, or run 'playwright install chromium'")
    browser = playwright_driver.chromium.launch(executable_path=path, args=LAUNCH_ARGS, ignore_default_args=["--mute-audio"])
    yield browser
    browser.close()


@pytest.fixture(scope="module")
def shared_server() -> Iterator[ScriptedServer]:
    with ScriptedServer() as running:
        yield running


@pytest.fixture
def server(shared_server: ScriptedServer) -> ScriptedServer:
    shared_server.reset()
    return shared_server


@pytest.fixture
def open_page(chromium: Browser, server: ScriptedServer) -> Iterator[PageOpener]:
    """Fails the test where the browser's console complained, unless the test clears `complaints`."""
    opener = PageOpener(chromium, server)
    yield opener
    opener.close()
    assert opener.complaints == []
