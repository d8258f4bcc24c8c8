import ChunkStore
import Foundation
import Glibc
import Testing

/// Bytes that go from a socket into the file without a copy in this process. Needs root: huge pages are on mounts of our own.
@Suite(.serialized) struct ReceiveTests {
    private let bytes = pattern((19 << 20) + 321, seed: 3)
    /// Of what `receive` counts: more than any piece.
    private static let much = 1 << 30

    private func open(_ scratch: Scratch, checksums: Bool = true) throws -> (CacheRoot, CachedFile) {
        let root = try CacheRoot(path: scratch.path, medium: .init(preference: .mount))
        let entry = ManifestFile(key: "x", size: UInt64(bytes.count), etag: "e", checksums: checksums ? .init(crc64: crc(bytes)) : .init())
        let model = try root.open(try Manifest(identity: identity, files: [entry], chunkBytes: 4 << 20))
        try #require(model.medium == .hugeTmpfs, "this test needs a tmpfs with huge pages")
        return (root, model.files[0])
    }

    /// Two ends of a TCP connection over loopback; the first does not block.
    private func connection() throws -> (receiving: Int32, sending: Int32) {
        let listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(listener) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = inet_addr("127.0.0.1")
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let sending = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        try withUnsafeMutablePointer(to: &address) { pointer in
            try pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { pointer in
                try #require(bind(listener, pointer, length) == 0 && listen(listener, 1) == 0)
                try #require(getsockname(listener, pointer, &length) == 0 && connect(sending, pointer, length) == 0)
            }
        }
        let receiving = accept(listener, nil, nil)
        try #require(receiving >= 0 && fcntl(receiving, F_SETFL, O_NONBLOCK) == 0)
        return (receiving, sending)
    }

