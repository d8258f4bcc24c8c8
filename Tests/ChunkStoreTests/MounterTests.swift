import ChunkStore
import Foundation
import Glibc
import LinuxShim
import Logging
import TestSupport
import Testing

/// A mounter on a thread of this process, gone at the end.
private final class RunningMounter {
    let socket: String
    private let mounter: Mounter
    private let ended = DispatchSemaphore(value: 0)

    init(_ scratch: Scratch) throws {
        socket = "\(scratch.path).sock"
        let mounter = try Mounter(
            root: scratch.path, socket: socket, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        self.mounter = mounter
        Thread.detachNewThread { [ended] in
            mounter.run()
            ended.signal()
        }
    }

    func respond(to request: MountRequest) -> Int32 { mounter.respond(to: request).code }

    func stop() {
        mounter.stop()
        ended.wait()
        // For the next call.
        ended.signal()
    }

    deinit {
        stop()
        unlink(socket)
    }
}

@Suite struct MounterTests {
    private func place(_ name: String, _ kind: CacheDirectory.Kind = .models) throws -> CachePlace {
        try #require(CachePlace(kind, name))
    }

    /// The bytes of the mount that shows at the path; nil: no mount is there.
    private func limit(_ path: String) -> UInt64? {
        guard let real = realpath(path, nil) else { return nil }
        defer { free(real) }
        guard MountTable.read()?.mount(at: String(cString: real)) != nil else { return nil }
        var filesystem = mc_filesystem()
        return mc_filesystem_at(path, &filesystem) == 0 ? filesystem.total_bytes : nil
    }

    // MARK: Requests

    @Test func eachRequestSurvivesItsOneEncoding() throws {
        let requests: [MountRequest] = [
            .mount(try place("qwen-0123456789abcdef"), bytes: 1, hugePages: true),
            .mount(try place("0", .caches), bytes: MountRequest.maximumBytes, hugePages: false),
            .enlarge(try place(String(repeating: "a", count: 255)), bytes: 5 << 30),
            .unmount(try place("_a.b-c", .caches)), .faultDevice,
        ]
        for request in requests {
            #expect(request.encoded.count == MountRequest.length)
            #expect(MountRequest(decoding: request.encoded) == request)
        }
    }

    @Test(arguments: [
        "", ".", "..", ".partial", "-x", "a/b", "/", "../x", "a\0b", "a b", "ü", "a\n", String(repeating: "a", count: 256),
    ])
    func noOtherTextIsTheNameOfACache(_ name: String) {
        #expect(CachePlace(.models, name) == nil)
    }

