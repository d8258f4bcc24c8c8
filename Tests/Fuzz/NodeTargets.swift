import Agent
import AgentAPI
import ChunkStore
import Foundation
import NIOCore
import NodeAPI
import Sessions
import Swarm
import SwarmPlan

/// What comes to an agent: from the library, from peers, from a cache's directory, from the operator, from people.
let nodeTargets: [Target] = [
    Target(name: "packet") { bytes in
        guard let packet = try? Packet(decoding: bytes) else { return }
        let again = try? Packet(decoding: packet.encoded)
        precondition(again == packet, "a packet that does not survive its own encoding")
        if case .control(let json) = packet { _ = try? ControlRequest(decoding: json) }
    },
    Target(name: "control") { _ = try? ControlRequest(decoding: $0) },
    Target(name: "swarm-frame") { bytes in
        guard let first = bytes.first else { return }
        let blocks = Int(first) * 5
        var buffer = ByteBuffer(bytes: bytes.dropFirst())
        while let frame = try? ControlFrame.take(from: &buffer, blockCount: blocks) {
            var again = frame.encoded(ByteBufferAllocator())
            precondition((try? ControlFrame.take(from: &again, blockCount: blocks)) != nil, "a frame lost by encoding")
        }
    },
    Target(name: "peer-address") { bytes in
        let text = text(bytes)
        if let address = PeerAddress(text) {
            precondition(PeerAddress(address.description) == address, "an address that is another when written")
        }
        _ = PeerSource(text)
    },
    Target(name: "manifest") { bytes in
        guard let manifest = try? Manifest(encoded: Data(bytes)) else { return }
        precondition(manifest.files.allSatisfy { !$0.key.isEmpty }, "a file without a key")
    },
    Target(name: "mount-request") { bytes in
        guard let request = MountRequest(decoding: bytes) else { return }
        precondition(request.encoded == bytes, "a request of two encodings")
        switch request {
        case .mount(let place, _, _), .enlarge(let place, _), .unmount(let place):
            let name = place.name.utf8
            precondition(name.first != UInt8(ascii: ".") && !name.contains(UInt8(ascii: "/")), "a name that is a path")
        case .faultDevice: break
        }
    },
    Target(name: "mount-table") { _ = MountTable(text: text($0)) },
    Target(name: "connector-config") { _ = try? ConnectorConfig(json: Data($0), path: "/config.json") },
    Target(name: "byte-count") { bytes in
        if let count = ByteCount.parse(text(bytes)) { precondition(count >= 0, "a negative size") }
    },
    Target(name: "cache-definition") { bytes in
        let decoder = JSONDecoder()
        if let definition = try? decoder.decode(CacheDefinition.self, from: Data(bytes)) {
            let again = (try? JSONEncoder().encode(definition)).flatMap {
                try? decoder.decode(CacheDefinition.self, from: $0)
            }
            precondition(again == definition, "a definition that does not survive its own encoding")
        }
        _ = try? decoder.decode(CacheReport.self, from: Data(bytes))
        _ = try? decoder.decode(AgentReport.self, from: Data(bytes))
        _ = try? decoder.decode(AgentError.self, from: Data(bytes))
    },
    Target(name: "token") { bytes in
        // No byte of a token may be believed without a signature, which no input here has.
        let isGood = (try? verifier.verify(text(bytes), namespace: "ns", now: 1_700_000_000)) != nil
        precondition(!isGood, "a token that nobody signed")
        _ = verifier.mayBecomeGood(text(bytes), after: .unknownKey, namespace: "ns", now: 1_700_000_000)
    },
    Target(name: "key-set") { bytes in
        let policy = CallerPolicy(issuer: "i", audience: "a", keys: text(bytes))
        _ = wait { await TokenVerifier(policy) }.isUsable
    },
    Target(name: "request-signature") { bytes in
        let request = RequestSignature.Request(method: "GET", target: "/", node: "n")
        guard let secret = AuthSecret(contents: "a secret that is long enough to be one of ours") else { return }
        let verdict = RequestSignature.verify(authorization: text(bytes), request: request, secret: secret, now: 0)
        _ = verdict
    },
]

private let verifier = wait {
    await TokenVerifier(
        CallerPolicy(
            issuer: "https://kubernetes.default.svc",
            keys: """
                {"keys":[{"kty":"EC","crv":"P-256","kid":"one","alg":"ES256",\
                "x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"}]}
                """))
}

private final class Box<Value>: @unchecked Sendable { var value: Value? }

/// libFuzzer's entry is not asynchronous.
private func wait<Value: Sendable>(_ make: @escaping @Sendable () async -> Value) -> Value {
    let box = Box<Value>()
    let done = DispatchSemaphore(value: 0)
    Task {
        box.value = await make()
        done.signal()
    }
    done.wait()
    guard let value = box.value else { fatalError("nothing was made") }
    return value
}