    /// Sends on a thread of its own, in pieces of `sizes`, and closes.
    private func send(_ bytes: ArraySlice<UInt8>, to socket: Int32, sizes: ClosedRange<Int>, seed: UInt64) {
        Thread.detachNewThread {
            var random = SplitMix(state: seed)
            var rest = bytes
            while !rest.isEmpty {
                let piece = rest.prefix(Int.random(in: sizes, using: &random))
                let sent = piece.withUnsafeBytes { Glibc.send(socket, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
                if sent <= 0 { break }
                rest = rest.dropFirst(sent)
            }
            close(socket)
        }
    }

    private func wait(for socket: Int32) {
        var end = pollfd(fd: socket, events: Int16(POLLIN), revents: 0)
        poll(&end, 1, 1000)
    }

    /// As the engine does: the socket first, then memory; now and then bytes that were read elsewhere. Returns how many bytes the
    /// pipe carried.
    @discardableResult
    private func fill(_ writer: ChunkWriter, from socket: Int32, random: inout SplitMix, mixed: Bool) throws -> Int {
        var piped = 0
        while writer.remaining > 0 {
            let before = writer.position
            if mixed, Int.random(in: 0..<4, using: &random) == 0 {
                var piece = [UInt8](repeating: 0, count: min(Int(writer.remaining), Int.random(in: 1...200_000, using: &random)))
                let count = recv(socket, &piece, piece.count, 0)
                if count > 0 { try piece[..<count].withUnsafeBytes { try writer.append($0) } }
            } else if mixed, Int.random(in: 0..<4, using: &random) == 0 {
                try writer.withFreeSpace { recv(socket, $0.baseAddress, min($0.count, 300_000), 0) }
            } else {
                let limit = mixed ? Int.random(in: 1...2_000_000, using: &random) : Self.much
                switch try writer.receive(from: socket, atMost: limit) {
                case nil: try writer.withFreeSpace { recv(socket, $0.baseAddress, $0.count, 0) }
                case 0?: Issue.record("closed at \(writer.position)"); return piped
                case let count? where count < 0: #expect(count == -Int(EAGAIN))
                case let count?:
                    #expect(writer.position == before + UInt64(count) && count <= limit)
                    piped += count
                }
            }
            if writer.position == before { wait(for: socket) }
        }
        return piped
    }

    @Test(arguments: [false, true]) func `what comes through the pipe is the object's bytes`(mixed: Bool) throws {
        let seed = UInt64.random(in: .min ... .max)
        print("seed \(seed)")
        var random = SplitMix(state: seed)
        let scratch = Scratch()
        let (root, file) = try open(scratch)
        defer { root.close() }
        let pool = StagingPool(limitBytes: 2 << 20)
        var piped = 0
        for chunk in 0..<file.chunkCount {
            let range = file.range(ofChunk: chunk)
            let (receiving, sending) = try connection()
            defer { close(receiving) }
            send(bytes[Int(range.lowerBound)..<Int(range.upperBound)], to: sending, sizes: 1...500_000, seed: seed)
            let writer = try #require(try file.beginChunk(chunk, pool: pool))
            piped += try fill(writer, from: receiving, random: &random, mixed: mixed)
            #expect(try writer.finish() == (chunk == file.chunkCount - 1))
        }
        #expect(piped > 0, "some of it went this way")
        #expect(try file.complete() == .published(.verified), "the object's CRC-64")
        #expect(FileManager.default.contents(atPath: scratch.model + "/x") == Data(bytes))
    }

    @Test func `a transfer that breaks goes on where it was, on another connection`() throws {
        let scratch = Scratch()
        let (root, file) = try open(scratch)
        defer { root.close() }
        var random = SplitMix(state: 1)
        let pool = StagingPool(limitBytes: 2 << 20)
        let writer = try #require(try file.beginChunk(0, pool: pool))
        for end in [700_001, 700_002, 2 << 20, 3_000_000] {
            let (receiving, sending) = try connection()
            defer { close(receiving) }
            send(bytes[Int(writer.position)..<end], to: sending, sizes: 100_000...100_000, seed: 1)
            var result: Int? = -1
            while result != 0 {
                result = try writer.receive(from: receiving, atMost: Self.much)
                if result == nil { try writer.withFreeSpace { result = recv(receiving, $0.baseAddress, $0.count, 0); return result ?? 0 } }
                if let result, result < 0 { wait(for: receiving) }
            }
            #expect(writer.position == end)
        }
        let (receiving, sending) = try connection()
        defer { close(receiving) }
        send(bytes[3_000_000..<4 << 20], to: sending, sizes: 1...9_000, seed: 2)
        try fill(writer, from: receiving, random: &random, mixed: true)
        _ = try writer.finish()
        #expect(file.checksum(of: 0) == crc(Array(bytes[..<(4 << 20)])))
        #expect(try file.checksum(ofBytes: file.range(ofChunk: 0)) == crc(Array(bytes[..<(4 << 20)])))
    }

    @Test func `what a dropped or restarted chunk left in the pipe reaches no other chunk`() throws {
        let scratch = Scratch()
        let (root, file) = try open(scratch)
        defer { root.close() }
        var random = SplitMix(state: 1)
        let pool = StagingPool(limitBytes: 2 << 20)
        let (junk, junkSource) = try connection()
        defer { close(junk) }
        send(pattern(300_000, seed: 99)[...], to: junkSource, sizes: 100_000...100_000, seed: 1)
        func takeJunk(_ writer: ChunkWriter) throws {
            wait(for: junk)
            #expect(try #require(try writer.receive(from: junk, atMost: 60_000)) > 0)
        }
        let dropped = try #require(try file.beginChunk(2, pool: pool))
        try takeJunk(dropped)
        dropped.abort()
        let writer = try #require(try file.beginChunk(1, pool: pool))
        try takeJunk(writer)
        writer.restart()
        let (receiving, sending) = try connection()
        defer { close(receiving) }
        send(bytes[4 << 20..<8 << 20], to: sending, sizes: 1...500_000, seed: 1)
        try fill(writer, from: receiving, random: &random, mixed: false)
        _ = try writer.finish()
        #expect(try file.checksum(ofBytes: file.range(ofChunk: 1)) == crc(Array(bytes[4 << 20..<8 << 20])))
        #expect(pool.usedBytes == 0)
    }

    @Test func `a full medium is an error and leaves no bit`() throws {
        let scratch = Scratch()
        try scratch.make()
        let root = try CacheRoot(path: scratch.path, medium: .init(preference: .mount, mountLimitBytes: 4 << 20))
        defer { root.close() }
        let entry = ManifestFile(key: "x", size: UInt64(bytes.count), etag: "e")
        let file = try root.open(try Manifest(identity: identity, files: [entry], chunkBytes: 8 << 20)).files[0]
        let pool = StagingPool(limitBytes: 2 << 20)
        let writer = try #require(try file.beginChunk(0, pool: pool))
        let (receiving, sending) = try connection()
        defer { close(receiving) }
        send(bytes[..<(8 << 20)], to: sending, sizes: 500_000...500_000, seed: 1)
        var random = SplitMix(state: 1)
        #expect {
            try fill(writer, from: receiving, random: &random, mixed: false)
        } throws: {
            if case ChunkStoreError.mediumFull = $0 { true } else { false }
        }
        #expect(!file.isReceived(0) && pool.usedBytes == 0)
    }
}
