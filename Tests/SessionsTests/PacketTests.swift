import Sessions
import TestSupport
import Testing

@Suite struct PacketTests {
    static let samples: [Packet] = [
        .open(settings: ["OSS_PATH": "oss://b/模型/", "OSS_ACCESS_KEY_SECRET": "a=b=c", "EMPTY": ""]),
        .open(settings: [:]),
        .demand(file: 3, offset: 5 << 32, length: 1),
        .subscribe,
        .opened(.init(flags: 1, fileCount: 15, totalBytes: 664_000_000_000, generation: Array(0..<8), set: 3, directory: "/run/模型")),
        .error(code: 2, message: "OSS_PATH: no"),
        .notice,
        .control(json: Array(#"{"status":{}}"#.utf8)),
    ]

    @Test(arguments: samples) func everyPacketSurvivesTheWire(packet: Packet) throws {
        #expect(try Packet(decoding: packet.encoded) == packet)
    }

    @Test func theHeaderHasTheBytesThatTheCHeaderStates() {
        #expect(Packet.subscribe.encoded == [0x57, 0x41, 0x43, 0x4d, 1, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0])
    }

    @Test func aDemandHasTheLayoutOfTheCStruct() {
        let bytes = Packet.demand(file: 0x0102_0304, offset: 0x1122_3344_5566_7788, length: 9).encoded
        #expect(Array(bytes[16...]) == [
            4, 3, 2, 1, 0, 0, 0, 0, 0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11, 9, 0, 0, 0, 0, 0, 0, 0,
        ])
    }

    @Test func `an opened model's set lies before its identity, and the path follows`() {
        let opened = Packet.Opened(
            flags: 0, fileCount: 1, totalBytes: 2, generation: Array(0..<8), set: 0x0102, directory: "/")
        #expect(Array(Packet.opened(opened).encoded[32...]) == [
            2, 1, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 0x2f, 0,
        ])
    }

    @Test(arguments: samples) func everyTruncationIsRefused(packet: Packet) {
        let bytes = packet.encoded
        for count in 0..<bytes.count {
            #expect(throws: PacketError.self) { try Packet(decoding: Array(bytes.prefix(count))) }
        }
        #expect(throws: PacketError.self) { try Packet(decoding: bytes + [0]) }
    }

    @Test func anotherVersionIsNamed() {
        var bytes = Packet.subscribe.encoded
        bytes[4] = 9
        #expect(throws: PacketError.wrongVersion(9)) { try Packet(decoding: bytes) }
    }

    @Test func aDemandOfNothingIsRefused() {
        #expect(throws: PacketError.malformedBody(type: 2)) {
            try Packet(decoding: Packet.demand(file: 0, offset: 0, length: 0).encoded)
        }
    }

    /// Mutations of real packets reach deeper than noise does. Whatever comes, decoding gives a packet or an error.
    @Test(arguments: [1, 7, 10222427186454880628]) func mutatedPacketsNeverTrap(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        for _ in 0..<20_000 {
            var bytes = Self.samples[Int(random.next() % UInt64(Self.samples.count))].encoded
            for _ in 0...(random.next() % 4) {
                let index = Int(random.next() % UInt64(bytes.count))
                bytes[index] = UInt8(truncatingIfNeeded: random.next())
            }
            if random.next() % 4 == 0 { bytes.removeLast(Int(random.next() % UInt64(bytes.count))) }
            if let packet = try? Packet(decoding: bytes) {
                #expect((try? Packet(decoding: packet.encoded)) == packet, "seed \(seed)")
            }
        }
    }
}
