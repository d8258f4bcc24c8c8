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
    Target(name: "peer-request") { bytes in
        let texts = parts(bytes, 4).map { text($0) }
        let size = UInt64(1) << 40
        if let target = PeerTarget(texts[0]) {
            precondition(texts[0].hasPrefix("/swarm/v1/models/\(target.modelID)/"), "a model that was not asked for")
        }
        for size in [0, 1, size] {
            guard let range = PeerTarget.range(texts[1].isEmpty ? nil : texts[1], size: size) else { continue }
            precondition(!range.isEmpty && range.upperBound <= size, "a range beyond the file")
        }
        let headers = ["X-ModelCache-Node": texts[2], "X-ModelCache-Zone": texts[3]]
        guard let peer = PeerIntroduction(reading: { headers[$0] }) else { return }
        precondition(peer.zone.utf8.count <= 63, "a zone without a bound")
        let again = PeerIntroduction { name in peer.headers.first { $0.0 == name }?.1 }
        precondition(again == peer, "an introduction that is another when written")
    },
    Target(name: "agent-settings") { bytes in
        // Lines of NAME=value: the agent's environment; the last part is the configuration file.
        let halves = parts(bytes, 2)
        var variables = environment(halves[0])
        // Without a name of its own the machine's is looked up.
        variables["MODELCACHE_NODE_NAME"] = "n"
        let config = try? ConnectorConfig(json: Data(halves[1]), path: "/config.json")
        let options = try? AgentOptions.resolve(
            flags: AgentOptions.Flags(), environment: variables, config: config ?? ConnectorConfig(), userID: 1000,
            processors: 2)
        guard let options else { return }
        precondition((1...256).contains(options.receiveThreads), "threads out of bounds")
        precondition((options.budgetBytes ?? 1) > 0 && options.inFlightBytes > 0, "a size that is not positive")
        precondition((options.connections.map { (1...4096).contains($0) }) ?? true, "connections out of bounds")
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
