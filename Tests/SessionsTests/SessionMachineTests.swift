import Models
import Sessions
import TestSupport
import Testing

/// Holds are numbers here.
private typealias Machine = SessionMachine<Int>

private func machine(_ scope: SessionScope = .agent, user: UInt32 = 1000, agent: UInt32 = 1000) -> Machine {
    Machine(scope: scope, peer: PeerCredentials(processID: 1, userID: user), agent: agent)
}

private let status = Packet.control(json: Array("{\"status\":{}}".utf8))
private let evict = Packet.control(json: Array("{\"evict\":{\"force\":false}}".utf8))
private let starts = Packet.control(json: Array("{\"starts\":{}}".utf8))
private let demand = Packet.demand(file: 1, offset: 2, length: 3)

extension [SessionMachine<Int>.Action] {
    fileprivate var refusal: (code: AgentFailure.Code, message: String)? {
        for case .refuse(let code, let message) in self { return (code, message) }
        return nil
    }
}

@Suite struct SessionMachineTests {
    @Test func `a session opens a model, demands from it and gives it back when its client is gone`() {
        var session = machine()
        #expect(session.received(.open(settings: ["a": "b"])) == [.open(settings: ["a": "b"])])
        #expect(session.hasModel)
        #expect(session.opened(7) == [.answer(7)])
        #expect(session.workEnded() == [])
        #expect(session.received(demand) == [.demand(7, file: 1, offset: 2, length: 3)])
        #expect(session.received(.subscribe) == [.subscribe(7)])
        #expect(session.ended() == [.release(7), .leave])
        #expect(session.isOver)
    }

    @Test func `a client that leaves during its opening holds nothing, and its place is free when the opening has ended`() {
        var session = machine()
        _ = session.received(.open(settings: [:]))
        #expect(session.ended() == [])
        #expect(!session.isOver && !session.hasModel)
        #expect(session.opened(7) == [.release(7)])
        #expect(session.workEnded() == [.leave])
        var failing = machine()
        _ = failing.received(.open(settings: [:]))
        _ = failing.ended()
        #expect(failing.openingFailed(AgentFailure(.denied, "no")) == [])
        #expect(failing.workEnded() == [.leave])
    }

    @Test func `a client that never sent a packet leaves at once`() {
        var session = machine()
        #expect(session.ended() == [.leave])
    }

    @Test func `an opening that fails tells why, and ends the conversation`() {
        var session = machine()
        _ = session.received(.open(settings: [:]))
        #expect(session.openingFailed(AgentFailure(.notFound, "no such model")) == [.refuse(.notFound, "no such model")])
        #expect(session.workEnded() == [])
        #expect(!session.hasModel)
        #expect(session.ended() == [.leave])
    }

    @Test(arguments: [
        (demand, "a demand before"), (.subscribe, "a subscription before"), (.notice, "only the agent sends"),
        (.error(code: 1, message: ""), "only the agent sends"), (.control(json: [1]), "no complete JSON"),
    ] as [(Packet, String)])
    func `a packet that may not come is refused, and what comes after it is dropped`(packet: Packet, words: String) throws {
        var session = machine()
        let refusal = try #require(session.received(packet).refusal)
        #expect(refusal.code == .protocol && refusal.message.contains(words), "\(refusal)")
        for late in [packet, .open(settings: [:]), status] { #expect(session.received(late) == []) }
        #expect(session.ended() == [.leave])
    }

    @Test func `a second open is refused, and the first one's model is given back`() throws {
        var session = machine()
        _ = session.received(.open(settings: [:]))
        #expect(try #require(session.received(.open(settings: [:])).refusal).message.contains("a second open"))
        #expect(session.opened(7) == [.release(7)], "nobody waits for it any more")
        #expect(session.workEnded() == [])
        #expect(session.ended() == [.leave])

        var opened = machine()
        _ = opened.received(.open(settings: [:]))
        _ = opened.opened(8)
        #expect(try #require(opened.received(.open(settings: [:])).refusal).message.contains("a second open"))
        _ = opened.workEnded()
        #expect(opened.ended() == [.release(8), .leave])
    }

    @Test func `a reader with too many demands is told so, once`() throws {
        var session = machine()
        _ = session.received(.open(settings: [:]))
        _ = session.opened(7)
        #expect(try #require(session.demandRefused().refusal).code == .capacity)
        #expect(session.demandRefused() == [])
    }

    @Test func `the agent's own socket takes orders of root and the agent's user alone`() throws {
        for user: UInt32 in [0, 1000] {
            var session = machine(user: user)
            #expect(session.received(evict) == [.respond(.agent(.evict(model: nil, force: false)), to: .trusted)])
        }
        var asks = machine()
        #expect(asks.received(starts) == [.respond(.agent(.starts), to: .trusted)])
        var other = machine(user: 1001)
        #expect(try #require(other.received(status).refusal).message.contains("root and the agent's own user"))
    }

    @Test func `a cache's socket shows that cache to those who proved who they are, and takes no orders`() throws {
        var session = machine(.cache("u"), user: 1001)
        #expect(session.received(status) == [.respond(.cache("u"), to: .unproven(cache: "u"))])
        #expect(try #require(session.proofMissing().refusal).code == .denied)
        #expect(session.workEnded() == [])

        var opened = machine(.cache("u"), user: 1001)
        _ = opened.received(.open(settings: [:]))
        #expect(opened.received(evict) == [.respond(.order, to: .unproven(cache: "u"))], "it has not proved anything yet")
        _ = opened.opened(7)
        _ = opened.responded()
        #expect(opened.received(status) == [.respond(.cache("u"), to: .trusted)])
        _ = opened.responded()
        #expect(opened.received(starts) == [.respond(.order, to: .trusted)], "other pods' starts are not shown")
    }

    @Test func `a second control request waits for the response to the first`() throws {
        var session = machine()
        _ = session.received(status)
        #expect(session.responded() == [])
        // The client may have the last packet already.
        #expect(session.received(status) == [.respond(.agent(.status), to: .trusted)])
        #expect(session.responseEnded(isRead: true) == [])
        #expect(session.workEnded() == [])
        #expect(try #require(session.received(status).refusal).message.contains("a second control request"))
        // A response with a hole ends the conversation; this one has ended already.
        _ = session.responded()
        #expect(session.responseEnded(isRead: false) == [])
        #expect(session.ended() == [])
        #expect(session.workEnded() == [.leave])
    }

    @Test func `a client that does not read its response is let go`() {
        var session = machine()
        _ = session.received(status)
        _ = session.responded()
        #expect(session.responseEnded(isRead: false) == [.dismiss])
    }

    @Test(arguments: SeededRandom.seeds(500))
    func `whatever comes in whatever order, each model is given back once and each client leaves once, last`(seed: UInt64) {
        var run = RandomSession(seed: seed)
        run.go()
        #expect(run.faults.isEmpty, "MODELCACHE_TEST_SEED=\(seed): \(run.faults)")
    }
}

/// A client, the server's thread and the tasks of one session, in a random order; and what must hold of the actions.
private struct RandomSession {
    /// The rest of a task.
    enum Step {
        case open, respond, finishResponse, workEnds
    }

