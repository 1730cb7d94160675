"""Headless Chromium over its debugging pipe: just enough to use a page as a person does.

Messages are JSON objects that end with a zero byte; the browser reads them from file descriptor 3
and answers on 4.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

PATIENCE = 30.0
"""Seconds that anything may take, on a busy machine."""


def chromium() -> str | None:
    """The program, None where it is not installed."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return next((found for name in names if (found := shutil.which(name))), None)


class Page:
    """One page of a browser of its own; a context manager."""

    def __init__(self, program: str, folder: Path, width: int = 1280, height: int = 900) -> None:
        there, self._out = os.pipe()
        self._in, back = os.pipe()
        # The child sees the pipe's ends as 3 and 4, whatever their numbers are here.
        script = f'exec "$@" 3<&{there} 4>&{back}'
        options = ("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
                   "--remote-debugging-pipe", f"--user-data-dir={folder / 'profile'}")  # fmt: skip
        self._process = subprocess.Popen(
            ["bash", "-c", script, "bash", program, *options, "about:blank"],
            pass_fds=(there, back),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(there)
        os.close(back)
        self._number, self._rest = 0, b""
        self.events: list[dict[str, Any]] = []
        target = self._ask("Target.createTarget", None, url="about:blank")["targetId"]
        attached = self._ask("Target.attachToTarget", None, targetId=target, flatten=True)
        self._session = attached["sessionId"]
        self.ask("Page.enable")
        self.ask("Network.enable")
        self.ask("Runtime.enable")
        self.downloads = folder / "downloads"
        self.downloads.mkdir()
        self._ask("Browser.setDownloadBehavior", None, behavior="allow",
                  downloadPath=str(self.downloads))  # fmt: skip
        self.resize(width, height)

    def __enter__(self) -> Page:
        return self

    def __exit__(self, *error: object) -> None:
        self._process.terminate()
        self._process.wait(PATIENCE)
        os.close(self._out)
        os.close(self._in)

    def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        return self._ask(method, self._session, **parameters)

    def _ask(self, method: str, session: str | None, **parameters: Any) -> dict[str, Any]:
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._read()
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]
            self.events.append(answer)

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            chunk = os.read(self._in, 1 << 16)
            if not chunk:
                raise RuntimeError("the browser has gone")
            self._rest += chunk
        message, self._rest = self._rest.split(b"\0", 1)
        return json.loads(message)

    def open(self, path: Path) -> None:
        self.ask("Page.navigate", url=path.resolve().as_uri())
        self.wait("document.readyState === 'complete'")

    def run(self, script: str) -> Any:
        """The value of an expression in the page."""
        found = self.ask("Runtime.evaluate", expression=script, returnByValue=True,
                         awaitPromise=True)  # fmt: skip
        if "exceptionDetails" in found:
            raise RuntimeError(found["exceptionDetails"])
        return found["result"].get("value")

    def wait(self, script: str) -> Any:
        """Until an expression is true; returns its value."""
        end = time.monotonic() + PATIENCE
        while not (found := self.run(script)):
            if time.monotonic() > end:
                raise TimeoutError(script)
            time.sleep(0.05)
        return found

    def errors(self) -> list[str]:
        """Exceptions of the page's scripts so far."""
        thrown = [e for e in self.events if e.get("method") == "Runtime.exceptionThrown"]
        return [str(e["params"]["exceptionDetails"]) for e in thrown]

    def requests(self) -> list[str]:
        """Addresses that the page has asked for so far."""
        sent = [e for e in self.events if e.get("method") == "Network.requestWillBeSent"]
        return [e["params"]["request"]["url"] for e in sent]

    def resize(self, width: int, height: int) -> None:
        self.ask("Emulation.setDeviceMetricsOverride", width=width, height=height,
                 deviceScaleFactor=1, mobile=width < 600)  # fmt: skip

    def look(self, scheme: str = "light", medium: str = "") -> None:
        """scheme: light or dark. medium: print, or "" for the screen."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.ask("Emulation.setEmulatedMedia", media=medium, features=features)

    def place(self, selector: str) -> tuple[float, float, float, float]:
        """x, y, width, height of an element that is scrolled into view."""
        found = self.run(
            f"(() => {{const e = document.querySelector({json.dumps(selector)});"
            "e.scrollIntoView({block: 'center', behavior: 'instant'});"
            "const r = e.getBoundingClientRect(); return [r.x, r.y, r.width, r.height]})()"
        )
        return found[0], found[1], found[2], found[3]

    def mouse(self, kind: str, x: float, y: float, clicks: int = 0) -> None:
        """kind: moved, pressed or released."""
        pressed = {"button": "left", "buttons": 1} if clicks else {}
        self.ask("Input.dispatchMouseEvent", type=f"mouse{kind.title()}", x=x, y=y,
                 clickCount=clicks, **pressed)  # fmt: skip

    def click(self, selector: str, clicks: int = 1) -> None:
        x, y, width, height = self.place(selector)
        for n in range(1, clicks + 1):
            self.mouse("pressed", x + width / 2, y + height / 2, n)
            self.mouse("released", x + width / 2, y + height / 2, n)

    def tap(self, x: float, y: float) -> None:
        """With a finger, on a page that was told that there are some (`Page.fingers`)."""
        place = [{"x": x, "y": y}]
        self.ask("Input.dispatchTouchEvent", type="touchStart", touchPoints=place)
        self.ask("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])

    def fingers(self) -> None:
        """Behave as a touch screen."""
        self.ask("Emulation.setTouchEmulationEnabled", enabled=True, maxTouchPoints=5)

    def drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        self.mouse("moved", *start)
        self.mouse("pressed", *start, 1)
        for k in range(1, 6):
            x, y = (a + k / 5 * (b - a) for a, b in zip(start, end, strict=True))
            self.mouse("moved", x, y, 1)
        self.mouse("released", *end, 1)

    def download(self) -> Path:
        """The file that the page has just offered."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            found = [p for p in self.downloads.iterdir() if p.suffix != ".crdownload"]
            if found and found[0].stat().st_size:
                return found[0]
            time.sleep(0.05)
        raise TimeoutError("no file came")

    def screenshot(self, path: Path, whole: bool = True) -> None:
        found = self.ask("Page.captureScreenshot", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(found["data"]))

    def pdf(self, path: Path) -> None:
        found = self.ask("Page.printToPDF", printBackground=True)
        path.write_bytes(base64.b64decode(found["data"]))
