"""A real browser without a window, driven over its DevTools protocol; by the keyboard alone."""

import asyncio
import itertools
import json
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from websockets.asyncio.client import ClientConnection, connect

BROWSERS: Final = ("chromium", "chromium-browser", "google-chrome")
_QUIET: Final = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
    "--disable-extensions", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--remote-debugging-port=0",
)  # fmt: skip
_KEYS: Final = {"Tab": (9, ""), "Enter": (13, "\r")}


@dataclass(slots=True)
class Chromium:
    """One tab."""

    socket: ClientConnection
    session: str = ""
    told: list[dict[str, Any]] = field(default_factory=list)  # what the browser complains of
    _numbers: Any = field(default_factory=lambda: itertools.count(1))

    async def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One command; its result."""
        number = next(self._numbers)
        asked = {"id": number, "method": method, "params": parameters}
        await self.socket.send(
            json.dumps({**asked, "sessionId": self.session} if self.session else asked)
        )
        while True:
            said = json.loads(await self.socket.recv())
            if said.get("id") == number:
                result: dict[str, Any] = said.get("result", {})
                return result
            if said.get("method") == "Log.entryAdded":
                self.told.append(said["params"]["entry"])

    async def see(self, expression: str) -> Any:
        """What a script of the test reads from the page; None while there is none."""
        result = await self.ask("Runtime.evaluate", expression=expression, returnByValue=True)
        return result.get("result", {}).get("value")

    async def until(self, expression: str) -> None:
        """Wait for something to be true of the page."""
        async with asyncio.timeout(30):
            while not await self.see(f"document.readyState === 'complete' && ({expression})"):  # noqa: ASYNC110
                await asyncio.sleep(0.02)

    async def open(self, url: str) -> None:
        """Go to an address and wait for the page."""
        await self.ask("Page.navigate", url=url)
        await self.until("document.querySelector('h1') !== null")

    async def key(self, name: str) -> None:
        """Press a key."""
        code, text = _KEYS[name]
        known = {"key": name, "code": name, "windowsVirtualKeyCode": code, "text": text}
        await self.ask("Input.dispatchKeyEvent", type="keyDown", **known)
        await self.ask("Input.dispatchKeyEvent", type="keyUp", **known)

    async def tab_to(self, selector: str) -> None:
        """Move the focus with the Tab key, as far as a page of ours is long."""
        for _ in range(20):
            if await self.see(f"document.activeElement.matches({json.dumps(selector)})"):
                return
            await self.key("Tab")
        raise AssertionError(f"Tab does not reach {selector}")

    async def type(self, selector: str, text: str) -> None:
        """Type into an input that Tab leads to."""
        await self.tab_to(selector)
        await self.ask("Input.insertText", text=text)


@asynccontextmanager
async def chromium(folder: Path) -> AsyncIterator[Chromium]:
    """A browser with an empty profile, ended at the end."""
    found = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    assert found, "Chromium is needed: apt install chromium (make test does it as root)"
    process = await asyncio.create_subprocess_exec(
        found, *_QUIET, f"--user-data-dir={folder}", "about:blank",
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        async with connect(await _address(folder), max_size=None) as socket:
            tab = Chromium(socket)
            target = await tab.ask("Target.createTarget", url="about:blank")
            attached = await tab.ask(
                "Target.attachToTarget", targetId=target["targetId"], flatten=True
            )
            tab.session = attached["sessionId"]
            for domain in ("Page", "Log"):
                await tab.ask(f"{domain}.enable")
            yield tab
    finally:
        process.terminate()
        await process.wait()


async def _address(folder: Path) -> str:
    """Where the browser listens: it writes port and path into its profile once it does."""
    told = folder / "DevToolsActivePort"
    async with asyncio.timeout(20):
        while True:
            lines = told.read_text().split() if told.exists() else []
            if len(lines) == 2:
                return f"ws://127.0.0.1:{lines[0]}{lines[1]}"
            await asyncio.sleep(0.02)