    @Test func everyPacketThatIsNoRequestIsRefused() throws {
        let good = MountRequest.mount(try place("a"), bytes: 4096, hugePages: false).encoded
        func changed(_ at: Int, _ byte: UInt8, of packet: [UInt8]? = nil) -> [UInt8] {
            var packet = packet ?? good
            packet[at] = byte
            return packet
        }
        var wrong = [[], [1], Array(good.dropLast()), good + [0], [UInt8](repeating: 0xff, count: good.count)]
        wrong += [changed(0, 2), changed(1, 0), changed(1, 5), changed(2, 0), changed(2, 3), changed(3, 2)]
        wrong += [changed(5, 0), changed(11, 0xff), changed(12, 0x2f), changed(12, 0), changed(14, 0x61)]
        // A name of 255 bytes leaves one for the zero; another verb's fields must be empty.
        wrong.append(Array(good[..<12]) + [UInt8](repeating: 0x61, count: 256))
        wrong.append(changed(5, 1, of: MountRequest.unmount(try place("a")).encoded))
        wrong.append(changed(3, 1, of: MountRequest.enlarge(try place("a"), bytes: 4096).encoded))
        wrong.append(changed(2, 1, of: MountRequest.faultDevice.encoded))
        wrong.append(changed(12, 0x61, of: MountRequest.faultDevice.encoded))
        for packet in wrong { #expect(MountRequest(decoding: packet) == nil, "\(packet)") }
    }

    @Test func randomPacketsAreRefusedOrAreTheEncodingOfTheirRequest() throws {
        var random = SeededRandom(seed: 11)
        let seeds = [
            MountRequest.mount(try place("a"), bytes: 4096, hugePages: true), .enlarge(try place("b"), bytes: 1),
            .unmount(try place("c", .caches)), .faultDevice,
        ]
        for round in 0..<20_000 {
            var packet = seeds[round % seeds.count].encoded
            for _ in 0..<Int.random(in: 0...3, using: &random) {
                packet[Int.random(in: 0..<16, using: &random)] = UInt8.random(in: 0...255, using: &random)
            }
            if let request = MountRequest(decoding: packet) { #expect(request.encoded == packet) }
        }
    }

    // MARK: Mounts

    @Test func aCacheIsMountedEnlargedAndUnmounted() throws {
        let scratch = Scratch()
        let mounter = try RunningMounter(scratch)
        try scratch.make("/models/a")
        let place = try place("a")
        let path = scratch.path + "/models/a"
        #expect(mounter.respond(to: .unmount(place)) == -EINVAL, "nothing is mounted there")
        #expect(mounter.respond(to: .enlarge(place, bytes: 8 << 20)) == -EINVAL)
        #expect(mounter.respond(to: .mount(place, bytes: 4 << 20, hugePages: false)) == 0)
        #expect(limit(path) == 4 << 20)
        #expect(mounter.respond(to: .mount(place, bytes: 4 << 20, hugePages: false)) == -EBUSY, "one mount a cache")
        #expect(mounter.respond(to: .enlarge(place, bytes: 8 << 20)) == 0 && limit(path) == 8 << 20)
        #expect(mounter.respond(to: .enlarge(place, bytes: 1 << 20)) == 0 && limit(path) == 8 << 20)
        #expect(mounter.respond(to: .unmount(place)) == 0 && limit(path) == nil)
    }

    @Test func aMountOfSomebodyElseIsNeitherCoveredNorEnlargedNorRemoved() throws {
        let scratch = Scratch()
        let mounter = try RunningMounter(scratch)
        try scratch.make("/models/a")
        let path = scratch.path + "/models/a"
        try #require(mount("theirs", path, "tmpfs", 0, "size=1m") == 0)
        let place = try place("a")
        #expect(mounter.respond(to: .mount(place, bytes: 4 << 20, hugePages: false)) == -EBUSY)
        #expect(mounter.respond(to: .enlarge(place, bytes: 4 << 20)) == -EINVAL)
        #expect(mounter.respond(to: .unmount(place)) == -EINVAL && limit(path) == 1 << 20)
    }

    @Test func symbolicLinksLeadNowhere() throws {
        let scratch = Scratch()
        let mounter = try RunningMounter(scratch)
        try scratch.make("/elsewhere/a")
        try scratch.make("/models")
        try #require(symlink(scratch.path + "/elsewhere/a", scratch.path + "/models/link") == 0)
        try #require(symlink(scratch.path + "/elsewhere", scratch.path + "/caches") == 0)
        try scratch.write("", to: "/models/file")
        for place in [try place("link"), try place("a", .caches), try place("file")] {
            for request in [MountRequest.mount(place, bytes: 1 << 20, hugePages: false), .unmount(place)] {
                #expect(mounter.respond(to: request) == -ENOTDIR, "\(request)")
            }
        }
        #expect(mounter.respond(to: .mount(try place("none"), bytes: 1 << 20, hugePages: false)) == -ENOENT)
        #expect(limit(scratch.path + "/elsewhere/a") == nil)
    }

    @Test func aLinkInThePlaceOfTheTrialMountIsNotFollowed() throws {
        let scratch = Scratch()
        try scratch.make("/elsewhere")
        try #require(symlink(scratch.path + "/elsewhere", scratch.path + "/.mount-probe") == 0)
        #expect(throws: ChunkStoreError.mayNotMount(path: scratch.path)) { try RunningMounter(scratch) }
        #expect(limit(scratch.path + "/elsewhere") == nil)
    }

    // MARK: The agent's end

    private func options(_ mounter: RunningMounter) -> MediumOptions {
        var options = MediumOptions(preference: .automatic, hugePages: false)
        options.mounts = MounterClient(socket: mounter.socket)
        return options
    }

    @Test func aModelIsMadeServedTakenUpAgainAndEvictedByWayOfAMounter() throws {
        let scratch = Scratch()
        let mounter = try RunningMounter(scratch)
        let manifest = try manifest([("a.gguf", pattern(5 << 20))])
        var root = try CacheDirectory(root: scratch.path, .models, medium: options(mounter))
        #expect(try root.open(manifest).directory == scratch.model)
        #expect(try #require(limit(scratch.model)) >= 5 << 20)
        root.close()
        root = try CacheDirectory(root: scratch.path, .models, medium: options(mounter))
        try root.evict(try #require(root.models.first))
        #expect(limit(scratch.model) == nil && access(scratch.model, F_OK) != 0)
        root.close()
    }

    @Test func withoutItsMounterNoCacheIsMadeAndTheErrorNamesTheSocket() throws {
        let scratch = Scratch()
        let mounter = try RunningMounter(scratch)
        let root = try CacheDirectory(root: scratch.path, .models, medium: options(mounter))
        defer { root.close() }
        mounter.stop()
        unlink(mounter.socket)
        let manifest = try manifest([("a.gguf", pattern(5 << 20))])
        let error = try #require(throws: ChunkStoreError.self) { try root.open(manifest) }
        guard case .mounterAway(mounter.socket, _) = error else { throw error }
        #expect("\(error)".contains("modelcache mounter --socket \(mounter.socket)"))
        #expect(access(scratch.model, F_OK) != 0, "no plain folder in its place")
    }

    @Test func aMounterThatAcceptsNobodyIsAway() throws {
        let scratch = Scratch()
        let socket = "\(scratch.path).sock"
        defer { unlink(socket) }
        let listener = mc_seqpacket_listen(socket, 1, 0o600)
        try #require(listener >= 0)
        defer { close(listener) }
        var waiting: [Int32] = []
        defer { for connection in waiting { close(connection) } }
        while case let connection = mc_seqpacket_connect(socket, 100), connection != -EAGAIN {
            try #require(connection >= 0 && waiting.count < 100)
            waiting.append(connection)
        }
        let error = try #require(throws: ChunkStoreError.self) { try MounterClient(socket: socket).faultDevice() }
        #expect("\(error)".contains("it accepts no connection"))
    }

    @Test func aRequestWhoseAgentHasHungUpIsNotCarriedOut() throws {
        let scratch = Scratch()
        let socket = "\(scratch.path).sock"
        defer { unlink(socket) }
        let mounter = try Mounter(
            root: scratch.path, socket: socket, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        try scratch.make("/models/a")
        let packet = MountRequest.mount(try place("a"), bytes: 4 << 20, hugePages: false).encoded
        let given = mc_seqpacket_connect(socket, -1)
        try #require(mc_send_packet(given, packet, packet.count, -1, true) == packet.count)
        close(given)
        let ended = DispatchSemaphore(value: 0)
        Thread.detachNewThread {
            mounter.run()
            ended.signal()
        }
        // Served after the one that hung up.
        let descriptor = try MounterClient(socket: socket).faultDevice()
        if descriptor >= 0 { close(descriptor) }
        #expect(limit(scratch.path + "/models/a") == nil)
        mounter.stop()
        ended.wait()
    }

    @Test func aMounterEndsNoConnectionForPacketsThatAreNoRequests() throws {
        let scratch = Scratch()
        let mounter = try RunningMounter(scratch)
        for packet in [[1, 2, 3], [UInt8](repeating: 1, count: 4096)] {
            let connection = mc_seqpacket_connect(mounter.socket, -1)
            defer { close(connection) }
            try #require(mc_send_packet(connection, packet, packet.count, -1, true) == packet.count)
            try #require(mc_wait_readable(connection, 10_000) == 1)
            var response = [UInt8](repeating: 0, count: 4)
            var descriptor: Int32 = 0
            #expect(mc_receive_packet(connection, &response, 4, &descriptor, true) == 4 && descriptor == -1)
            #expect(response == withUnsafeBytes(of: (-EINVAL).littleEndian) { Array($0.prefix(4)) })
        }
        let descriptor = try MounterClient(socket: mounter.socket).faultDevice()
        #expect(descriptor >= 0 || descriptor == -ENOENT)
        if descriptor >= 0 { close(descriptor) }
    }
}
