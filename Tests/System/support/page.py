"""`modelcache ui` and `kubectl modelcache ui` as processes: the address that they print, and requests to it."""
import http.client
import json
import re
import typing

from .processes import Running, wait_until


class Page:
    def __init__(self, program: Running):
        self.program = program
        self.url = wait_until(self._address, 120, "the page's address is printed")
        self.port = int(self.url.rstrip("/").rpartition(":")[2])

    def _address(self) -> str | None:
        self.program.must_live()
        found = re.search(r"^http://127\.0\.0\.1:\d+/$", self.program.output(), re.M)
        return found[0] if found else None

    def request(self, path: str = "/", method: str = "GET", host: str | None = None) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, headers={"Host": host or f"127.0.0.1:{self.port}"})
            answer = connection.getresponse()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
        finally:
            connection.close()

    def data(self) -> dict:
        status, _, body = self.request("/data.json")
        assert status == 200, body
        return json.loads(body)

    def until(self, condition: typing.Callable[[dict], typing.Any], what: str) -> dict:
        """The first data that `condition` takes."""
        def met() -> dict | None:
            data = self.data()
            return data if condition(data) else None
        return wait_until(met, 120, what, every=0.2)
