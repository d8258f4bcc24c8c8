"""Makes the images; hack/images calls it. See there for the arguments' meaning."""
import argparse
import json
import pathlib

from archive import Image, write
from recipes import RECIPES, Places


def make(image: Image, path: pathlib.Path) -> str:
    """Writes the archive unless it already is what it would become; gives the image's id."""
    stamp = path.with_suffix(".json")
    inputs = image.inputs()
    try:
        known = json.loads(stamp.read_text())
        if known["inputs"] == inputs and known["size"] == path.stat().st_size:
            return known["id"]
    except (OSError, ValueError, KeyError):
        pass
    stamp.unlink(missing_ok=True)
    identity = write(image, path)
    stamp.write_text(json.dumps({"inputs": inputs, "id": identity, "size": path.stat().st_size}))
    return identity


def main() -> None:
    parser = argparse.ArgumentParser(prog="hack/images")
    parser.add_argument("names", nargs="*")
    parser.add_argument("--output", type=pathlib.Path, required=True)
    parser.add_argument("--distribution", type=pathlib.Path, required=True)
    parser.add_argument("--llama", type=pathlib.Path)
    parser.add_argument("--readers", type=pathlib.Path)
    parser.add_argument("--old", type=pathlib.Path)
    parser.add_argument("--tree", type=pathlib.Path)
    arguments = parser.parse_args()
    places = Places(arguments.distribution, arguments.llama, arguments.readers, arguments.old)
    rows = [("IMAGE", "SIZE", "ID", "PATH")]
    for name in arguments.names or RECIPES:
        image = RECIPES[name](places)
        if arguments.tree:
            for layer in image.layers:
                layer.write_folder(arguments.tree)
            continue
        path = arguments.output / f"{name}.tar"
        identity = make(image, path)
        rows.append((image.reference, f"{path.stat().st_size / 1e6:.1f} MB", identity, str(path)))
    if not arguments.tree:
        widths = [max(len(row[column]) for row in rows) for column in range(3)]
        for row in rows:
            print("  ".join([*(cell.ljust(width) for cell, width in zip(row, widths)), row[3]]))


if __name__ == "__main__":
    main()