    private var random: SeededRandom
    private var session: Machine
    private var tasks: [Step] = []
    private var hasEnded = false
    private var isFarewellSaid = false
    private var holds = 0
    private var held: Set<Int> = []
    private var responses = 0
    private var leaves = 0
    private(set) var faults: [String] = []

    init(seed: UInt64) {
        random = SeededRandom(seed: seed)
        session = machine(random.chance(1, of: 2) ? .agent : .cache("u"), user: random.chance(1, of: 4) ? 1001 : 1000)
    }

    mutating func go() {
        for _ in 0..<40 {
            if !hasEnded, random.chance(1, of: 2) { clientActs() } else { taskGoesOn() }
        }
        if !hasEnded { end() }
        while !tasks.isEmpty { taskGoesOn() }
        expect(session.isOver && leaves == 1, "over \(session.isOver), left \(leaves) times")
        expect(held.isEmpty, "models \(held) are held for ever")
    }

    private mutating func clientActs() {
        if random.chance(1, of: 12) { return end() }
        // Mostly a well-behaved client: most random packets would end the conversation at once.
        let packets: [Packet] = [
            .open(settings: [:]), demand, demand, .subscribe, status, status, evict, .notice, .control(json: [9]),
        ]
        let isQuiet = random.chance(3, of: 4)
        let packet = isQuiet && !session.hasModel ? packets[0] : packets.randomElement(using: &random)!
        take(session.received(packet))
    }

    private mutating func end() {
        hasEnded = true
        take(session.ended())
    }

    private mutating func taskGoesOn() {
        guard let place = tasks.indices.randomElement(using: &random) else { return }
        switch tasks[place] {
        case .open:
            tasks[place] = .workEnds
            guard random.chance(3, of: 4) else { return take(session.openingFailed(AgentFailure(.denied, "no"))) }
            holds += 1
            held.insert(holds)
            take(session.opened(holds))
        case .respond:
            responses -= 1
            guard random.chance(3, of: 4) else {
                tasks[place] = .workEnds
                return take(session.proofMissing())
            }
            tasks[place] = .finishResponse
            take(session.responded())
        case .finishResponse:
            tasks[place] = .workEnds
            take(session.responseEnded(isRead: random.chance(3, of: 4)))
        case .workEnds:
            tasks.remove(at: place)
            take(session.workEnded())
        }
    }

    private mutating func take(_ actions: [Machine.Action]) {
        for action in actions {
            expect(leaves == 0, "\(action) after the client left")
            switch action {
            case .open: begin(.open, action)
            case .respond:
                begin(.respond, action)
                responses += 1
                expect(responses == 1, "two responses at once")
            case .answer(let hold), .subscribe(let hold), .demand(let hold, _, _, _):
                expect(!isFarewellSaid && held.contains(hold), "\(action) of a session that has no model")
                if case .demand = action, random.chance(1, of: 10) { take(session.demandRefused()) }
            case .release(let hold): expect(held.remove(hold) != nil, "\(action): released before")
            case .refuse, .dismiss:
                expect(!isFarewellSaid && !hasEnded, "\(action) though nobody reads it")
                isFarewellSaid = true
            case .leave:
                expect(hasEnded && tasks.isEmpty, "left while its client or \(tasks) go on")
                leaves += 1
            }
        }
    }

    private mutating func begin(_ step: Step, _ action: Machine.Action) {
        expect(!isFarewellSaid && !hasEnded, "\(action) for a session that has ended")
        tasks.append(step)
    }

    private mutating func expect(_ holds: Bool, _ fault: String) {
        if !holds { faults.append(fault) }
    }
}
