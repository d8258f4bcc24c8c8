import ChunkStore
import ObjectStore
import Swarm
import SwarmPlan
import TestSupport
import Testing
import Transfer

/// A world of virtual time around one machine: it refuses what the real executor, engine and planner could not do.
private struct World {
    typealias Machine = SwarmFillMachine

    struct Part {
        let block: Int
        let source: Machine.Source
        var received: UInt64 = 0
        var hasTransfer = true
        var isCancelled = false
        var isPaused = false
    }

    static let blockBytes: UInt64 = 100
    static let peer = SwarmPeer(1)

    let layout: BlockLayout
    var machine: Machine
    var now = ContinuousClock.now
    var parts: [SwarmFetch: Part] = [:]
    var held: Set<Int> = []
    var abandoned: Set<Int> = []
    /// The fetches that the planner knows.
    var planned: [SwarmFetch: (block: Int, source: Machine.Source)] = [:]
    var lastFetch: UInt64 = 0
    var told: [SwarmEvent] = []
    var checks: Set<Int> = []
    var failed: [Int: String] = [:]
    var published: Set<Int> = []
    var unfinished: String?
    var throttle: Duration?
    var wanted: [Range<Int>] = []
    var layouts: Set<Int> = []
    var work: [Machine.Event] = []
    var isWorking = false
    var complaint: String?
    /// The verdict on the next blocks of peers.
    var verdict: Machine.Verdict?
    /// No other node takes part.
    var isAlone = false
    let seed: UInt64

    init(_ blockCounts: [Int], limits: FillLimits = FillLimits(maximumTransfers: 8), prefetches: Bool = true, seed: UInt64 = 0) {
        layout = BlockLayout(
            fileSizes: blockCounts.map { UInt64($0) * Self.blockBytes }, chunkBytes: 4 * Self.blockBytes, blockBytes: Self.blockBytes)
        machine = Machine(
            layout: layout, names: blockCounts.indices.map { "f\($0)" }, limits: limits, prefetches: prefetches,
            storeName: "http://store", now: now, draw: { 0.5 })
        self.seed = seed
    }

    mutating func expect(_ condition: Bool, _ what: String) { if !condition, complaint == nil { complaint = "\(what), seed \(seed)" } }

    mutating func handle(_ event: Machine.Event) {
        work.append(event)
        guard !isWorking else { return }
        isWorking = true
        while !work.isEmpty { for action in machine.handle(work.removeFirst(), now: now) { carryOut(action) } }
        isWorking = false
    }

    private mutating func carryOut(_ action: Machine.Action) {
        switch action {
        case .begin(let id, let block, let source, _):
            expect(parts.values.allSatisfy { $0.block != block }, "a second writer of block \(block)")
            if held.contains(block) { return handle(.didNotBegin(id, .isHere)) }
            parts[id] = Part(block: block, source: source)
        case .cancel(let id):
            expect(parts[id].map { $0.hasTransfer && !$0.isCancelled } ?? false, "an unknown cancel")
            parts[id]?.isCancelled = true
        case .pause(let id):
            expect(parts[id].map { $0.hasTransfer && !$0.isPaused && !$0.isCancelled } ?? false, "a pause of nothing")
            parts[id]?.isPaused = true
        case .resume(let id):
            expect(parts[id].map { $0.hasTransfer && $0.isPaused } ?? false, "a resumption of nothing")
            parts[id]?.isPaused = false
        case .judge(let id): judge(id)
        case .forget(let id):
            expect(parts[id].map { !$0.hasTransfer } ?? true, "a fetch is forgotten while its transfer runs")
            parts[id] = nil
        case .tell(let event): tell(event)
        case .want(let blocks):
            wanted.append(blocks)
            handle(.demanded(blocks.filter { !held.contains($0) }))
        case .readLayout(let file, _): expect(layouts.insert(file).inserted, "a layout is read twice at once")
        case .throttleStore(let delay): throttle = delay
        case .abandon(let blocks): abandon(blocks)
        case .check(let file): expect(checks.insert(file).inserted, "two checks of a file")
        case .refill(let file, _), .readAgain(let file):
            held.subtract(layout.fileStarts[file]..<layout.fileStarts[file + 1])
        case .failFile(let file, _, let reason): failed[file] = failed[file] ?? reason
        case .failUnfinished(_, let reason): unfinished = reason
        case .returnGrant, .retried, .throttled: break
        }
    }

