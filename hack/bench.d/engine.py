"""hack/bench engine: how fast one object gets from a web server on this machine into the cache.

Beside ours: the raw limit (raw.c, the fastest of its piece sizes), the same over TLS, the OSS Connector's engine, s3fs
and rclone mount. Every contender reads the same file from the same nginx over loopback, one after another in turns, so
that a slow moment of the machine meets all of them. What the cipher alone costs (`openssl speed`) is measured in each turn too:
TLS is to cost the processor no more than 1.25 times plain HTTP plus the cipher.
"""
import argparse
import contextlib
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time

import common
from common import MIB, say

TLS = "modelcache over TLS"
PIECES = [256 * 1024, 512 * 1024, MIB, 2 * MIB, 4 * MIB]
LISTING = """
    location = /bucket {{ default_type application/xml; return 200 '{xml}'; }}
    location = /bucket/ {{ default_type application/xml; return 200 '{xml}'; }}
"""


def listing(size: int) -> str:
    # s3fs and rclone look at the bucket first; this is all they need to know.
    xml = (
        '<?xml version="1.0" encoding="UTF-8"?><ListBucketResult><Name>bucket</Name><Prefix></Prefix>'
        "<MaxKeys>1000</MaxKeys><IsTruncated>false</IsTruncated><Contents><Key>object</Key>"
        f"<LastModified>2026-01-01T00:00:00.000Z</LastModified><ETag>\"0\"</ETag><Size>{size}</Size>"
        "<StorageClass>STANDARD</StorageClass></Contents></ListBucketResult>")
    return LISTING.format(xml=xml)


def tls(port: int, work: pathlib.Path) -> tuple[str, pathlib.Path]:
    """nginx's lines for a second port with TLS, and the certificate to trust."""
    certificate, key = work / "certificate.pem", work / "key.pem"
    run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1",
        "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate)
    return f"listen 127.0.0.1:{port} ssl; ssl_certificate {certificate}; ssl_certificate_key {key}; ssl_protocols TLSv1.2 TLSv1.3;", certificate


def run(*arguments: object, environment=None) -> str:
    result = subprocess.run([*map(str, arguments)], text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, check=False, timeout=300)
    if result.returncode:
        raise RuntimeError(f"{arguments[0]} ended with {result.returncode}: {(result.stderr + result.stdout)[-600:]}")
    return result.stdout.strip()


def cipher() -> float:
    """Seconds of processor time that the cipher of nginx and OpenSSL's choice takes for a GB, in records of full size."""
    line = run("openssl", "speed", "-seconds", 1, "-bytes", 16384, "-evp", "aes-256-gcm", "-decrypt").splitlines()[-1]
    return 1e6 / float(re.fullmatch(r"AES-256-GCM\s+([\d.]+)k", line)[1])


def read_through_mount(path: pathlib.Path, size: int) -> float:
    buffer = bytearray(4 * MIB)
    started = time.monotonic()
    done = 0
    with open(path, "rb", buffering=0) as source:
        while count := source.readinto(buffer):
            done += count
    if done != size:
        raise RuntimeError(f"{path}: {done} bytes of {size}")
    return time.monotonic() - started


@contextlib.contextmanager
def mounted(command: list[str], folder: pathlib.Path, environment: dict[str, str], log: pathlib.Path):
    folder.mkdir(exist_ok=True)
    program = common.Running(command, log, environment=environment)
    try:
        def there() -> bool:
            program.must_live()
            return os.path.ismount(folder)
        common.wait_until(there, 30, f"{command[0]} mounts")
        yield
    finally:
        common.unmount_below(folder)
        program.stop()


def s3fs(port: int, size: int, work: pathlib.Path, connections: int) -> float:
    mount = work / "s3fs"
    keys = work / "passwd"
    keys.write_text("bench:benchbench\n")
    keys.chmod(0o600)
    command = ["s3fs", "bucket", str(mount), "-f", "-o", f"url=http://127.0.0.1:{port}", "-o", "use_path_request_style", "-o", f"passwd_file={keys}",
               "-o", f"parallel_count={connections}", "-o", f"tmpdir={work}", "-o", "sigv2"]
    with mounted(command, mount, common.clean_environment(), work / "s3fs.log"):
        return read_through_mount(mount / "object", size)


def rclone(port: int, size: int, work: pathlib.Path, connections: int) -> float:
    mount = work / "rclone"
    environment = common.clean_environment(RCLONE_CONFIG="/dev/null", RCLONE_CONFIG_STORE_TYPE="s3", RCLONE_CONFIG_STORE_PROVIDER="Other",
                       RCLONE_CONFIG_STORE_ENDPOINT=f"http://127.0.0.1:{port}", RCLONE_CONFIG_STORE_ACCESS_KEY_ID="bench",
                       RCLONE_CONFIG_STORE_SECRET_ACCESS_KEY="benchbench", RCLONE_CONFIG_STORE_FORCE_PATH_STYLE="true")
    command = ["rclone", "mount", "store:bucket", str(mount), "--read-only", "--buffer-size", "64M", "--vfs-read-chunk-size", "128M", "--attr-timeout", "1h"]
    with mounted(command, mount, environment, work / "rclone.log"):
        return read_through_mount(mount / "object", size)


