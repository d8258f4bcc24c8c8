import Foundation
import LinuxShim
import Testing

@Suite struct LinuxShimTests {
    private func pair() throws -> (Int32, Int32) {
        var sockets: [Int32] = [-1, -1]
        try #require(mc_seqpacket_pair(&sockets) == 0)
        return (sockets[0], sockets[1])
    }

    private func pipe() throws -> (read: Int32, write: Int32) {
        var ends: [Int32] = [-1, -1]
        try #require(Glibc.pipe(&ends) == 0)
        _ = fcntl(ends[0], F_SETFL, O_NONBLOCK)
        return (ends[0], ends[1])
    }

    /// 0 once every write end is closed; -1 (EAGAIN) while one is open.
    private func atEnd(_ fd: Int32) -> Bool {
        var byte: UInt8 = 0
        return read(fd, &byte, 1) == 0
    }

    @Test func aPacketArrivesWholeWithItsDescriptor() throws {
        let (a, b) = try pair()
        let ends = try pipe()
        defer { for fd in [a, b, ends.read] { close(fd) } }
        let sent = pattern(60_000)
        #expect(mc_send_packet(a, sent, sent.count, ends.write, false) == 60_000)
        #expect(mc_send_packet(a, "x", 1, -1, false) == 1)
        close(ends.write)
        var got = [UInt8](repeating: 0, count: 65_536)
        var fd: Int32 = 99
        #expect(mc_wait_readable(b, 0) == 1)
        #expect(mc_receive_packet(b, &got, got.count, &fd, false) == 60_000)
        #expect(Array(got[..<60_000]) == sent && fd >= 0)
        #expect(fcntl(fd, F_GETFD) & FD_CLOEXEC != 0)
        #expect(write(fd, "!", 1) == 1 && !atEnd(ends.read))
        close(fd)
        #expect(atEnd(ends.read))
        #expect(mc_receive_packet(b, &got, got.count, &fd, false) == 1 && fd == -1)
        #expect(mc_receive_packet(b, &got, got.count, &fd, false) == -Int(EAGAIN) && mc_wait_readable(b, 0) == 0)
    }

    @Test func descriptorsNobodyAskedForAreClosed() throws {
        let (a, b) = try pair()
        defer { for fd in [a, b] { close(fd) } }
        var got = [UInt8](repeating: 0, count: 16)
        // Not asked for; then with a packet that is too long, whose descriptor must not leak either.
        for (length, asked) in [(4, false), (17, true)] {
            let ends = try pipe()
            defer { close(ends.read) }
            let sent = [UInt8](repeating: 7, count: length)
            #expect(mc_send_packet(a, sent, length, ends.write, true) == length)
            close(ends.write)
            var fd: Int32 = 99
            let result = asked ? mc_receive_packet(b, &got, 16, &fd, true) : mc_receive_packet(b, &got, 16, nil, true)
            #expect(result == (length > 16 ? -Int(EMSGSIZE) : length))
            #expect(!asked || fd == -1)
            #expect(atEnd(ends.read))
        }
    }

    @Test func aFullSocketAndAGonePeerAreErrorsNotSignals() throws {
        let (a, b) = try pair()
        defer { close(a) }
        let packet = [UInt8](repeating: 1, count: 65_536)
        var result = 0
        for _ in 0..<1000 where result >= 0 { result = mc_send_packet(a, packet, packet.count, -1, false) }
        #expect(result == -Int(EAGAIN))
        close(b)
        // The first call hears that unread packets were thrown away.
        #expect([-Int(EPIPE), -Int(ECONNRESET)].contains(mc_send_packet(a, packet, packet.count, -1, false)))
        #expect(mc_send_packet(a, packet, packet.count, -1, false) == -Int(EPIPE))
        var byte: UInt8 = 0
        #expect([0, -Int(ECONNRESET)].contains(mc_receive_packet(a, &byte, 1, nil, false)))
    }

    @Test func aClientOfANamedSocketIsKnown() throws {
        let scratch = Scratch()
        try scratch.make()
        let path = scratch.path + "/s"
        let listener = mc_seqpacket_listen(path, 4, 0o666)
        try #require(listener >= 0)
        defer { close(listener) }
        #expect(mc_accept(listener) == -EAGAIN)
        #expect(mc_seqpacket_listen(path, 4, 0o666) == -EADDRINUSE)
        let client = mc_seqpacket_connect(path, -1)
        #expect(client >= 0)
        let session = mc_accept(listener)
        var peer = mc_peer()
        #expect(mc_peer_credentials(session, &peer) == 0)
        #expect(peer.process == getpid() && peer.user == getuid())
        for fd in [client, session] { close(fd) }
        var mode = mc_stat()
        #expect(mc_stat_at(MC_AT_CWD, path, &mode) == 0 && mode.mode == 0o666)
        #expect(mc_seqpacket_connect(scratch.path + "/none", -1) == -ENOENT)
        #expect(mc_seqpacket_connect("/" + String(repeating: "x", count: 108), -1) == -ENAMETOOLONG)
    }

