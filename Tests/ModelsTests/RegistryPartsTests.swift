import AgentAPI
import ChunkStore
import Foundation
import Models
import Synchronization
import TestSupport
import Testing

@Suite struct PatienceTests {
    @Test func `an agent whose mounter hangs says so while the operator listens still`() {
        // An order mounts, and takes back a mount that does not show.
        #expect(MounterClient.patience * 2 + .seconds(2) <= CachePath.orderPatience)
    }
}

@Suite struct CapacityBookTests {
    private let policy = EvictionPolicy(budgetBytes: 100, expireSeconds: nil)

    private func usage(_ id: String, _ bytes: UInt64, inUse: Int = 0) -> ModelUsage {
        ModelUsage(id: id, bytes: bytes, lastUsed: 0, inUse: inUse, pinned: false)
    }

    @Test func `bytes of a model on its way out are promised once`() throws {
        var book = CapacityBook()
        let first = try book.reserve(
            60, for: .opening(.cache("a")), policy: policy, among: [usage("old", 60), usage("used", 30, inUse: 1)], leaving: [])
        #expect(first == .init(victims: ["old"], leaving: []))
        #expect(throws: ChunkStoreError.self) {
            try book.reserve(
                60, for: .opening(.cache("b")), policy: policy,
                among: [usage("old", 60), usage("used", 30, inUse: 1), usage("a", 60, inUse: 1)], leaving: ["old"])
        }
        #expect(book.reservations.count == 1, "a refused reservation promises nothing")
    }

    @Test func `an opening that fits beside a leaving model does not wait for it`() throws {
        var book = CapacityBook()
        let small = try book.reserve(10, for: .opening(.cache("a")), policy: policy, among: [usage("old", 60)], leaving: ["old"])
        #expect(small == .init(victims: [], leaving: []))
        let large = try book.reserve(
            80, for: .opening(.cache("b")), policy: policy, among: [usage("old", 60), usage("a", 10, inUse: 1)], leaving: ["old"])
        #expect(large == .init(victims: [], leaving: ["old"]))
    }
}

@Suite struct LeasePoolTests {
    private final class Closed: Sendable {
        let values = Mutex<[Int]>([])
    }

    private func pool(limit: Int, unused: Int, linger: Duration = .seconds(10)) -> (LeasePool<String, Int>, Closed) {
        let closed = Closed()
        return (LeasePool(limit: limit, unusedLimit: unused, linger: linger) { value in closed.values.withLock { $0.append(value) } }, closed)
    }

    @Test func `equal keys share one value and the limit refuses another`() throws {
        let (pool, closed) = pool(limit: 2, unused: 1)
        let made = Mutex(0)
        func lease(_ key: String) -> LeasePool<String, Int>.Lease? {
            pool.lease(key) { made.withLock { $0 += 1; return $0 } }
        }
        let (a, again, b) = (lease("a"), lease("a"), lease("b"))
        #expect(a?.value == 1 && again?.value == 1 && b?.value == 2)
        #expect(lease("c") == nil && pool.count == 2 && closed.values.withLock { $0 } == [])
        withExtendedLifetime((a, again, b)) {}
    }

    @Test func `unused values make way, linger a little and are closed once`() throws {
        let (pool, closed) = pool(limit: 8, unused: 1)
        for value in 0..<40 { _ = pool.lease("\(value)") { value } }
        #expect(pool.count == 1)
        #expect(closed.values.withLock { $0 } == Array(0..<39))
        pool.sweep(now: .now + .seconds(9))
        #expect(pool.count == 1)
        pool.sweep(now: .now + .seconds(11))
        #expect(pool.count == 0 && closed.values.withLock { $0 } == Array(0..<40))
    }

    @Test func `a leased value is never closed`() throws {
        let (pool, closed) = pool(limit: 1, unused: 0)
        let held = pool.lease("a") { 1 }
        pool.sweep(now: .now + .seconds(100))
        #expect(pool.lease("b") { 2 } == nil)
        #expect(closed.values.withLock { $0 }.isEmpty && held?.value == 1)
    }

    @Test func `a value that is slow to make holds up nobody but those who want the same`() async throws {
        let (pool, closed) = pool(limit: 2, unused: 0)
        let gate = DispatchSemaphore(value: 0)
        let begun = DispatchSemaphore(value: 0)
        // More than the limit: all want one value.
        let openers = (0..<20).map { _ in
            Task.detached {
                await DiskQueue().run {
                    pool.lease("a") {
                        begun.signal()
                        gate.wait()
                        return 1
                    }
                }
            }
        }
        await DiskQueue().run { begun.wait() }
        // A lock that the maker held would never be free.
        pool.sweep()
        let other = pool.lease("b") {
            #expect(pool.lease("c") { 3 } == nil, "a value that is being made has its place")
            return 2
        }
        gate.signal()
        var leases: [LeasePool<String, Int>.Lease?] = []
        for opener in openers { leases.append(await opener.value) }
        #expect(leases.allSatisfy { $0?.value == 1 } && other?.value == 2)
        #expect(closed.values.withLock { $0 } == [] && pool.count == 2)
        withExtendedLifetime(leases) {}
    }