    private mutating func tell(_ event: SwarmEvent) {
        told.append(event)
        switch event {
        case .failed(let id, _): expect(planned.removeValue(forKey: id) != nil, "the planner hears of an end twice")
        case .received(let id):
            guard let block = planned.removeValue(forKey: id)?.block else { return expect(false, "the planner hears of an end twice") }
            drop(block)
        case .held(let ranges): for block in ranges.joined() { drop(block) }
        default: break
        }
    }

    /// As the planner does for what it wants no more.
    private mutating func drop(_ block: Int) {
        for id in planned.filter({ $0.value.block == block }).keys.sorted(by: { $0.number < $1.number }) {
            planned[id] = nil
            handle(.cancelled(id))
        }
    }

    private mutating func abandon(_ blocks: Range<Int>) {
        abandoned.formUnion(blocks)
        for block in blocks { drop(block) }
    }

    mutating func judge(_ id: SwarmFetch) {
        guard let part = parts[id] else { return expect(false, "a block is judged that is not there") }
        expect(!part.hasTransfer && part.received == Self.blockBytes, "a block is judged before it has arrived")
        if part.source != .store, let verdict { return handle(.judged(id, verdict)) }
        held.insert(part.block)
        parts[id] = nil
        let file = layout.file(of: part.block)
        handle(.judged(id, .accepted(isFilesLast: missing(file).isEmpty)))
    }

    func missing(_ file: Int) -> [Int] { (layout.fileStarts[file]..<layout.fileStarts[file + 1]).filter { !held.contains($0) } }

    @discardableResult
    mutating func ask(_ block: Int, from source: Machine.Source = .peer(peer), isUrgent: Bool = false) -> SwarmFetch {
        lastFetch += 1
        let id = SwarmFetch(lastFetch)
        planned[id] = (block, source)
        handle(.asked(id, block: block, from: source, isUrgent: isUrgent))
        return id
    }

    /// As the staging queue would, were it never short.
    mutating func grantAll() {
        for _ in 0..<200 {
            let wants = machine.wants(now: now)
            guard wants.demands + wants.prefetches > 0 else { return }
            handle(.granted(isForDemand: wants.demands > 0))
        }
    }

    mutating func end(_ id: SwarmFetch, _ end: Machine.TransferEnd) {
        guard let part = parts[id], part.hasTransfer else { return expect(false, "nothing to end") }
        parts[id]?.hasTransfer = false
        if case .arrived = end { parts[id]?.received = Self.blockBytes }
        handle(.transferEnded(id, end, received: parts[id]?.received ?? part.received))
    }

    mutating func fail(_ id: SwarmFetch, _ kind: StoreError.Kind, status: Int? = nil) {
        end(id, .failed(StoreError(kind, detail: "x", status: status)))
    }

    mutating func advance(_ duration: Duration) {
        now += duration
        handle(.progressed(parts.mapValues(\.received)))
        let isComplete = layout.fileSizes.indices.allSatisfy { published.contains($0) || failed[$0] != nil }
        handle(.tick(isComplete: isComplete, isAlone: isAlone))
    }

    mutating func check(_ file: Int) {
        checks.remove(file)
        guard missing(file).isEmpty else {
            return handle(.fileChecked(file, .failure(.notComplete(key: "f\(file)", missingChunks: 1))))
        }
        published.insert(file)
        handle(.fileChecked(file, .success(.published(.unverifiable))))
    }