    @Test func aFutexWakesItsWaitersAndNotBeforeTheWordChanged() throws {
        let (map, twin, free) = try mappings()
        defer { free() }
        let word = map.assumingMemoryBound(to: UInt32.self)
        #expect(mc_futex_wait(word, 1, 1_000_000_000) == 0, "changed already")
        #expect(mc_futex_wait(word, 0, 1_000_000) == -ETIMEDOUT)
        // Through another mapping of the same file, as another process would.
        nonisolated(unsafe) let other = twin.assumingMemoryBound(to: UInt32.self)
        nonisolated(unsafe) let own = word
        let start = ContinuousClock.now
        DispatchQueue.concurrentPerform(iterations: 4) { thread in
            if thread == 0 {
                usleep(20_000)
                _ = mc_atomic_add_u32(other, 1)
                _ = mc_futex_wake_all(other)
            } else {
                while mc_atomic_load_u32(own) == 0 {
                    if mc_futex_wait(own, 0, 60_000_000_000) == -ETIMEDOUT { break }
                }
            }
        }
        #expect(mc_atomic_load_u32(word) == 1 && ContinuousClock.now - start < .seconds(30))
    }

    @Test func atomicsOnAMappedFileLoseNothing() throws {
        let (map, twin, free) = try mappings()
        defer { free() }
        nonisolated(unsafe) let first = map.assumingMemoryBound(to: UInt64.self)
        nonisolated(unsafe) let second = twin.assumingMemoryBound(to: UInt64.self)
        DispatchQueue.concurrentPerform(iterations: 8) { thread in
            let words = thread % 2 == 0 ? first : second
            for i in 0..<10_000 {
                _ = mc_atomic_add_u64(words, 3)
                _ = mc_atomic_sub_u64(words, 1)
                if i < 8 { _ = mc_atomic_or_u64(words + 1, 1 << UInt64(thread * 8 + i)) }
            }
        }
        #expect(mc_atomic_load_u64(second) == 160_000 && mc_atomic_load_u64(second + 1) == .max)
        #expect(mc_atomic_and_u64(first + 1, 0xFF) == .max && mc_atomic_load_u64(second + 1) == 0xFF)
        mc_atomic_store_u64(first, 9)
        #expect(mc_atomic_load_u64(second) == 9)
    }

    @Test func populatingAMappingOnAFullMediumIsAnError() throws {
        let scratch = Scratch()
        try scratch.make()
        try #require(mount("small", scratch.path, "tmpfs", 0, "size=64k") == 0, "this test needs to mount")
        defer { umount2(scratch.path, Int32(MNT_DETACH)) }
        for (pages, expected) in [(8, Int32(0)), (32, -ENOSPC)] {
            let fd = mc_open_nameless(scratch.path, 0o600)
            try #require(fd >= 0 && ftruncate(fd, pages * 4096) == 0)
            defer { close(fd) }
            var error: Int32 = 0
            let map = try #require(mc_map_shared(fd, pages * 4096, &error))
            #expect(mc_populate_shared(fd, map, pages * 4096) == expected)
            mc_unmap(map, pages * 4096)
        }
    }

    @Test func aNamelessFileGetsAName() throws {
        let scratch = Scratch()
        try scratch.make()
        let fd = mc_open_nameless(scratch.path, 0o644)
        try #require(fd >= 0)
        defer { close(fd) }
        #expect(mc_pwrite_all(fd, "hello", 5, 3) == 0)
        #expect(mc_link_descriptor(fd, scratch.path + "/named") == 0)
        #expect(try read(scratch.path + "/named") == [0, 0, 0] + Array("hello".utf8))
        #expect(mc_link_descriptor(fd, scratch.path + "/named") == -EEXIST && mc_link_descriptor(-1, "x") == -EBADF)
        var bytes = [UInt8](repeating: 9, count: 10)
        #expect(mc_pread_all(fd, &bytes, 10, 4) == 4, "short only at the end")
    }

    @Test func hugeBuffersAreAlignedAndAnEventWakes() throws {
        let size = 4 << 20
        let buffer = try #require(mc_map_huge_anonymous(size))
        #expect(UInt(bitPattern: buffer) % (2 << 20) == 0)
        buffer.storeBytes(of: 7, toByteOffset: size - 8, as: UInt64.self)
        #expect(mc_release_pages(buffer, size) == 0)
        #expect(buffer.load(fromByteOffset: size - 8, as: UInt64.self) == 0)
        #expect(mc_unmap(buffer, size) == 0)

        let event = mc_eventfd()
        defer { close(event) }
        #expect(mc_wait_readable(event, 0) == 0 && mc_eventfd_drain(event) == 0)
        #expect(mc_eventfd_signal(event) == 0 && mc_eventfd_signal(event) == 0)
        #expect(mc_wait_readable(event, 1000) == 1 && mc_eventfd_drain(event) == 0 && mc_wait_readable(event, 0) == 0)
    }

    /// Two mappings of one file of a page.
    private func mappings() throws -> (UnsafeMutableRawPointer, UnsafeMutableRawPointer, () -> Void) {
        let scratch = Scratch()
        try scratch.make()
        let fd = mc_open_nameless(scratch.path, 0o600)
        try #require(fd >= 0 && ftruncate(fd, 4096) == 0)
        defer { close(fd) }
        var error: Int32 = 0
        let first = try #require(mc_map_shared(fd, 4096, &error))
        let second = try #require(mc_map_shared(fd, 4096, &error))
        return (first, second, { mc_unmap(first, 4096); mc_unmap(second, 4096) })
    }
}
