"""An open-loop client: requests leave when their time has come, whether or not earlier ones were answered, and each is timed from
the moment it was to leave. A server that stalls so delays all that come meanwhile, and a client that is late counts against it."""
import asyncio
import dataclasses
import gc
import random
import time


@dataclasses.dataclass
class Result:
    """Seconds. `latencies` from the intended time to the answer's last byte, `late` from it to the first byte sent."""

    latencies: list[float] = dataclasses.field(default_factory=list)
    late: list[float] = dataclasses.field(default_factory=list)
    bad: int = 0
    connections: int = 0


class Client:
    """POSTs over kept TLS connections, as many as there are questions at a time."""

    def __init__(self, port: int, path: str, context):
        self.port, self.path, self.context = port, path, context
        self.idle = []
        self.result = Result()

    async def _open(self):
        self.result.connections += 1
        return await asyncio.open_connection("127.0.0.1", self.port, ssl=self.context)

    def _message(self, body: bytes) -> bytes:
        head = f"POST {self.path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        return head.encode() + body

    async def _ask(self, message: bytes, intended: float, is_good) -> None:
        try:
            reader, writer = self.idle.pop() if self.idle else await self._open()
            self.result.late.append(time.perf_counter() - intended)
            writer.write(message)
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = int(head.split(b"content-length:", 1)[1].split(b"\r\n", 1)[0])
            body = await reader.readexactly(length)
            self.result.latencies.append(time.perf_counter() - intended)
            self.result.bad += not (head.startswith(b"http/1.1 200") and is_good(body))
            self.idle.append((reader, writer))
        except (OSError, IndexError, ValueError, asyncio.IncompleteReadError):
            self.result.bad += 1

    async def run(self, bodies: list[bytes], rate: float, seconds: float, seed: int, is_good, connections=16) -> Result:
        """`rate` a second on average, at random times (Poisson), for so long."""
        generator, messages = random.Random(seed), [self._message(body) for body in bodies]
        self.idle = [await self._open() for _ in range(connections)]
        asked, gc_was = set(), gc.isenabled()
        # The client's own pauses would be taken for the server's.
        gc.disable()
        try:
            began = intended = time.perf_counter()
            while (intended := intended + generator.expovariate(rate)) < began + seconds:
                if (pause := intended - time.perf_counter()) > 0:
                    await asyncio.sleep(pause)
                task = asyncio.create_task(self._ask(messages[len(self.result.late) % len(messages)], intended, is_good))
                asked.add(task)
                task.add_done_callback(asked.discard)
            await asyncio.wait_for(asyncio.gather(*asked), 30)
        finally:
            if gc_was:
                gc.enable()
            for _, writer in self.idle:
                writer.close()
        return self.result