    var failures: [SwarmFetchFailure] { told.compactMap { if case .failed(_, let why) = $0 { why } else { nil } } }
}

@Suite struct SwarmFillMachineTests {
    @Test func `a second source begins when the first transfer has ended, and nobody is blamed`() {
        var world = World([8])
        let first = world.ask(3)
        world.grantAll()
        let second = world.ask(3, isUrgent: true)
        #expect(world.failures == [.notBegun] && world.parts[first]?.isCancelled == true)
        world.grantAll()
        #expect(world.parts[second] == nil)
        world.fail(first, .cancelled)
        world.grantAll()
        #expect(world.parts[second]?.hasTransfer == true && world.complaint == nil)
    }

    @Test func `what a reader waits for begins before what was asked for earlier`() {
        var world = World([8])
        for block in 0..<4 { world.ask(block) }
        world.handle(.demanded([6]))
        let wanted = world.ask(6)
        let wants = world.machine.wants(now: world.now)
        #expect(wants.demands == 1 && wants.prefetches == 4)
        world.handle(.granted(isForDemand: true))
        #expect(world.parts.keys.elementsEqual([wanted]))
    }

    @Test func `the cause of a reader's wait is whoever sends its blocks, memory, or the check of its digest`() {
        var world = World([8])
        world.verdict = .unknown
        world.ask(5)
        world.grantAll()
        #expect(world.machine.demandWait(now: world.now) == nil, "nobody waits")
        world.handle(.demanded([0, 1, 2]))
        #expect(world.machine.demandWait(now: world.now) == .peers, "nobody was asked yet")
        #expect(world.machine.demandWait(copyIsAwaited: true, now: world.now) == .copy)
        let peers = world.ask(0)
        #expect(world.machine.demandWait(now: world.now) == .memory)
        world.grantAll()
        #expect(world.machine.demandWait(now: world.now) == .peers)
        world.ask(1, from: .store)
        world.grantAll()
        #expect(world.machine.demandWait(now: world.now) == .store, "of as many blocks")
        for (id, part) in world.parts where part.source == .store { world.fail(id, .connectionLost) }
        world.end(peers, .arrived)
        #expect(world.machine.demandWait(now: world.now) == .check && world.complaint == nil)
        world.handle(.stopped)
        #expect(world.machine.demandWait(now: world.now) == nil)
    }

    @Test func `prefetch rests while another model's reader waits, and its peers are not taken for stuck`() {
        var world = World([8])
        let running = world.ask(0)
        world.grantAll()
        world.handle(.prefetchLimited(0))
        #expect(world.parts[running]?.isPaused == true)
        world.told = []
        world.advance(.milliseconds(100))
        #expect(world.told.contains { if case .progress(running, 0) = $0 { true } else { false } })
        world.ask(1)
        #expect(world.machine.wants(now: world.now).prefetches == 0)
        world.handle(.demanded([0]))
        #expect(world.parts[running]?.isPaused == false)
        world.handle(.prefetchLimited(nil))
        #expect(world.machine.wants(now: world.now).prefetches == 1 && world.complaint == nil)
    }

    @Test func `while another model breathes the eldest prefetches go on, and the next one when one of them ends`() {
        var world = World([8])
        let running = (0..<4).map { world.ask($0) }
        world.grantAll()
        world.handle(.prefetchLimited(2))
        #expect(running.map { world.parts[$0]?.isPaused } == [false, false, true, true])
        world.ask(4)
        #expect(world.machine.wants(now: world.now).prefetches == 0)
        world.end(running[0], .arrived)
        #expect(running.map { world.parts[$0]?.isPaused } == [nil, false, false, true])
        world.handle(.prefetchLimited(nil))
        #expect(running.map { world.parts[$0]?.isPaused } == [nil, false, false, false] && world.complaint == nil)
    }

