import AgentAPI
import ChunkStore
import Models
import TestSupport
import Testing

private func set(_ version: Int) -> ModelSet { ModelSet([ManifestFile(key: "m.gguf", size: 1, etag: "v\(version)")]) }
private let why = AgentFailure(.denied, "refused")

@Suite struct ModelMachineTests {
    @Test func `an opening describes, reserves, makes and hands out, in this order`() {
        var machine = ModelMachine()
        #expect(machine.listed(1, set(1)) == [.describe(lead: 1)])
        #expect(machine.described(1) == [.reserve(lead: 1)])
        #expect(machine.granted(1) == [.make(lead: 1)])
        #expect(machine.made(1) == [.handOut([1]), .finish(lead: 1)])
        #expect(machine.listed(2, set(1)) == [.handOut([2])])
    }

    @Test func `callers who listed one set wait for one opening`() {
        var machine = ModelMachine()
        _ = machine.listed(1, set(1))
        #expect(machine.listed(2, set(1)).isEmpty)
        _ = machine.described(1)
        #expect(machine.listed(3, set(1)).isEmpty)
        _ = machine.granted(1)
        #expect(machine.made(1) == [.handOut([1, 2, 3]), .finish(lead: 1)])
    }

    @Test func `a caller whose credentials fail leaves the lead to the next`() {
        var machine = ModelMachine()
        _ = machine.listed(1, set(1))
        _ = machine.listed(2, set(1))
        #expect(machine.failed(1, why) == [.refuse([1], why), .finish(lead: 1), .describe(lead: 2)])
        #expect(machine.described(1).isEmpty, "the first lead's step is over")
        #expect(machine.described(2) == [.reserve(lead: 2)])
    }

    @Test func `a refused opening leaves the model closed and everybody is told`() {
        var machine = ModelMachine()
        _ = machine.listed(1, set(1))
        _ = machine.listed(2, set(1))
        _ = machine.described(1)
        #expect(machine.failed(1, why) == [.refuse([1, 2], why), .finish(lead: 1)])
        #expect(machine.isClosed)
    }

    @Test func `an opening that was given up waits for no capacity any more`() {
        var machine = ModelMachine()
        _ = machine.listed(1, set(1))
        #expect(!machine.isReserving(1), "it is described first")
        _ = machine.described(1)
        #expect(machine.isReserving(1) && !machine.isReserving(2))
        _ = machine.evictRequested(by: .request(9), force: true, users: 0, isPinned: false, reason: "gone")
        #expect(!machine.isReserving(1))
        // The next one of the model is another opening.
        _ = machine.listed(2, set(1))
        _ = machine.described(2)
        #expect(machine.isReserving(2) && !machine.isReserving(1))
        _ = machine.granted(2)
        #expect(!machine.isReserving(2))
    }

    @Test func `a newer set is made while the former stays open`() {
        var machine = ModelMachine(open: set(1))
        #expect(machine.listed(1, set(2)) == [.describe(lead: 1)])
        #expect(machine.listed(2, set(1)) == [.handOut([2])])
        #expect(machine.failed(1, why) == [.refuse([1], why), .finish(lead: 1)])
        #expect(machine.listed(3, set(1)) == [.handOut([3])], "what was open stays open")
    }

    @Test func `a model that is used, pinned or being opened goes by force alone`() {
        func outcome(_ machine: ModelMachine, users: Int = 0, isPinned: Bool = false, force: Bool = false) -> [ModelMachine.Action] {
            var machine = machine
            return machine.evictRequested(by: .request(9), force: force, users: users, isPinned: isPinned, reason: "gone")
        }
        func isRefused(_ actions: [ModelMachine.Action]) -> Bool {
            guard actions.count == 1, case .tell([.request(9)], .refused) = actions[0] else { return false }
            return true
        }
        let open = ModelMachine(open: set(1))
        var opening = ModelMachine()
        _ = opening.listed(1, set(1))
        #expect(isRefused(outcome(open, users: 1)) && isRefused(outcome(open, isPinned: true)) && isRefused(outcome(opening)))
        #expect(outcome(open) == [.evict(reason: "gone")])
        #expect(outcome(open, users: 1, isPinned: true, force: true) == [.evict(reason: "gone")])
        #expect(outcome(opening, force: true).last == .tell([.request(9)], .evicted))
    }

