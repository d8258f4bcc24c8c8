"""Samples while the soak goes on: processes and mounts each ten seconds, Kubernetes objects each thirty."""
import threading

from soak import mounts, objects, processes
from support.models import NODES

# Seconds.
EVERY, OBJECTS_EVERY = 10.0, 30.0


class Sampler(threading.Thread):
    def __init__(self, world):
        super().__init__(name="sampler", daemon=True)
        self._world, self._over = world, threading.Event()
        self.looks: list[tuple[float, list[processes.Sample]]] = []
        self.mounts: list[tuple[float, dict[str, int]]] = []
        self.objects: list[tuple[float, dict[str, int]]] = []

    def stop(self) -> None:
        self._over.set()
        self.join(60)

    def run(self) -> None:
        next_objects = 0.0
        while not self._over.is_set():
            now = self._world.timeline.now
            self.looks.append((now, processes.look(self._world.cluster.name, now)))
            self.mounts.append((now, {node: len(mounts.own(mounts.of_node(self._world.cluster.state, node))) for node in NODES}))
            if now >= next_objects:
                next_objects = now + OBJECTS_EVERY
                listed = self._world.cluster.list_once(",".join(objects.KINDS))
                if listed is not None:
                    self.objects.append((self._world.timeline.now, objects.counted(listed)))
            self._over.wait(max(0.1, EVERY - (self._world.timeline.now - now)))