    @Test func `a node that is alone lets prefetch rest for its own reader, for as long as the link needs for the demand`() {
        var world = World([8])
        world.isAlone = true
        world.advance(.milliseconds(90))
        let prefetch = world.ask(0, from: .store)
        world.grantAll()
        world.handle(.demanded([5]))
        #expect(world.parts[prefetch]?.isPaused == true)
        world.ask(1, from: .store)
        let demanded = world.ask(5, from: .store)
        world.grantAll()
        #expect(world.parts.keys.contains(demanded) && world.parts.count == 2)
        // The link's rate is not known: half a second, and a way to the store and back.
        world.advance(.milliseconds(400))
        #expect(world.parts[prefetch]?.isPaused == true)
        world.advance(.milliseconds(150))
        #expect(world.parts[prefetch]?.isPaused == false && world.parts[demanded]?.isPaused == false)
        #expect(world.complaint == nil)
    }

    @Test func `among other nodes prefetch goes on beside the node's own reader, for others wait for it`() {
        var world = World([8])
        world.advance(.milliseconds(90))
        let prefetch = world.ask(0)
        world.grantAll()
        world.handle(.demanded([5]))
        #expect(world.parts[prefetch]?.isPaused == false)
        world.ask(1)
        #expect(world.machine.wants(now: world.now).prefetches == 1 && world.complaint == nil)
    }

    @Test func `a fetch that gets no memory goes back to the planner`() {
        var world = World([8])
        world.ask(0)
        world.advance(.milliseconds(200))
        #expect(world.failures.isEmpty)
        world.advance(.milliseconds(200))
        #expect(world.failures == [.notBegun] && world.machine.wants(now: world.now) == StagingQueue.Wants())
    }

    @Test func `a file that the store has lost is asked for no more, and the others go on`() {
        var world = World([4, 4])
        let gone = world.ask(1, from: .store)
        world.ask(2, from: .store)
        world.ask(6, from: .store)
        world.grantAll()
        world.fail(gone, .noSuchKey, status: 404)
        #expect(world.failed[0]?.contains("f0 was replaced or deleted") == true && world.abandoned == [0, 1, 2, 3])
        #expect(world.parts.values.filter { !$0.isCancelled }.map(\.block) == [6])
        world.abandoned = []
        world.ask(1)
        #expect(world.abandoned == [0, 1, 2, 3] && world.planned.count == 1 && world.complaint == nil)
    }

    @Test func `a block that every exchange breaks off is given up within a minute`() {
        var world = World([4])
        let began = world.now
        while world.failed.isEmpty, began.duration(to: world.now) < .seconds(120) {
            let id = world.ask(0, from: .store)
            world.grantAll()
            world.parts[id]?.received = 50
            world.fail(id, .connectionLost)
            world.advance(.milliseconds(200))
        }
        #expect(began.duration(to: world.now) < .seconds(60))
        #expect(world.failed[0]?.contains("no new byte in") == true)
    }

    @Test func `keys that every request refuses end the fill, and a file in between does not`() {
        var world = World([4, 4])
        for round in 0..<5 where world.unfinished == nil {
            let id = world.ask(round, from: .store)
            world.grantAll()
            if round == 1 { world.end(id, .arrived) } else { world.fail(id, .wrongSecret, status: 403) }
        }
        #expect(world.unfinished?.contains("f1") == true && world.machine.isQuiet)
    }

    @Test func `a block that came although it was given up is held`() {
        var world = World([4])
        let id = world.ask(2)
        world.grantAll()
        world.planned[id] = nil
        world.handle(.cancelled(id))
        world.end(id, .arrived)
        #expect(world.told.contains { if case .held([2..<3]) = $0 { true } else { false } } && world.complaint == nil)
    }

