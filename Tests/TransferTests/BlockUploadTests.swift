import ChunkStore
import ChunkStoreTestSupport
import Swarm
import TestSupport
import Testing

/// A node that serves one complete model, and peers of it that speak HTTP by hand.
@Suite(.serialized) struct BlockUploadTests {
    @Test(arguments: [MediumOptions.Preference.directory, .disk])
    func `ranges come as they lie in the file, one after the other on one connection`(medium: MediumOptions.Preference) async throws {
        let folder = try TemporaryFolder()
        let node = try await ServingNode(folder, bytes: 5_000_003, medium: medium)
        let peer = try RawPeer(node)
        var random = SeededRandom(seed: SeededRandom.seed)
        var ranges = [0..<5_000_003, 0..<1, 5_000_002..<5_000_003]
        for _ in 0..<20 {
            let first = Int.random(in: 0..<5_000_003, using: &random)
            ranges.append(first..<Int.random(in: first + 1...5_000_003, using: &random))
        }
        for range in ranges {
            peer.get(range)
            #expect(try peer.head() == 206)
            #expect(try peer.body(range.count) == Array(node.bytes[range]), "seed \(SeededRandom.seed): \(range)")
        }
        // Bytes beyond the end, and other files, are nobody's.
        peer.get(5_000_003..<5_000_004)
        #expect(try peer.head() == 416)
        peer.ask("GET", "files/1")
        #expect(try peer.head() == 416)
        #expect(node.shared.servedBytes == Int64(ranges.reduce(0) { $0 + $1.count }))
        await node.close()
    }

    @Test func `a disk that is slow holds up no other request`() async throws {
        let folder = try TemporaryFolder()
        let node = try await ServingNode(folder, bytes: 5 << 20, medium: .disk)
        let busy = await BusyThreads(.uploads)
        let slow = try (0..<4).map { _ in try RawPeer(node) }
        for peer in slow { peer.get(0..<5 << 20) }
        for await input in node.net.inputs { if case .uploads(4) = input { break } }
        // Each loop of the node has taken its upload up, and goes on to answer.
        for _ in 0..<8 {
            let quick = try RawPeer(node)
            quick.ask("HEAD", "map")
            #expect(try quick.head() == 200)
        }
        #expect(node.shared.servedBytes == 0)
        busy.release()
        for peer in slow {
            #expect(try peer.head() == 206)
            #expect(try peer.body(5 << 20) == node.bytes)
        }
        await node.close()
    }

    @Test(arguments: [MediumOptions.Preference.directory, .disk])
    func `peers that leave in the middle give their places back`(medium: MediumOptions.Preference) async throws {
        let folder = try TemporaryFolder()
        let node = try await ServingNode(folder, bytes: 16 << 20, medium: medium)
        for _ in 0..<4 {
            // More than are served at once; none of them reads.
            var leaving = try (0..<12).map { _ in try RawPeer(node) }
            for peer in leaving { peer.get(0..<16 << 20) }
            #expect(try leaving[0].head() == 206)
            leaving = []
            let peer = try RawPeer(node)
            peer.get(3..<7)
            #expect(try peer.head() == 206)
            #expect(try peer.body(4) == Array(node.bytes[3..<7]))
        }
        await node.close()
    }

    @Test(arguments: [MediumOptions.Preference.directory, .disk])
    func `a model that is evicted during an upload sends the bytes it began with, and no upload begins`(medium: MediumOptions.Preference) async throws {
        let folder = try TemporaryFolder()
        let node = try await ServingNode(folder, bytes: 16 << 20, medium: medium)
        let peer = try RawPeer(node)
        peer.get(0..<16 << 20)
        #expect(try peer.head() == 206)
        #expect(try peer.body(1 << 20) == Array(node.bytes[..<(1 << 20)]))
        let late = try RawPeer(node)
        late.ask("HEAD", "map")
        #expect(try late.head() == 200)
        try node.cache.root.evict(node.cache.model)
        // Another model has the place now, with other bytes.
        _ = try node.cache.root.open(node.cache.model.manifest)
        #expect(try peer.body(15 << 20) == Array(node.bytes[(1 << 20)...]))
        late.get(0..<1)
        #expect(try late.head() == 416)
        await node.close()
    }

    @Test func `a block goes on as it arrives, and its failure ends the connection before a wrong byte`() async throws {
        let folder = try TemporaryFolder()
        let node = try await ServingNode(folder, bytes: 4 << 20, medium: .directory, held: false)
        let place = node.shared.layout.place(of: 0).range
        let length = Int(place.upperBound)
        let arrival = Arrival()
        node.shared.begin(0, arrival)
        let (whole, half) = (try RawPeer(node), try RawPeer(node))
        for peer in [whole, half] { peer.get(0..<length) }
        arrival.advance(by: length / 2)
        for peer in [whole, half] {
            #expect(try peer.head() == 206)
            #expect(try peer.body(length / 2) == Array(node.bytes[..<(length / 2)]))
        }
        node.shared.end(0, arrival)
        #expect(try whole.body(1) == [])
        #expect(try half.body(1) == [])
        // From elsewhere it is there at once.
        let next = try RawPeer(node)
        next.get(0..<length)
        node.hold(0)
        #expect(try next.head() == 206)
        #expect(try next.body(length) == Array(node.bytes[..<length]))
        await node.close()
    }

    @Test func `a block that is not here and does not come is refused, and the connection goes on`() async throws {
        let folder = try TemporaryFolder()
        let node = try await ServingNode(folder, bytes: 4 << 20, medium: .directory, held: false)
        let peer = try RawPeer(node)
        peer.get(0..<100)
        #expect(try peer.head() == 416)
        node.hold(0)
        peer.get(0..<100)
        #expect(try peer.head() == 206)
        #expect(try peer.body(100) == Array(node.bytes[..<100]))
        await node.close()
    }

    @Test func `who has no token learns nothing`() async throws {
        let folder = try TemporaryFolder()
        let node = try await ServingNode(folder, bytes: 1 << 20, medium: .directory)
        let peer = try RawPeer(node)
        for authorization in ["", "Bearer 1.00", "Basic eDp4"] {
            for rest in ["map", "files/0", "nothing"] {
                peer.ask("GET", rest, 0..<1, authorization: authorization)
                #expect(try peer.head() == 404)
            }
        }
        // With one, the same connection is served.
        peer.get(0..<1)
        #expect(try peer.head() == 206)
        await node.close()
    }
}
