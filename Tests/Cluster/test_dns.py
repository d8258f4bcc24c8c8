"""The answers of hack/lib/cluster/dns follow from Services and Endpoints alone: no cluster needed."""
import importlib.machinery
import importlib.util
import pathlib
import random
import socket
import struct

import pytest

FILE = pathlib.Path(__file__).resolve().parents[2] / "hack/lib/cluster/dns"
loader = importlib.machinery.SourceFileLoader("cluster_dns", str(FILE))
dns = importlib.util.module_from_spec(importlib.util.spec_from_loader("cluster_dns", loader))
loader.exec_module(dns)


@pytest.fixture
def records():
    made = dns.Records()
    made.services = {
        "models/web": {"spec": {"clusterIP": "10.0.0.7", "ports": [{"name": "http", "port": 80}]}},
        "models/peers": {"spec": {"clusterIP": "None"}},
        "models/empty": {"spec": {"clusterIP": "None"}},
        "models/outside": {"spec": {"type": "ExternalName", "externalName": "store.example.com"}},
    }
    made.endpoints = {"models/peers": {"subsets": [{
        "addresses": [{"ip": f"10.1.0.{n}", **({"hostname": "first"} if n == 1 else {})} for n in range(1, 61)],
        "notReadyAddresses": [{"ip": "10.1.0.99"}],
        "ports": [{"name": "http", "port": 9418, "protocol": "TCP"}]}]}}
    return made


def query(name, kind=dns.A, extra=b""):
    return struct.pack(">6H", 7, 0x0100, 1, 0, 0, 1 if extra else 0) + dns.encode_name(name) + struct.pack(">2H", kind, 1) + extra


def ask(records, name, kind=dns.A, limit=512, extra=b""):
    """(code, whether cut, number of answers, message)"""
    message = dns.respond(query(name, kind, extra), records, 5, limit)
    identity, flags, _, answers, _, _ = struct.unpack(">6H", message[:12])
    assert identity == 7 and flags & 0x8000
    return flags & 15, bool(flags & 0x0200), answers, message


def test_a_service_answers_with_its_address_and_has_no_other_kind(records):
    code, _, answers, message = ask(records, "WEB.models.svc.cluster.local")
    assert (code, answers) == (0, 1) and message.endswith(socket.inet_aton("10.0.0.7"))
    assert ask(records, "web.models.svc.cluster.local", dns.AAAA)[:3] == (0, False, 0)


def test_a_headless_service_answers_with_ready_addresses_alone(records):
    code, cut, answers, message = ask(records, "peers.models.svc.cluster.local", limit=65535)
    assert (code, cut, answers) == (0, False, 60) and socket.inet_aton("10.1.0.99") not in message
    assert ask(records, "empty.models.svc.cluster.local")[:3] == (0, False, 0)


def test_what_does_not_fit_is_cut_and_says_so_unless_the_asker_takes_more(records):
    code, cut, answers, message = ask(records, "peers.models.svc.cluster.local")
    assert (code, cut) == (0, True) and 0 < answers < 60 and len(message) <= 512
    larger = b"\0" + struct.pack(">2HIH", 41, 4096, 0, 0)
    assert ask(records, "peers.models.svc.cluster.local", extra=larger)[1:3] == (False, 60)


def test_ports_host_names_and_addresses_have_their_records(records):
    assert ask(records, "_http._tcp.web.models.svc.cluster.local", dns.SRV)[:3] == (0, False, 1)
    assert ask(records, "_http._tcp.peers.models.svc.cluster.local", dns.SRV, 65535)[2] == 60
    assert ask(records, "first.peers.models.svc.cluster.local")[3].endswith(socket.inet_aton("10.1.0.1"))
    assert ask(records, "10-1-0-2.models.pod.cluster.local")[3].endswith(socket.inet_aton("10.1.0.2"))
    assert b"\3web\6models" in ask(records, "7.0.0.10.in-addr.arpa", dns.PTR)[3]
    assert b"\5store\7example\3com" in ask(records, "outside.models.svc.cluster.local")[3]


@pytest.mark.parametrize("name", ["no.models.svc.cluster.local", "web.other.svc.cluster.local", "example.com", "a.web.models.svc.cluster.local",
                                  "_no._tcp.web.models.svc.cluster.local", "x.y.pod.cluster.local", "models.nothing.cluster.local"])
def test_what_is_not_there_does_not_exist(records, name):
    assert ask(records, name)[:3] == (dns.NAME_ERROR, False, 0)


def test_before_the_first_list_nothing_is_said_to_be_missing():
    assert ask(None, "web.models.svc.cluster.local")[0] == dns.SERVER_FAILURE


def test_garbage_is_refused_or_ignored_and_never_fatal(records):
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    generator, whole = random.Random(seed), query("web.models.svc.cluster.local")
    for _ in range(20_000):
        changed = bytearray(whole)
        for _ in range(generator.randrange(1, 6)):
            changed[generator.randrange(len(changed))] = generator.randrange(256)
        message = dns.respond(bytes(changed[:generator.randrange(len(changed) + 1)]), records, 5, 512)
        assert message is None or len(message) >= 12