    @Test func `a block that nobody vouches for is fetched again after a while`() {
        var world = World([4])
        world.verdict = .unknown
        let id = world.ask(0)
        world.grantAll()
        world.end(id, .arrived)
        #expect(world.machine.unjudged(block: 0) == id)
        world.advance(.seconds(4))
        #expect(world.failures.isEmpty)
        world.advance(.seconds(2))
        #expect(world.failures == [.broken] && world.machine.isQuiet)
    }

    @Test func `a chunk that comes again while its file is checked leads to another check`() {
        var world = World([1])
        let first = world.ask(0, from: .store)
        world.grantAll()
        world.end(first, .arrived)
        world.held = []
        let second = world.ask(0, from: .store)
        world.grantAll()
        world.end(second, .arrived)
        world.checks = []
        world.handle(.fileChecked(0, .failure(.notComplete(key: "f0", missingChunks: 1))))
        #expect(world.checks == [0] && world.complaint == nil)
        world.check(0)
        #expect(world.published == [0] && world.machine.isQuiet)
    }

    @Test func `a file whose name something else has fails alone`() {
        var world = World([1, 1])
        for block in 0..<2 {
            let fetch = world.ask(block, from: .store)
            world.grantAll()
            world.end(fetch, .arrived)
        }
        #expect(world.checks == [0, 1])
        world.checks.remove(0)
        world.handle(.fileChecked(0, .failure(.nameTaken(path: "/m/f0"))))
        world.check(1)
        #expect(world.published == [1] && Set(world.failed.keys) == [0] && world.unfinished == nil)
        #expect(world.failed[0]?.contains("/m/f0") == true && world.complaint == nil)
    }

    @Test func `a fill that nobody wants anything of waits for ever`() {
        var world = World([4], prefetches: false)
        for _ in 0..<100 { world.advance(.seconds(10)) }
        #expect(world.unfinished == nil)
        world.handle(.demanded([0]))
        for _ in 0..<30 { world.advance(.seconds(10)) }
        #expect(world.unfinished?.contains("no byte from http://store nor from a peer for 240 s") == true)
    }

    @Test func `a reader of an expert's slice waits for the other slices of the expert too`() {
        var world = World([8, 80])
        #expect(world.machine.beginningNeeded(ofFile: 1) == 1)
        world.handle(.beginningIsThere(file: 1))
        #expect(world.layouts == [1] && world.machine.beginningNeeded(ofFile: 1) == nil)
        world.layouts = []
        world.handle(.layoutRead(file: 1, .needs(bytes: 500)))
        #expect(world.wanted == [8..<16] && world.machine.beginningNeeded(ofFile: 1) == 2)
        world.handle(.beginningIsThere(file: 1))
        let experts = (0..<2).map { FileLayout.Experts(layer: 0, range: 1000 + 2500 * UInt64($0)..<3500 + 2500 * UInt64($0), count: 5) }
        world.handle(.layoutRead(file: 1, .layout(FileLayout(experts: experts, embeddings: []))))
        world.wanted = []
        world.handle(.awaited(file: 1, byte: 2100))
        // Bytes 2000..<2500 and 4500..<5000, in chunks of 400, and the file begins at block 8.
        #expect(world.wanted == [8 + 20..<8 + 28, 8 + 44..<8 + 52])
        world.ask(8 + 45)
        #expect(world.machine.wants(now: world.now).demands == 1 && world.complaint == nil)
    }

    @Test func `bytes that come again are no progress`() {
        var world = World([4])
        let began = world.now
        while world.unfinished == nil, began.duration(to: world.now) < .seconds(600) {
            let id = world.ask(0)
            world.grantAll()
            world.advance(.seconds(1))
            world.parts[id]?.received = 60
            world.advance(.seconds(1))
            world.fail(id, .connectionLost)
        }
        #expect(began.duration(to: world.now) < .seconds(260))
    }

    @Test func `random interleavings keep the invariants and every fill ends`() {
        for seed in SeededRandom.seeds(300) { randomRun(seed) }
    }

