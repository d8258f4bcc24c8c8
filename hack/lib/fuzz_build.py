"""Builds the fuzzer of Tests/Fuzz from the products' own build: .build/release.yaml, which `hack/build` leaves.

SwiftPM cannot build a fuzz target: libFuzzer brings `main`, and -sanitize=fuzzer would apply to every dependency, which
are most of a build's time. So the modules that read foreign bytes are compiled once more, with SwiftPM's own arguments
and edge coverage; everything else is linked as it was built.

usage: fuzz_build.py MANIFEST FOLDER     leaves FOLDER/fuzz
"""
import concurrent.futures
import json
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
# Modules with parsers of foreign bytes.
MODULES = ["Swarm", "ChunkStore", "Kubernetes", "ObjectStore", "Admission", "NodeAPI", "Sessions", "RangeTransfer", "Agent", "AgentAPI",
           "SwarmPlan", "TextCoding", "Transfer", "Models", "CRD", "Controller"]
# Files whose modules cannot be linked here: those of commands, of the preload library, and of tests. They are compiled with the targets.
BESIDE = [*(f"Sources/Operator/Command/Settings/{name}.swift" for name in ("BindAddress", "OperatorFailure", "OperatorSettings", "WebhookSettings")),
          "Sources/DataPlane/Preload/PresenceFacts.swift",
          "Tests/AdmissionTests/PatchApplier.swift"]
PRODUCTS = {"modelcache": "Command", "modelcache-operator": "OperatorCommand"}
# SwiftPM's arguments that name outputs of its own; the number says how many words each has.
OUTPUTS = {
    "-emit-dependencies": 1, "-emit-module": 1, "-emit-module-path": 2, "-output-file-map": 2, "-num-threads": 2,
    "-serialize-diagnostics": 1, "-parseable-output": 1, "-emit-objc-header": 1, "-emit-objc-header-path": 2, "-g": 1,
    "-enable-testing": 1}


def commands(manifest: pathlib.Path) -> list[list[str]]:
    """The arguments of every compiler call of the manifest."""
    found = re.finditer(r"^\s+args: (\[.*\])$", manifest.read_text(), re.M)
    return [json.loads(match[1]) for match in found]


def compile_command(arguments: list[str], output: pathlib.Path) -> list[str]:
    kept: list[str] = []
    rest = list(arguments)
    while rest:
        if rest[0] in OUTPUTS or re.fullmatch(r"-j\d+", rest[0]):
            del rest[:OUTPUTS.get(rest[0], 1)]
        else:
            # The word behind -Xcc is clang's own.
            count = 2 if rest[0] == "-Xcc" else 1
            kept += rest[:count]
            del rest[:count]
    return [*kept, "-sanitize=fuzzer", "-o", str(output)]


def sources(arguments: list[str]) -> list[pathlib.Path]:
    """A module's files: its response file (`-c @file`) names one a line."""
    lists = [pathlib.Path(a[1:]) for a in arguments if a.startswith("@")]
    return [pathlib.Path(line.strip("'")) for file in lists for line in file.read_text().split("\n") if line]


def is_newer(output: pathlib.Path, inputs: list[pathlib.Path]) -> bool:
    return output.exists() and all(output.stat().st_mtime > path.stat().st_mtime for path in inputs)


def run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"fuzz_build: {' '.join(command[:4])} ...\n{done.stdout}{done.stderr}"[-6000:])


def main() -> None:
    manifest, folder = map(pathlib.Path, sys.argv[1:])
    folder.mkdir(parents=True, exist_ok=True)
    every = commands(manifest)
    modules = {a[a.index("-module-name") + 1]: a for a in every if "-emit-module" in a and "-module-name" in a}
    jobs = []
    for name in MODULES:
        if not is_newer(folder / f"{name}.o", [*sources(modules[name]), pathlib.Path(__file__)]):
            jobs.append(compile_command(modules[name], folder / f"{name}.o"))

    targets = [*sorted((ROOT / "Tests/Fuzz").glob("*.swift")), *(ROOT / name for name in BESIDE)]
    # The targets' imports are those of the modules that know the others.
    shared = [a for a in modules["Admission"] if not a.startswith("@") and a != "-c"]
    shared[shared.index("-module-name") + 1] = "Fuzz"
    for name in ("Agent", "NodeAPI", "Kubernetes", "ChunkStore"):
        arguments = modules[name]
        shared += [word for i, a in enumerate(arguments) if a == "-Xcc" for word in arguments[i:i + 2]]
    jobs.append([*compile_command(shared, folder / "Fuzz.o"), "-c", *map(str, targets)])
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        list(pool.map(run, jobs))

    build = manifest.parent / "release"
    objects: dict[str, None] = {}
    for product, main_module in PRODUCTS.items():
        for line in (build / f"{product}.product/Objects.LinkFileList").read_text().split("\n"):
            owner = pathlib.Path(line.strip("'")).parent.name
            if line and owner not in {f"{m}.build" for m in [*MODULES, main_module]}:
                objects[line.strip("'")] = None
    # Names of files may have blanks.
    every_object = [*objects, *(str(folder / f"{module}.o") for module in [*MODULES, "Fuzz"])]
    (folder / "objects").write_text("\n".join(f"'{path}'" for path in every_object))
    run(["swiftc", "-sanitize=fuzzer", "-o", str(folder / "fuzz"), f"@{folder / 'objects'}", "-lcurl", "-lssl", "-lcrypto",
         "-lstdc++", "-Xlinker", "--gc-sections"])


if __name__ == "__main__":
    main()
