"""Makes the images; hack/images calls it. See there for the arguments' meaning."""
import argparse
import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from archive import Image, Written, write
from recipes import RECIPES, Places, labels
from release_version import version


def make(image: Image, path: pathlib.Path) -> Written:
    """Writes the archive unless it already is what it would become."""
    stamp = path.with_suffix(".json")
    inputs = image.inputs()
    try:
        known = json.loads(stamp.read_text())
        if known["inputs"] == inputs and known["size"] == path.stat().st_size:
            return Written(known["id"], known["digest"])
    except (OSError, ValueError, KeyError):
        pass
    stamp.unlink(missing_ok=True)
    written = write(image, path)
    stamp.write_text(json.dumps({"inputs": inputs, "id": written.identity, "digest": written.digest, "size": path.stat().st_size}))
    return written


def main() -> None:
    parser = argparse.ArgumentParser(prog="hack/images")
    parser.add_argument("names", nargs="*")
    parser.add_argument("--output", type=pathlib.Path, required=True)
    parser.add_argument("--distribution", type=pathlib.Path, required=True)
    parser.add_argument("--llama", type=pathlib.Path)
    parser.add_argument("--readers", type=pathlib.Path)
    parser.add_argument("--old", type=pathlib.Path)
    parser.add_argument("--tree", type=pathlib.Path)
    parser.add_argument("--release", action="store_true")
    arguments = parser.parse_args()
    places = Places(arguments.distribution, arguments.llama, arguments.readers, arguments.old)
    rows = [("IMAGE", "SIZE", "ID", "DIGEST", "PATH")]
    for name in arguments.names or RECIPES:
        image = RECIPES[name](places)
        image = image._replace(labels=labels(name, image.reference))
        if arguments.tree:
            for layer in image.layers:
                layer.write_folder(arguments.tree)
            continue
        if arguments.release:
            image = image._replace(reference=image.reference.replace(":dev", f":v{version()}"), compressed=True)
        path = arguments.output / f"{name}.tar"
        written = make(image, path)
        rows.append((image.reference, f"{path.stat().st_size / 1e6:.1f} MB", *written, str(path)))
    if not arguments.tree:
        widths = [max(len(row[column]) for row in rows) for column in range(4)]
        for row in rows:
            print("  ".join([*(cell.ljust(width) for cell, width in zip(row, widths)), row[4]]))


if __name__ == "__main__":
    main()