    private func randomRun(_ seed: UInt64) {
        var random = SeededRandom(seed: seed)
        let counts = (0..<Int.random(in: 1...4, using: &random)).map { _ in Int.random(in: 1...20, using: &random) }
        var world = World(counts, seed: seed)
        let stops = random.chance(1, of: 4)
        var steps = 0
        while !(world.machine.isQuiet && world.machine.hasNothingToDo && (world.machine.isStopping || world.published.count == counts.count)) {
            steps += 1
            guard steps <= 20_000, world.complaint == nil else {
                Issue.record("\(world.complaint ?? "the fill does not end, seed \(seed)")")
                return
            }
            // Late in a run no more faults: what may succeed must succeed.
            let calm = steps > 300
            if stops, random.chance(1, of: 200) { world.handle(.stopped) }
            step(&world, calm, &random)
        }
        #expect(world.parts.isEmpty && world.complaint == nil, "seed \(seed)")
        if !world.machine.isStopping { #expect(world.planned.isEmpty && world.failed.isEmpty, "seed \(seed)") }
    }

    private func step(_ world: inout World, _ calm: Bool, _ random: inout SeededRandom) {
        switch Int.random(in: 0..<13, using: &random) {
        case 0, 1, 2:
            let missing = (0..<world.layout.count).filter { !world.held.contains($0) }
            guard let block = missing.randomElement(using: &random), world.planned.values.count(where: { $0.block == block }) < 2,
                !world.machine.isStopping
            else { return }
            world.ask(block, from: random.chance(1, of: 2) ? .store : .peer(World.peer), isUrgent: random.chance(1, of: 4))
        case 3:
            let block = Int.random(in: 0..<world.layout.count, using: &random)
            if !world.held.contains(block) { world.handle(.demanded([block])) }
        case 4: world.handle(.prefetchLimited(calm || random.chance(1, of: 2) ? nil : Int.random(in: 0...3, using: &random)))
        case 5: if let file = world.checks.sorted().randomElement(using: &random) { world.check(file) }
        case 6:
            guard let id = world.planned.keys.sorted(by: { $0.number < $1.number }).randomElement(using: &random), !calm else { return }
            world.planned[id] = nil
            world.handle(.cancelled(id))
        case 7: world.handle(.granted(isForDemand: random.chance(1, of: 2)))
        case 8: world.grantAll()
        case 9:
            world.isAlone = random.chance(1, of: 2)
            world.advance(.milliseconds(Int.random(in: 1...400, using: &random)))
        case 10:
            world.verdict = calm ? nil : [nil, .unknown, .broken, .disputed, .stale].randomElement(using: &random) ?? nil
            if !calm, random.chance(1, of: 10) {
                for (id, fetch) in world.planned where fetch.source == .peer(World.peer) { world.planned[id] = nil }
                world.handle(.peerLeft(World.peer))
            }
        default: act(&world, calm, &random)
        }
    }

    private func act(_ world: inout World, _ calm: Bool, _ random: inout SeededRandom) {
        let running = world.parts.filter { $0.value.hasTransfer && (!$0.value.isPaused || $0.value.isCancelled) }
        guard let id = running.keys.sorted(by: { $0.number < $1.number }).randomElement(using: &random), let part = running[id] else { return }
        if part.isCancelled, random.chance(1, of: 2) { return world.fail(id, .cancelled) }
        if !calm, random.chance(1, of: 4), let kind = [StoreError.Kind.connectionLost, .server, .throttled].randomElement(using: &random) {
            return world.fail(id, kind)
        }
        if !calm, random.chance(1, of: 20) { return world.end(id, .cacheFailed(.stale(key: "f", chunk: 0))) }
        world.parts[id]?.received = min(World.blockBytes, part.received + UInt64.random(in: 1...100, using: &random))
        if world.parts[id]?.received == World.blockBytes { world.end(id, .arrived) }
    }
}
