"""Reads one object with the OSS Connector's own engine and prints the seconds.

The engine is the extension module of PyPI's osstorchconnector; the package around it wants torch, so the
module alone is loaded.

usage: connector_read.py MODULE ENDPOINT BUCKET KEY BYTES FOLDER
"""
import importlib.util
import json
import mmap
import os
import sys
import time

module, endpoint, bucket, key, size, folder = sys.argv[1:]
spec = importlib.util.spec_from_file_location("oss_connector", module)
engine = importlib.util.module_from_spec(spec)
spec.loader.exec_module(engine)

credentials = os.path.join(folder, "credentials.json")
with open(credentials, "w") as out:
    json.dump({"AccessKeyId": "bench", "AccessKeySecret": "bench", "SecurityToken": "", "Expiration": "2099-01-01T00:00:00Z"}, out)
config = os.path.join(folder, "config.json")
with open(config, "w") as out:
    json.dump({"logLevel": 2, "logPath": os.path.join(folder, "connector.log"), "auditPath": os.path.join(folder, "audit.log")}, out)

store = engine.new_oss_dataset(endpoint, credentials, None, config, "bench", 0, 1, "cn-bench")
# Its target is memory, as in its own use; huge pages are asked for, and faulting them in counts as it does for the cache.
buffer = mmap.mmap(-1, int(size))
buffer.madvise(mmap.MADV_HUGEPAGE)
started = time.monotonic()
source = store.open_ro(bucket, key, int(size), 0, "")
done, view = 0, memoryview(buffer)
while done < int(size):
    count = source.readinto(view[done:])
    if count <= 0:
        sys.exit(f"readinto gave {count} at {done}: {source.error_msg()}")
    done += count
print(f"{time.monotonic() - started:.6f}", flush=True)
# Its threads do not always end; the measurement is over.
os._exit(0)
