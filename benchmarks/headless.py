"""Chromium without a window, driven over a pipe by its DevTools protocol: when a page is ready, and what that cost."""

from __future__ import annotations

import itertools
import json
import os
import select
import subprocess
import time
from pathlib import Path
from typing import Any

LONGEST_S = 120.0


class Headless:
    """A Chromium that is up, so that a page's own cost can be told from that of its start.

    Parameters
    ----------
    chromium : the program.
    folder : for its profile.
    """

    def __init__(self, chromium: str, folder: Path) -> None:
        to_read, self._out = os.pipe()
        self._in, to_write = os.pipe()
        command = [
            chromium, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--window-size=1400,1000",
            "--disable-background-networking", f"--user-data-dir={folder}", "--remote-debugging-pipe", "about:blank",
        ]  # fmt: skip
        # The protocol is on descriptors 3 (commands) and 4 (answers).
        script = f'exec "$@" 3<&{to_read} 4>&{to_write}'
        self.process = subprocess.Popen(
            ["bash", "-c", script, "chromium", *command], pass_fds=(to_read, to_write), stderr=subprocess.DEVNULL
        )
        os.close(to_read)
        os.close(to_write)
        self._numbers, self._rest = itertools.count(1), b""

    def ask(self, method: str, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        """Answer to one command."""
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": parameters} | ({"sessionId": session} if session else {})
        os.write(self._out, json.dumps(message).encode() + b"\0")
        until = time.monotonic() + LONGEST_S
        while time.monotonic() < until:
            for answer in self._answers():
                if answer.get("id") == number:
                    return answer.get("result", {})
        raise TimeoutError(f"{method}: no answer")

    def _answers(self) -> list[dict[str, Any]]:
        if not select.select([self._in], [], [], 1.0)[0]:
            return []
        *whole, self._rest = (self._rest + os.read(self._in, 1 << 20)).split(b"\0")
        return [json.loads(text) for text in whole]

    def opening(self, page: Path, ready: str) -> tuple[float, float]:
        """Wall time and CPU time of the page's main thread, s, until a JavaScript expression is true in it."""
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self.ask("Performance.enable", session, timeDomain="threadTicks")
        wall = time.perf_counter()
        self.ask("Page.navigate", session, url=page.as_uri())
        while not self.ask("Runtime.evaluate", session, expression=ready).get("result", {}).get("value"):
            if time.perf_counter() - wall > LONGEST_S:
                raise TimeoutError(f"{page}: {ready} never came true")
            time.sleep(0.02)
        metrics = self.ask("Performance.getMetrics", session)["metrics"]
        spent = next(metric["value"] for metric in metrics if metric["name"] == "ThreadTime")
        found = time.perf_counter() - wall, float(spent)
        self.ask("Target.closeTarget", targetId=target)
        return found

    def close(self) -> None:
        """End it."""
        self.process.terminate()
        self.process.wait(30)
        os.close(self._in)
        os.close(self._out)