    @Test func `files that are being made are removed only when that is over`() {
        var machine = ModelMachine()
        _ = machine.listed(1, set(1))
        _ = machine.described(1)
        _ = machine.granted(1)
        #expect(machine.evictRequested(by: .upkeep, force: true, users: 0, isPinned: false, reason: "gone")
            == [.refuse([1], AgentFailure(.unreachable, "gone"))])
        #expect(machine.listed(2, set(1)).isEmpty)
        #expect(machine.made(1) == [.finish(lead: 1), .evict(reason: "gone")])
        #expect(machine.evicted(nil) == [.tell([.upkeep], .evicted), .describe(lead: 2)])
    }

    @Test func `a deleted cache opens no more`() {
        var machine = ModelMachine(open: set(1))
        _ = machine.evictRequested(by: .request(1), force: true, isFinal: true, users: 3, isPinned: true, reason: "deleted")
        #expect(machine.listed(1, set(1)) == [.refuse([1], ModelMachine.gone)])
        _ = machine.evicted(nil)
        #expect(machine.listed(2, set(1)) == [.refuse([2], ModelMachine.gone)])
    }

    @Test(arguments: SeededRandom.seeds(300)) func `any order of events keeps the promises`(seed: UInt64) {
        var world = MachineWorld(seed: seed)
        for _ in 0..<400 { world.step() }
        world.settle()
        #expect(world.problems.isEmpty, "seed \(seed): \(world.problems.prefix(3))")
        #expect(world.waiting.isEmpty, "seed \(seed): callers without a response: \(world.waiting)")
        #expect(world.requests.isEmpty, "seed \(seed): evictions without an outcome: \(world.requests)")
    }
}

/// Several models with one budget, carried out step by step in any order: a registry without network, files and time.
private struct MachineWorld {
    private static let budget: UInt64 = 10
    private enum Work: Equatable { case describe(Int, UInt64), make(Int, UInt64), remove(Int) }

    private var random: SeededRandom
    private var machines: [ModelMachine]
    private var book = CapacityBook()
    private var work: [Work] = []
    /// Models whose files are there.
    private var files: [Bool]
    private var holders: [Int]
    private var awaited: [UInt64: Set<Int>] = [:]
    private var leads: [UInt64: Int] = [:]
    private var succeeds: Set<UInt64> = []
    private var last: UInt64 = 0
    private(set) var waiting: [UInt64: Int] = [:]
    private(set) var requests: Set<UInt64> = []
    private(set) var problems: [String] = []

    init(seed: UInt64) {
        random = SeededRandom(seed: seed)
        machines = Array(repeating: ModelMachine(), count: 5)
        files = Array(repeating: false, count: 5)
        holders = Array(repeating: 0, count: 5)
    }

    private func name(_ model: Int) -> ModelName { .cache("\(model)") }
    private func bytes(_ model: Int) -> UInt64 { UInt64(model + 2) }

    mutating func step() {
        let model = Int.random(in: 0..<machines.count, using: &random)
        switch Int.random(in: 0..<10, using: &random) {
        case 0...2:
            last += 1
            waiting[last] = model
            let version = Int.random(in: 1...2, using: &random)
            send(model) { [last] in $0.listed(last, set(version)) }
        case 3: if holders[model] > 0 { holders[model] -= 1 }
        case 4:
            last += 1
            requests.insert(last)
            evict(model, by: .request(last), force: random.chance(1, of: 3))
        default: finishWork()
        }
        check()
    }

    mutating func settle() {
        while !work.isEmpty {
            finishWork()
            check()
        }
    }

    private mutating func finishWork() {
        guard let index = work.indices.randomElement(using: &random) else { return }
        let isGood = random.chance(4, of: 5)
        switch work.remove(at: index) {
        case .describe(let model, let lead):
            if isGood { succeeds.insert(lead) }
            send(model) { isGood ? $0.described(lead) : $0.failed(lead, why) }
        case .make(let model, let lead):
            if isGood { files[model] = true }
            send(model) { isGood ? $0.made(lead) : $0.failed(lead, why) }
        case .remove(let model):
            files[model] = false
            holders[model] = 0
            send(model) { $0.evicted(nil) }
        }
    }

    private mutating func send(_ model: Int, _ event: (inout ModelMachine) -> [ModelMachine.Action]) {
        for action in event(&machines[model]) { carryOut(action, model) }
    }

