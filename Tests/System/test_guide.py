"""docs/get-started-standalone.md and docs/several-models.md, command by command, as a reader types them."""
import pathlib
import shutil
import sys

import pytest

from content import MIB, fifteen_shards, make_model
from support import paths
from support.processes import clean_environment, free_port
from support.store import ACCESS_KEY, REGION, SECRET

sys.path.insert(0, str(paths.REPOSITORY / "Tests/Shared"))
from guide import Guide  # noqa: E402

# Which file llama-server would load first, and what stands for it: a program that reads the file whole.
SHARD = "x-00001-of-00015.gguf"


def environment_of(place, programs: pathlib.Path) -> dict[str, str]:
    """A person's whose programs lie in a folder of the test. The library finds the agent beside itself."""
    environment = clean_environment(**{name: str(value) for name, value in place.settings().items() if name != "MODELCACHE_AGENT"})
    return environment | {"PATH": f"{programs}:{environment['PATH']}"}


@pytest.fixture
def guide(place, store, bucket, work, monkeypatch):
    monkeypatch.chdir(paths.REPOSITORY)
    for name in ("bin", "lib"):
        (work / "local" / name).mkdir(parents=True)
    # A reader types slower than a script.
    started = "&\nuntil modelcache status; do sleep 0.1; done\n"
    return Guide(paths.REPOSITORY / "docs/get-started-standalone.md", {
        # It is built, and nothing is written outside the test's folder.
        "hack/build\n": "", "sudo cp dist/": f"cp {paths.DIST}/", "/usr/local/": f"{work}/local/", "/tmp/model/": f"{work}/model/", "/etc/modelcache.secret": f"{work}/secret",
        "OSS_ACCESS_KEY_ID=...": f"OSS_ACCESS_KEY_ID={ACCESS_KEY}", "OSS_ACCESS_KEY_SECRET=...": f"OSS_ACCESS_KEY_SECRET={SECRET}",
        "OSS_REGION=cn-beijing": f"OSS_REGION={REGION}", "oss-cn-beijing-internal.aliyuncs.com": store.endpoint, "oss://bucket/": "oss://models/",
        "llama-server -m ": "sha256sum ", "DeepSeek-00001-of-00015.gguf": SHARD,
        "agent --http 127.0.0.1:9417 &\n": f"agent --http 127.0.0.1:{free_port()} {started}",
        "--http :9417 --peers static:10.0.0.11,10.0.0.12\n": f"--http 127.0.0.1:{free_port()} --peer-address 127.0.0.1:{free_port()} --peers static:127.0.0.2 {started}",
        " --watch": "",
    }, environment_of(place, work / "local/bin"))


@pytest.fixture
def several(place, store, work, monkeypatch):
    monkeypatch.chdir(paths.REPOSITORY)
    (work / "folders").mkdir()
    for folder, file in (("bin", paths.MODELCACHE), ("lib", paths.PRELOAD)):
        (work / "opt" / folder).mkdir(parents=True)
        shutil.copy(file, work / "opt" / folder)
    return Guide(paths.REPOSITORY / "docs/several-models.md", {
        "/opt/modelcache/": f"{work}/opt/", "oss-cn-hangzhou-internal.aliyuncs.com": store.endpoint, "OSS_ACCESS_KEY_ID=...": f"OSS_ACCESS_KEY_ID={ACCESS_KEY}",
        "OSS_ACCESS_KEY_SECRET=...": f"OSS_ACCESS_KEY_SECRET={SECRET} OSS_REGION={REGION}",
        "='/models/": f"='{work}/folders/", ";/models/": f";{work}/folders/", "-m /models/": f"-m {work}/folders/", "-md /models/": f"-md {work}/folders/",
        "llama-server -m ": "sha256sum ", " -md ": " ",
    }, environment_of(place, work / "opt/bin"))


def test_a_reader_of_the_guide_reads_the_model_with_each_of_its_commands(guide, bucket, place):
    model = fifteen_shards(bucket)
    guide.run()
    assert SHARD in guide.run()
    assert model.digests[SHARD] in guide.run()
    assert model.digests[SHARD] in guide.run()
    place.close()
    said = guide.run()
    assert "deepseek/" in said
    place.close()
    guide.run()
    assert guide.over


def test_a_reader_of_the_page_on_several_models_reads_both_with_each_of_its_commands(several, bucket):
    base = make_model(bucket, "qwen/", {"qwen-00001-of-00015.gguf": 5 * MIB})
    draft = make_model(bucket, "qwen-draft/", {"draft.gguf": 3 * MIB})
    digests = [base.digests["qwen-00001-of-00015.gguf"], draft.digests["draft.gguf"]]
    for _ in range(2):
        said = several.run()
        assert all(digest in said for digest in digests), said
    assert several.over
