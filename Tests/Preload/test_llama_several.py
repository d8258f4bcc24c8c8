"""Real llama.cpp reads a base model, its draft model, a projector and an adapter from caches of their own; its router has children that start late."""
import base64, json, os, shutil, signal, struct, subprocess, sys, time, urllib.request, zlib
import pytest
import gguf_files
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../Shared"))
from ports import free_port
from test_llama import completion, models, PROMPT  # noqa: F401
from test_several import three  # noqa: F401

GEMMA, SHARD = "gemma-3-270m-q4_k_m.gguf", "x-00001-of-00015.gguf"


@pytest.fixture(scope="module")
def adapter(tmp_path_factory):
    path = str(tmp_path_factory.mktemp("adapter") / "adapter.gguf")
    gguf_files.adapter(path)
    return path


@pytest.fixture(scope="module")
def projector(tmp_path_factory):
    path = str(tmp_path_factory.mktemp("projector") / "mmproj.gguf")
    gguf_files.projector(path)
    return path


def picture(red, green, blue, size=112):
    """A PNG of one colour, as a data URI."""
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    lines = (b"\0" + bytes((red, green, blue)) * size) * size
    png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", size, size, 8, 2, 0, 0, 0)) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")
    return "data:image/png;base64," + base64.b64encode(png).decode()


def serve(world, source):
    """`world` fills with the files of a folder."""
    shutil.rmtree(world.source)
    os.symlink(source, world.source)
    world.agent("--chunk", str(4 << 20), "--delay", "0.02", "--flags", "1")


def variables(worlds):
    first, *others = worlds
    return first.environment(MODELCACHE_MODELS=";".join(w.model for w in others))


class Server:
    """llama-server of the same build as `completion`."""

    def __init__(self, completion, folder, environment, *arguments):
        self.port = free_port()
        self.log = os.path.join(folder, f"server-{self.port}.log")
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen([os.path.join(os.path.dirname(completion), "llama-server"), "--port", str(self.port), "-t", "2", "-c", "256", "-np", "1", *arguments],
                                            env=environment, stdout=log, stderr=log)

    def said(self):
        return open(self.log, errors="replace").read()

    def ask(self, path, body=None, seconds=120):
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", json.dumps(body).encode() if body else None, {"Content-Type": "application/json"})
        end = time.monotonic() + seconds
        while True:
            try:
                with urllib.request.urlopen(request, timeout=seconds) as answer:
                    return json.load(answer)
            except OSError:
                # Not listening, or still loading.
                assert self.process.poll() is None and time.monotonic() < end, self.said()[-3000:]
                time.sleep(0.05)

    def complete(self, **more):
        return self.ask("/completion", {"prompt": PROMPT[1], "n_predict": 6, "temperature": 0, **more})["content"]

    def look(self, image):
        """What it says of an image, with the likelihood of each word."""
        content = [{"type": "image_url", "image_url": {"url": image}}, {"type": "text", "text": "Describe it."}]
        body = {"messages": [{"role": "user", "content": content}], "max_tokens": 4, "temperature": 0, "logprobs": True, "top_logprobs": 3}
        return [(word["token"], word["logprob"]) for word in self.ask("/v1/chat/completions", body)["choices"][0]["logprobs"]["content"]]

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)


def test_a_server_with_draft_model_and_adapter_says_the_same_as_from_disk(three, completion, models, adapter, tmp_path):  # noqa: F811
    base, draft, lore = three
    places = {"disk": (f"{models}/gemma/{GEMMA}", f"{models}/shards/{SHARD}", adapter), "caches": (f"{base.model}/{GEMMA}", f"{draft.model}/{SHARD}", f"{lore.model}/adapter.gguf")}
    serve(base, f"{models}/gemma")
    serve(draft, f"{models}/shards")
    serve(lore, os.path.dirname(adapter))
    said = {}
    for name, (model, small, adapts) in places.items():
        environment = variables(three) if name == "caches" else dict(os.environ)
        server = Server(completion, tmp_path, environment, "-m", model, "-md", small, "--lora", adapts, "--spec-type", "draft-simple")
        try:
            said[name] = server.complete()
            if name == "disk":
                assert server.complete(lora=[{"id": 0, "scale": 0}]) != said[name], "the adapter changes nothing"
            assert "loading draft model" in server.said() and "libossc_preload" not in server.said(), server.said()[-3000:]
        finally:
            server.stop()
    assert said["caches"] == said["disk"] and len(said["disk"]) > 10


def test_a_projector_and_its_base_are_read_from_two_caches(three, completion, models, projector, tmp_path):  # noqa: F811
    base, sight, _ = three
    serve(base, f"{models}/gemma")
    serve(sight, os.path.dirname(projector))
    seen = {}
    for name, arguments, environment in (
        ("disk", ["-m", f"{models}/gemma/{GEMMA}", "--mmproj", projector], dict(os.environ)),
        ("caches", ["-m", f"{base.model}/{GEMMA}", "--mmproj", f"{sight.model}/mmproj.gguf"], variables(three)),
    ):
        server = Server(completion, tmp_path, environment, *arguments)
        try:
            seen[name] = [server.look(picture(*colour)) for colour in ((255, 0, 0), (0, 40, 90))]
            assert "libossc_preload" not in server.said(), server.said()[-3000:]
        finally:
            server.stop()
    assert seen["caches"] == seen["disk"]
    assert seen["disk"][0] != seen["disk"][1], "the projector changes nothing"


@pytest.mark.parametrize("way", ["--models-dir", "--models-preset"])
def test_a_routers_children_that_start_after_the_agents_came_anew_read_their_models(three, completion, models, tmp_path, way):  # noqa: F811
    one, two, _ = three
    serve(one, f"{models}/gemma")
    serve(two, f"{models}/shards")
    # As mounts beside one another; the program sees the ModelCaches under these names.
    folder = tmp_path / "router"
    folder.mkdir()
    for name, world in (("one", one), ("two", two)):
        os.symlink(world.cache, folder / name)
    preset = tmp_path / "preset.ini"
    preset.write_text(f"[one]\nmodel = {folder}/one/{GEMMA}\n\n[two]\nmodel = {folder}/two/{SHARD}\n")
    environment = one.environment(MODEL_DIR=f"{folder}/one", MODELCACHE_SOCKET=f"{folder}/one/.modelcache/agent.sock", MODELCACHE_MODELS=f"{folder}/two")
    server = Server(completion, tmp_path, environment, way, str(folder if way == "--models-dir" else preset))
    try:
        assert {m["id"] for m in server.ask("/models")["data"]} == {"one", "two"}
        for world in (one, two):
            world.kill()
            world.agent("--chunk", str(4 << 20), "--delay", "0.02", "--flags", "1")
        said = {name: server.complete(model=name) for name in ("one", "two")}
        # The shards are the same weights.
        assert said["one"] == said["two"] and len(said["one"]) > 10
        assert "libossc_preload" not in server.said(), server.said()[-3000:]
    finally:
        server.stop()
