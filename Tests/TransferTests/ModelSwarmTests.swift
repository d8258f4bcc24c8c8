import ChunkStore
import Foundation
import Logging
import Swarm
import SwarmPlan
import Synchronization
import TestSupport
import Testing

/// Nodes of one process that talk about a model over the loopback, without a fill.
@Suite(.serialized) struct ModelSwarmTests {
    private static let secret = Array("a secret of thirty-two bytes, at least".utf8)

    private final class Node: Sendable {
        let cache: FakeCache
        let swarm: Swarm
        let shared: SharedModel
        let net: ModelSwarm
        /// Inputs, one line each, in their order.
        let heard = Mutex<[String]>([])

        init(_ folder: TemporaryFolder, _ name: String, secrets: [[UInt8]] = [ModelSwarmTests.secret]) async throws {
            cache = try FakeCache(folder: folder.file(name), files: ["a": 4 << 20])
            swarm = try Swarm(
                SwarmConfiguration(peers: .file(folder.file("peers")), listen: PeerAddress(host: "127.0.0.1", port: 0)), secrets: { secrets },
                logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
            try await swarm.start()
            shared = SharedModel(cache.model)
            net = swarm.join(shared)
            Task { [net, weak self] in for await input in net.inputs { self?.hear(input) } }
        }

        private func hear(_ input: ModelSwarm.Input) {
            let line: String? =
                switch input {
                case .connected: "connected"
                case .takesNoTurns: "takesNoTurns"
                case .disconnected: "disconnected"
                case .declined: "declined"
                case .map(_, let map, let digests): "map \(map.blocks.count) \(digests)"
                case .delta(_, let delta, let digests): "delta \(delta.held) \(digests)"
                case .members, .wanted, .uploads, .upload: nil
                }
            if let line { heard.withLock { $0.append(line) } }
        }

        func heard(_ line: String) -> Int { heard.withLock { lines in lines.count { $0 == line } } }

        /// By the name that this node has for it.
        func peer(_ other: Node) async throws -> SwarmPeer {
            var found: SwarmPeer?
            try await eventually("the other node is a member") {
                found = net.peers.first { $0.address.port == other.swarm.port }?.peer
                return found != nil
            }
            return try #require(found)
        }

        func isConnected(_ other: Node) -> Bool { net.peers.contains { $0.address.port == other.swarm.port && $0.isConnected } }

        func close() async {
            swarm.leave(net)
            await swarm.shutDown()
            cache.root.close()
        }
    }

    private func pair(_ folder: TemporaryFolder, secrets: [[[UInt8]]] = [[secret], [secret]]) async throws -> (Node, Node) {
        try "".write(toFile: folder.file("peers"), atomically: true, encoding: .utf8)
        let nodes = (try await Node(folder, "a", secrets: secrets[0]), try await Node(folder, "b", secrets: secrets[1]))
        try "127.0.0.1:\(nodes.0.swarm.port)\n127.0.0.1:\(nodes.1.swarm.port)".write(toFile: folder.file("peers"), atomically: true, encoding: .utf8)
        return nodes
    }

    /// As the planner does, it dials again where a busy machine let a dial's time run out.
    private func connect(_ a: Node, _ b: Node) async throws {
        let peer = try await a.peer(b)
        try await eventually("they are connected") {
            if !a.isConnected(b) { a.net.connect(peer) }
            return a.isConnected(b) && b.isConnected(a)
        }
    }

    @Test func `two nodes that dial each other at once keep one connection, which carries messages both ways`() async throws {
        let folder = try TemporaryFolder()
        let (a, b) = try await pair(folder)
        let (ofB, ofA) = (try await a.peer(b), try await b.peer(a))
        for block in 0..<a.shared.layout.count { a.shared.hold(block, digest: 7) }
        b.shared.hold(0, digest: 9)
        for round in 1...20 {
            a.net.connect(ofB)
            b.net.connect(ofA)
            try await eventually("both are connected") {
                if !a.isConnected(b), !b.isConnected(a) { a.net.connect(ofB) }
                return a.isConnected(b) && b.isConnected(a)
            }
            // A connection that makes way for the other may take what was sent on it along.
            try await eventually("each hears the other") {
                var map = SwarmMap(blocks: BlockSet(capacity: a.shared.layout.count), arriving: [], load: 0)
                for block in 0..<a.shared.layout.count { map.blocks.insert(block) }
                a.net.send(map, to: ofB)
                b.net.send(SwarmDelta(held: [0], arriving: [], lost: [], load: 0), to: [ofA])
                try await Task.sleep(for: .milliseconds(5))
                let count = a.shared.layout.count
                return b.heard("map \(count) \(Array(repeating: UInt64(7), count: count))") >= round && a.heard("delta [0] [9]") >= round
            }
            a.net.disconnect(ofB)
            try await eventually("the other knows it was meant") { !b.isConnected(a) && !a.isConnected(b) }
        }
        #expect(b.heard("declined") >= 1)
        await a.close()
        await b.close()
    }