    @Test func `what fails to be made gives its place back, and a pool that closes meanwhile keeps nothing`() throws {
        struct Failed: Error {}
        let (pool, closed) = pool(limit: 1, unused: 0)
        for _ in 0..<3 { #expect(throws: Failed.self) { try pool.lease("a") { () throws(Failed) in throw Failed() } } }
        #expect(pool.lease("a") { _ = pool.takeAll(); return 5 } == nil)
        #expect(closed.values.withLock { $0 } == [5] && pool.count == 0)
    }
}

@Suite struct DiskQueueTests {
    @Test func `calls that hang hold up no other`() async {
        let disk = DiskQueue()
        let gate = DispatchSemaphore(value: 0)
        let hung = (1..<DiskQueue.most).map { _ in Task { await disk.run { gate.wait() } } }
        #expect(await disk.run { 1 } == 1)
        for _ in hung { gate.signal() }
        for call in hung { await call.value }
    }

    @Test func `beyond the most the calls wait, and none is lost`() async {
        let disk = DiskQueue()
        let gate = DispatchSemaphore(value: 0)
        let calls = (0..<DiskQueue.most * 3).map { number in
            Task {
                await disk.run {
                    gate.wait()
                    return number
                }
            }
        }
        for _ in calls { gate.signal() }
        var done: [Int] = []
        for call in calls { done.append(await call.value) }
        #expect(done == Array(0..<DiskQueue.most * 3))
    }
}

@Suite struct AuthorizationsTests {
    private let alice = CallerProof(credentials: [1], isTemporary: false, namespace: nil)

    @Test func `who was shown the source is known after a restart and nobody else is`() throws {
        var known = Authorizations()
        #expect(known.judged([1], .allowed) && !known.judged([1], .allowed))
        let restarted = try #require(Authorizations(encoded: known.encoded))
        #expect(alice.isAuthorized(by: restarted))
        #expect(!CallerProof(credentials: [2], isTemporary: false, namespace: nil).isAuthorized(by: restarted))
        #expect(!CallerProof(credentials: [1], isTemporary: false, namespace: nil).isAuthorized(by: Authorizations()))
    }

    @Test func `a file says nothing of the credentials and two caches have two keys`() {
        var (one, two) = (Authorizations(), Authorizations())
        _ = one.judged(Array("the fingerprint".utf8), .allowed)
        _ = two.judged(Array("the fingerprint".utf8), .allowed)
        #expect(one.encoded != two.encoded)
        #expect(!String(decoding: one.encoded, as: UTF8.self).contains("fingerprint"))
    }

    @Test func `entries are bounded and the one confirmed longest ago goes`() {
        var known = Authorizations()
        for number in 0..<UInt8(200) { _ = known.judged([number], .allowed) }
        _ = known.judged([0], .allowed)
        for number in 0..<UInt8(200) { _ = known.judged([1, number], .allowed) }
        #expect(known.count == Authorizations.limit)
        #expect(known.verdict([0]) == .allowed && known.verdict([1]) == nil)
    }

    @Test func `damage is no authorization`() {
        for text in ["", "{}", "[]", #"{"version":9,"key":"","entries":[]}"#, #"{"version":1,"key":"AA==","entries":[]}"#] {
            #expect(Authorizations(encoded: Data(text.utf8)) == nil)
        }
    }

    @Test func `a token of the namespace serves other credentials, but not those that the store refused`() {
        var known = Authorizations()
        _ = known.judged([9], .allowed)
        let rotated = CallerProof(credentials: [2], isTemporary: true, namespace: [9])
        #expect(rotated.isAuthorized(by: known))
        #expect(!CallerProof(credentials: [2], isTemporary: true, namespace: [8]).isAuthorized(by: known))
        _ = known.judged([2], .denied)
        #expect(!rotated.isAuthorized(by: known))
    }

    @Test func `files have mode 0600, outlive the agent, and go with their model`() throws {
        let folder = try TemporaryFolder()
        let files = AuthorizationFiles(root: folder.path)
        var known = Authorizations()
        _ = known.judged([1], .allowed)
        try files.write(known, "one")
        try files.write(known, "two")
        let mode = try FileManager.default.attributesOfItem(atPath: folder.file("authorized/one.json"))[.posixPermissions] as? Int
        #expect(mode == 0o600)
        #expect(files.read("one") == known && files.read("three") == nil)
        files.sweep(keeping: ["two"])
        #expect(files.read("one") == nil && files.read("two") == known)
        files.remove("two")
        #expect(!FileManager.default.fileExists(atPath: folder.file("authorized")))
    }
}

@Suite struct RecentProofsTests {
    @Test func `a proof holds two seconds for its caller and model, and floods are bounded`() {
        var proofs = RecentProofs()
        let now = ContinuousClock.now
        let caller = CallerProof(credentials: [1], isTemporary: false, namespace: nil)
        proofs.add(caller, .cache("a"), now: now)
        #expect(proofs.contains(caller, .cache("a"), now: now + .seconds(1)))
        #expect(!proofs.contains(caller, .cache("b"), now: now) && !proofs.contains(caller, .cache("a"), now: now + .seconds(2)))
        for number in 0..<5000 { proofs.add(caller, .cache("\(number)"), now: now) }
        #expect(proofs.count == RecentProofs.limit)
    }
}