    private mutating func evict(_ model: Int, by requester: ModelMachine.Requester, force: Bool) {
        let users = holders[model]
        send(model) { $0.evictRequested(by: requester, force: force, users: users, isPinned: false, reason: "gone") }
    }

    private mutating func carryOut(_ action: ModelMachine.Action, _ model: Int) {
        switch action {
        case .describe(let lead):
            leads[lead] = model
            work.append(.describe(model, lead))
        case .reserve(let lead): reserve(lead, model)
        case .make(let lead):
            if work.contains(where: { $0 == .remove(model) }) { problems.append("made while it is removed: \(model)") }
            work.append(.make(model, lead))
        case .finish(let lead):
            awaited[lead] = nil
            book.release(.opening(name(model)))
        case .handOut(let callers):
            if !files[model] || work.contains(.remove(model)) { problems.append("handed out without files: \(model)") }
            for caller in callers {
                respond(caller)
                holders[model] += 1
            }
        case .refuse(let callers, _): for caller in callers { respond(caller) }
        case .evict:
            if work.contains(.remove(model)) { problems.append("evicted twice: \(model)") }
            work.append(.remove(model))
        case .tell(let requesters, let outcome):
            for requester in requesters { tell(requester, outcome, model) }
        }
    }

    private mutating func respond(_ caller: UInt64) {
        if waiting.removeValue(forKey: caller) == nil { problems.append("a second response to \(caller)") }
    }

    private mutating func tell(_ requester: ModelMachine.Requester, _ outcome: ModelMachine.Outcome, _ model: Int) {
        switch requester {
        case .upkeep: break
        case .request(let number): if requests.remove(number) == nil { problems.append("a second outcome for \(number)") }
        case .opening(let lead):
            guard awaited[lead] != nil, let opening = leads[lead] else { return }
            if case .refused = outcome {
                awaited[lead] = nil
                return send(opening) { $0.failed(lead, why) }
            }
            ended(model, for: lead)
        }
    }

    private mutating func ended(_ model: Int, for lead: UInt64) {
        guard awaited[lead] != nil, let opening = leads[lead] else { return }
        awaited[lead]?.remove(model)
        guard awaited[lead]?.isEmpty == true else { return }
        awaited[lead] = nil
        send(opening) { $0.granted(lead) }
    }

    private func usages(except model: Int) -> [ModelUsage] {
        machines.indices.filter { $0 != model }.flatMap { other -> [ModelUsage] in
            let reserved = book.reservations[.opening(name(other))] ?? 0
            let held = files[other] ? bytes(other) : 0
            let inUse = holders[other] + (machines[other].isLeaving ? 0 : machines[other].waitingCount)
            let usage = ModelUsage(id: "\(other)", bytes: held, lastUsed: Int64(other), inUse: inUse, pinned: false)
            let extra = ModelUsage(id: "r\(other)", bytes: reserved > held ? reserved - held : 0, lastUsed: 0, inUse: 1, pinned: false)
            return [usage, extra]
        }
    }

    private mutating func reserve(_ lead: UInt64, _ model: Int) {
        if !succeeds.contains(lead) { problems.append("reserved before the opening could succeed: \(model)") }
        let leaving = Set(machines.indices.filter { machines[$0].isLeaving }.map(String.init))
        let policy = EvictionPolicy(budgetBytes: Self.budget, expireSeconds: nil)
        let grant: CapacityBook.Grant
        do {
            grant = try book.reserve(bytes(model), for: .opening(name(model)), policy: policy, among: usages(except: model), leaving: leaving)
        } catch {
            return send(model) { $0.failed(lead, why) }
        }
        let others = (grant.victims + grant.leaving).compactMap { Int($0) }
        awaited[lead] = Set(others + [model])
        for other in others {
            if holders[other] > 0 && grant.victims.contains("\(other)") { problems.append("a victim in use: \(other)") }
            evict(other, by: .opening(lead), force: false)
        }
        ended(model, for: lead)
    }

    private mutating func check() {
        // What has files, or is about to have them without anything left to evict, fits.
        let held = machines.indices.reduce(UInt64(0)) { $0 + (files[$1] ? bytes($1) : 0) }
        let making = work.reduce(UInt64(0)) { sum, item in
            if case .make(let model, _) = item, !files[model] { sum + bytes(model) } else { sum }
        }
        if held + making > Self.budget { problems.append("\(held) held and \(making) being made of \(Self.budget)") }
    }
}
