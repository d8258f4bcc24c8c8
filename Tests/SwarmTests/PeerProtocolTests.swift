import NIOCore
import Swarm
import SwarmPlan
import Testing

@Suite struct PeerProtocolTests {
    @Test func `frames come out as they went in, however they were cut`() throws {
        var blocks = BlockSet(capacity: 100)
        for block in [0, 3, 64, 99] { blocks.insert(block) }
        let map = SwarmMap(blocks: blocks, arriving: [5, 4], load: 2)
        let delta = SwarmDelta(held: [9, 7], arriving: [8], lost: [1], load: 1)
        let frames: [ControlFrame] = [
            .map(map, digests: [1, 2, 3, 0xffff_ffff]), .delta(delta, digests: [0xabcd_ef01, 9]), .delta(SwarmDelta(), digests: []),
        ]
        var wire = ByteBuffer()
        for frame in frames {
            var bytes = frame.encoded(ByteBufferAllocator())
            wire.writeBuffer(&bytes)
        }
        var got: [ControlFrame] = []
        var buffer = ByteBuffer()
        while let byte = wire.readInteger(as: UInt8.self) {
            buffer.writeInteger(byte)
            while let frame = try ControlFrame.take(from: &buffer, blockCount: 100) { got.append(frame) }
        }
        #expect(buffer.readableBytes == 0)
        guard got.count == 3, case .map(let gotMap, let mapDigests) = got[0], case .delta(let gotDelta, let deltaDigests) = got[1],
            case .delta(let empty, _) = got[2]
        else {
            Issue.record("three frames")
            return
        }
        #expect(gotMap == map)
        #expect(mapDigests == [1, 2, 3, 0xffff_ffff])
        #expect(gotDelta == delta)
        #expect(deltaDigests == [0xabcd_ef01, 9])
        #expect(empty == SwarmDelta())
    }

    @Test func `no bytes of another machine do more than end the connection`() throws {
        var random = SwarmRandom(seed: 11)
        var base = ControlFrame.delta(SwarmDelta(held: [1, 2], arriving: [3]), digests: [1, 2]).encoded(ByteBufferAllocator())
        let good = base.readBytes(length: base.readableBytes) ?? []
        for _ in 0..<20_000 {
            var bytes = good
            for _ in 0...random.below(3) { bytes[random.below(bytes.count)] = UInt8(random.below(256)) }
            var buffer = ByteBuffer(bytes: bytes)
            do {
                while case .delta(let delta, let digests)? = try ControlFrame.take(from: &buffer, blockCount: 16) {
                    #expect(digests.count == delta.held.count)
                    #expect((delta.held + delta.arriving + delta.lost).allSatisfy { (0..<16).contains($0) })
                }
            } catch {
                continue
            }
        }
    }

    @Test(arguments: [
        ("10.0.0.7:9418", "10.0.0.7", 9418), ("[fd00::7]:9418", "fd00::7", 9418), ("node-1", "node-1", 9), ("fd00::7", "fd00::7", 9), ("[fd00::7]", "fd00::7", 9),
    ])
    func `addresses are read`(text: String, host: String, port: Int) {
        #expect(PeerAddress(text, defaultPort: 9) == PeerAddress(host: host, port: port))
    }

    @Test(arguments: ["", ":1", "a:0", "a:65536", "a:b", "[::1", "a/b:1", "a b:1"])
    func `what is no address is refused`(text: String) {
        #expect(PeerAddress(text, defaultPort: 9) == nil)
    }

    @Test func `a zone is named as a label's value is`() {
        for text in ["", "cn-hangzhou-b", "rack_7.2", "7", String(repeating: "a", count: 63)] { #expect(SwarmConfiguration.isZone(text), "\(text)") }
        for text in ["-a", "a-", "a b", "a\r\nX-Y: z", "zone/1", "Zürich", String(repeating: "a", count: 64)] { #expect(!SwarmConfiguration.isZone(text), "\(text)") }
    }

    @Test func `the ways to find peers are read`() {
        #expect(PeerSource("dns:peers.modelcache-system.svc") == .dns(name: "peers.modelcache-system.svc", port: nil))
        #expect(PeerSource("dns:peers:9000") == .dns(name: "peers", port: 9000))
        #expect(PeerSource("static:10.0.0.1, 10.0.0.2:7") == .fixed(["10.0.0.1", "10.0.0.2:7"]))
        #expect(PeerSource("file:/etc/peers") == .file("/etc/peers"))
        for text in ["", "dns:", "static:", "static:a:b:c:d/", "file:relative", "http://x", "dns:a:b"] {
            #expect(PeerSource(text) == nil, "\(text)")
        }
    }

    @Test func `an introduction says whether turns may be handed over, which an older agent does not`() throws {
        let older = ["X-ModelCache-Node": "a", "X-ModelCache-Zone": "z"]
        #expect(try #require(PeerIntroduction(reading: { older[$0] })).takesTurns == false)
        let own = Dictionary(uniqueKeysWithValues: older.map { ($0, $1) } + [("X-ModelCache-Turns", "taken")])
        let read = try #require(PeerIntroduction(reading: { own[$0] }))
        #expect(read.takesTurns && Dictionary(uniqueKeysWithValues: read.headers) == own)
    }
}