def main() -> int:
    parser = argparse.ArgumentParser(prog="hack/bench engine")
    parser.add_argument("--bytes", type=int, default=2 << 30)
    parser.add_argument("--connections", type=int, default=4)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--connector", type=pathlib.Path, help="the extension module of osstorchconnector")
    parser.add_argument("--raw", type=pathlib.Path, required=True)
    parser.add_argument("--modelcache", type=pathlib.Path, required=True)
    parser.add_argument("--only", help="contenders, separated by commas")
    options = parser.parse_args()
    size, connections = options.bytes, options.connections

    with contextlib.ExitStack() as stack:
        source = stack.enter_context(common.huge_tmpfs())
        target = stack.enter_context(common.huge_tmpfs())
        work = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="modelcache-bench-", dir="/dev/shm")))
        stack.callback(common.unmount_below, work)
        (source / "bucket").mkdir()
        say(f"making a file of {size >> 20} MiB")
        common.random_file(source / "bucket/object", size)
        secure_port = common.free_port()
        lines, certificate = tls(secure_port, work)
        port = stack.enter_context(common.nginx(source, listing=listing(size) + lines, hosts={"bucket.store.test": source / "bucket"}))

        def raw(piece: int) -> float:
            file = target / "raw"
            try:
                return float(run(options.raw, "127.0.0.1", port, "/bucket/object", size, connections, piece, file))
            finally:
                file.unlink(missing_ok=True)

        # By contender, seconds of processor time a GB in the process that receives.
        processor: dict[str, list[float]] = {}

        def ours(name: str, origin: str) -> float:
            folder = target / "ours"
            folder.mkdir(exist_ok=True)
            report = json.loads(run(options.modelcache, "engine-bench", "--url", f"{origin}/bucket/object", "--directory", folder,
                                    "--connections", connections, environment=os.environ | {"SSL_CERT_FILE": str(certificate)}).splitlines()[-1])
            if report["bytes"] != size:
                raise RuntimeError(f"modelcache received {report['bytes']} bytes of {size}")
            # The program of an older commit does not say.
            if "processorSeconds" in report:
                processor.setdefault(name, []).append(report["processorSeconds"] * 1e9 / size)
            return report["seconds"]

        def connector() -> float:
            # It puts the bucket into the host name, always. The name is known to this one process alone:
            # a hosts file bound over the system's in a mount namespace of its own.
            hosts = work / "hosts"
            hosts.write_text("127.0.0.1 localhost bucket.store.test\n")
            return float(run("unshare", "--mount", "--propagation", "private", "sh", "-c",
                             'mount --bind "$1" /etc/hosts && shift && exec "$@"', "sh", hosts,
                             sys.executable, pathlib.Path(__file__).with_name("connector_read.py"), options.connector,
                             f"http://store.test:{port}", "bucket", "object", size, work).splitlines()[-1])

        contenders = {f"raw {piece >> 10} KiB": (lambda piece=piece: raw(piece)) for piece in PIECES}
        contenders["modelcache"] = lambda: ours("modelcache", f"http://127.0.0.1:{port}")
        contenders[TLS] = lambda: ours(TLS, f"https://127.0.0.1:{secure_port}")
        contenders["OSS Connector engine"] = connector
        contenders["s3fs"] = lambda: s3fs(port, size, work, connections)
        contenders["rclone mount"] = lambda: rclone(port, size, work, connections)
        if options.only:
            contenders = {n: c for n, c in contenders.items() if any(n.startswith(o) for o in options.only.split(","))}
        seconds: dict[str, list[float]] = {name: [] for name in contenders}
        failures: dict[str, str] = {}
        for turn in range(options.runs):
            for name, contender in contenders.items():
                if name in failures:
                    continue
                common.back_memory(size + size // 2)
                try:
                    seconds[name].append(contender())
                    say(f"run {turn + 1}/{options.runs}  {name}: {size / seconds[name][-1] / 1e9:.2f} GB/s")
                except Exception as error:  # noqa: BLE001: one contender's failure is a line of the table
                    failures[name] = str(error)
                    say(f"{name} FAILED: {error}")
            if TLS in contenders:
                processor.setdefault("the cipher alone", []).append(cipher())

    medians = {name: common.median(values) for name, values in seconds.items() if values and name not in failures}
    limit = min((m for n, m in medians.items() if n.startswith("raw")), default=None)
    costs = {name: common.median(values) for name, values in processor.items()}
    rows = [[n, f"{m:.3f}", f"{size / m / 1e9:.2f}", f"{limit / m:.2f}" if limit else "-", f"{costs[n]:.2f}" if n in costs else "-"]
            for n, m in medians.items()]
    rows += [[n, "-", "-", "-", f"{costs[n]:.2f}"] for n in costs if n not in medians and n not in failures]
    rows += [[n, "failed", "-", "-", "-"] for n in failures]
    common.table(f"{size >> 20} MiB over loopback, {connections} connections, median of {options.runs}",
                 ["", "seconds", "GB/s", "of the raw limit", "processor s/GB"], rows)
    common.record("engine", {"bytes": size, "connections": connections, "seconds": seconds, "medians": medians,
                             "processorSecondsPerGB": processor, "failures": failures})
    good = not failures
    if "modelcache" in medians and limit:
        good &= common.verdict("share of the raw limit", limit / medians["modelcache"], 0.9, at_least=True)
    if "modelcache" in medians and "OSS Connector engine" in medians:
        good &= common.verdict("times the OSS Connector's engine", medians["OSS Connector engine"] / medians["modelcache"], 2, at_least=True)
    if "modelcache" in costs and TLS in costs:
        good &= common.verdict("TLS, of 1.25 times plain HTTP's processor time plus the cipher's",
                               costs[TLS] / (1.25 * costs["modelcache"] + costs["the cipher alone"]), 1, at_least=False)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