    @Test func `blocks that are lost between the decision and the message are not told as held`() async throws {
        let folder = try TemporaryFolder()
        let (a, b) = try await pair(folder)
        let ofB = try await a.peer(b)
        try await connect(a, b)
        a.shared.hold(0, digest: 5)
        a.shared.hold(1, digest: 6)
        a.shared.lose(0..<1)
        a.net.send(SwarmDelta(held: [0, 1], arriving: [], lost: [], load: 0), to: [ofB])
        try await eventually("it came") { b.heard("delta [1] [6]") == 1 }
        await a.close()
        await b.close()
    }

    @Test func `a node that closes the model is lost at once, and found again when it opens it`() async throws {
        let folder = try TemporaryFolder()
        let (a, b) = try await pair(folder)
        try await connect(a, b)
        b.swarm.leave(b.net)
        try await eventually("it is lost") { a.heard("disconnected") >= 1 && !a.isConnected(b) }
        // It lives: it declines.
        try await eventually("it declines") {
            a.net.connect(try await a.peer(b))
            return a.heard("declined") >= 1
        }
        let again = b.swarm.join(b.shared)
        try await eventually("it is there again") {
            a.net.connect(try await a.peer(b))
            return a.isConnected(b)
        }
        b.swarm.leave(again)
        // One whose process is gone.
        await b.swarm.shutDown()
        let before = a.heard("disconnected")
        a.net.connect(try await a.peer(b))
        try await eventually("nobody answers") { a.heard("disconnected") > before }
        await a.close()
        b.cache.root.close()
    }

    @Test func `a peer that sends no frames loses its connection, and the others keep theirs`() async throws {
        let folder = try TemporaryFolder()
        let (a, b) = try await pair(folder)
        try await connect(a, b)
        let key = SwarmKey(secret: Self.secret)
        let id = key.modelID(b.shared.identity)
        try await eventually("it is told") { b.heard("connected") >= 1 }
        let (lost, connected) = (b.heard("disconnected"), b.heard("connected"))
        let frames: [[UInt8]] = [[5, 97, 98, 99, 100, 101], [0, 0], [0xff, 0xff, 0xff, 0xff, 0xff], [0xff, 0xff, 0xff, 0x7f]]
        for (number, garbage) in frames.enumerated() {
            let peer = try RawPeer(port: b.swarm.port)
            let token = key.authorization(modelID: id, now: Int64(Date.now.timeIntervalSince1970))
            peer.write(
                Array(
                    ("POST /swarm/v1/models/\(id)/control HTTP/1.1\r\nHost: x\r\nAuthorization: \(token)\r\nTransfer-Encoding: chunked\r\n"
                        + "X-ModelCache-Address: 127.0.0.1:\(10 + number)\r\nX-ModelCache-Node: node-\(number)\r\n\r\n").utf8))
            #expect(try peer.head() == 200)
            peer.write(Array("\(garbage.count)\r\n".utf8) + garbage + [13, 10])
            _ = try peer.body(1 << 20)
        }
        try await eventually("four are lost") { b.heard("disconnected") == lost + 4 }
        #expect(b.heard("connected") == connected + 4 && a.isConnected(b) && b.isConnected(a))
        await a.close()
        await b.close()
    }

    @Test func `while secrets are rotated, nodes find each other by the one they share`() async throws {
        let folder = try TemporaryFolder()
        let new = Array("the secret that comes after, long enough".utf8)
        let (a, b) = try await pair(folder, secrets: [[new, Self.secret], [Self.secret]])
        let ofB = try await a.peer(b)
        try await connect(a, b)
        let id = SwarmKey(secret: Self.secret).modelID(b.shared.identity)
        #expect(a.net.request(to: ofB, file: 0)?.url.contains(id) == true)
        // A peer that refuses the name is asked by the other one, once round.
        #expect(!a.net.tryNextKey(for: ofB), "this was the last")
        #expect(a.net.request(to: ofB, file: 0)?.url.contains(id) == false)
        #expect(a.net.tryNextKey(for: ofB))
        #expect(a.net.request(to: ofB, file: 0)?.url.contains(id) == true)
        await a.close()
        await b.close()
    }
}
