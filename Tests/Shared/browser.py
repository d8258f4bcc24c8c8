"""Headless Chromium (Debian's package `chromium`) with one page, over the pipe of its debugging protocol
(https://chromedevtools.github.io/devtools-protocol/): no port, and nothing but the standard library."""
import base64
import contextlib
import json
import os
import pathlib
import select
import shutil
import subprocess
import tempfile
import time

PROGRAM = shutil.which("chromium")
# Its first start on a busy machine takes this long at most.
PATIENCE = 120


class Browser:
    def __init__(self, url: str, width: int = 1280, height: int = 900, dark: bool = False):
        if not PROGRAM:
            raise FileNotFoundError("no chromium in PATH: apt-get install chromium")
        self._folder = tempfile.mkdtemp(prefix="mcb-")
        reads, self._out = os.pipe()
        self._in, writes = os.pipe()
        # Everything that a user's browser asks its maker for is off.
        arguments = [
            "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--disable-background-networking",
            "--disable-component-update", "--disable-sync", "--no-proxy-server", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
            f"--user-data-dir={self._folder}", "--remote-debugging-pipe", "about:blank"]
        # It reads commands at descriptor 3 and writes at 4.
        self._process = subprocess.Popen(
            ["bash", "-c", f'exec "$@" 3<&{reads} 4>&{writes}', "bash", PROGRAM, *arguments], pass_fds=(reads, writes), start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={"HOME": self._folder, "TMPDIR": self._folder, "PATH": os.environ["PATH"]})
        os.close(reads)
        os.close(writes)
        self._number, self._rest, self._session = 0, b"", None
        # What the page complained of: exceptions, and what its policy kept from running.
        self.complaints: list[str] = []
        try:
            target = self._call("Target.createTarget", url="about:blank")["targetId"]
            self._session = self._call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
            for domain in ("Page", "Runtime", "Log"):
                self._call(f"{domain}.enable")
            self.resize(width, height)
            if dark:
                self._call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark"}])
            self._call("Page.navigate", url=url)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> "Browser":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        for descriptor in (self._in, self._out):
            with contextlib.suppress(OSError):
                os.close(descriptor)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _call(self, method: str, **parameters: object) -> dict:
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters} | ({"sessionId": self._session} if self._session else {})
        os.write(self._out, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + PATIENCE
        while True:
            answer = self._receive(deadline, method)
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]
            self._note(answer)

    def _receive(self, deadline: float, what: str) -> dict:
        while b"\0" not in self._rest:
            if not select.select([self._in], [], [], max(0.0, deadline - time.monotonic()))[0]:
                raise TimeoutError(f"chromium: no answer to {what}")
            if not (more := os.read(self._in, 1 << 16)):
                raise ConnectionError(f"chromium ended: {what}")
            self._rest += more
        message, _, self._rest = self._rest.partition(b"\0")
        return json.loads(message)

    def _note(self, event: dict) -> None:
        if event.get("method") == "Runtime.exceptionThrown":
            self.complaints.append(json.dumps(event["params"]["exceptionDetails"]))
        if event.get("method") == "Log.entryAdded" and event["params"]["entry"]["source"] == "security":
            self.complaints.append(event["params"]["entry"]["text"])

    def evaluate(self, expression: str) -> object:
        """The value of a JavaScript expression in the page."""
        answer = self._call("Runtime.evaluate", expression=expression, returnByValue=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(json.dumps(answer["exceptionDetails"]))
        return answer["result"].get("value")

    def text(self, selector: str = "body") -> str:
        """As a reader sees it."""
        return str(self.evaluate(f"document.querySelector({json.dumps(selector)})?.innerText ?? ''"))

    def until(self, selector: str, *words: str, seconds: float = PATIENCE) -> str:
        """The text once every one of the words is in it."""
        deadline = time.monotonic() + seconds
        while not all(word in (text := self.text(selector)) for word in words):
            if time.monotonic() > deadline:
                raise AssertionError(f"not within {seconds:g} s: {words} in {selector}\n{self.text()}")
            time.sleep(0.05)
        return text

    def resize(self, width: int, height: int) -> None:
        self._call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def picture(self, file: pathlib.Path) -> None:
        """The page from top to bottom, as PNG."""
        height = self.evaluate("document.documentElement.scrollHeight")
        width = self.evaluate("document.documentElement.clientWidth")
        answer = self._call("Page.captureScreenshot", format="png", captureBeyondViewport=True,
                            clip={"x": 0, "y": 0, "width": width, "height": height, "scale": 1})
        file.write_bytes(base64.b64decode(answer["data"]))
