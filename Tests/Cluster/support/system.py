"""The store emulator and the paths of Tests/System, under a package name of their own: both suites call theirs `support`."""
import importlib.util
import pathlib
import sys

_FOLDER = pathlib.Path(__file__).resolve().parents[2] / "System" / "support"

if "system_support" not in sys.modules:
    _spec = importlib.util.spec_from_file_location(
        "system_support", _FOLDER / "__init__.py", submodule_search_locations=[str(_FOLDER)])
    sys.modules["system_support"] = importlib.util.module_from_spec(_spec)
    _spec.loader.exec_module(sys.modules["system_support"])

from system_support import paths  # noqa: E402
from system_support.processes import Running  # noqa: E402
from system_support.store import ACCESS_KEY, REGION, SECRET, Store  # noqa: E402

__all__ = ["ACCESS_KEY", "REGION", "SECRET", "Running", "Store", "paths"]
