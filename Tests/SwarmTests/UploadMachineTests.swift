import Swarm
import TestSupport
import Testing

private typealias Look = UploadMachine.Look

extension UploadMachine {
    /// A request whose first byte is here, and that has its place.
    fileprivate static func sending(_ range: Range<UInt64>) -> UploadMachine {
        var upload = UploadMachine(range)
        #expect(upload.looked(Look(end: range.upperBound)) == [.queue])
        #expect(upload.hasPlace() == [.open])
        #expect(upload.opened() == [.look])
        return upload
    }
}

@Suite struct UploadMachineTests {
    private let relay = UploadMachine.relayBytes
    private let most = UploadMachine.sendBytes

    @Test func `what is here goes in order, each byte once, and then it ends`() {
        var upload = UploadMachine.sending(10..<10 + most + 5)
        let all = Look(end: 10 + most + 5)
        #expect(upload.looked(all) == [.send(10..<10 + most)])
        #expect(upload.looked(all) == [], "a send is under way")
        #expect(upload.sent() == [.look])
        #expect(upload.looked(all) == [.send(10 + most..<10 + most + 5)])
        #expect(upload.sent() == [.end(.sent)])
        #expect(upload.broke() == [])
        #expect(upload.sent() == [])
        #expect(upload.looked(all) == [])
    }

    @Test func `a limit makes the sends short`() {
        var upload = UploadMachine.sending(0..<most)
        #expect(upload.looked(Look(end: most, isPaced: true)) == [.send(0..<UploadMachine.pacedSendBytes)])
    }

    @Test func `a block that nobody has is told once, asked for less and less often, and given up`() {
        var upload = UploadMachine(0..<100)
        #expect(upload.looked(Look(end: 0, isAbsent: true)) == [.tellWanted, .lookLater(within: 1_000_000)])
        var pause: Int64 = 1_000_000
        var waited: Int64 = 0
        var actions: [UploadMachine.Action] = []
        repeat {
            waited += pause
            actions = upload.looked(Look(end: 0, isAbsent: true, waited: pause))
            if case .lookLater(let next)? = actions.first {
                #expect(next == min(2 * pause, 128_000_000))
                pause = next
            }
        } while actions.count == 1 && actions != [.end(.notHere)]
        #expect(actions == [.end(.notHere)])
        #expect(waited >= UploadMachine.patience && waited < UploadMachine.patience + 128_000_000)
    }

    @Test func `a request that waits for its first byte takes no place, and its peer may leave`() {
        var upload = UploadMachine(0..<100)
        #expect(upload.looked(Look(end: 0, isArriving: true)) == [.lookLater(within: UploadMachine.watchedPause)])
        #expect(upload.hasPlace() == [], "it has asked for none")
        #expect(upload.broke() == [.end(.broken)])
        #expect(upload.broke() == [])
        // As long as nothing was sent, a block that was arriving may be lost and come again.
        var other = UploadMachine(0..<100)
        #expect(other.looked(Look(end: nil)) == [.lookLater(within: 1_000_000)])
        #expect(other.looked(Look(end: 1, waited: 1_000_000)) == [.queue])
    }

    @Test func `a peer that leaves while it waits for its place, or for the file, is sent nothing`() {
        var upload = UploadMachine(0..<100)
        _ = upload.looked(Look(end: 100))
        #expect(upload.broke() == [.end(.broken)])
        #expect(upload.hasPlace() == [])
        var evicted = UploadMachine(0..<100)
        _ = evicted.looked(Look(end: 100))
        _ = evicted.hasPlace()
        #expect(evicted.notOpened() == [.end(.notHere)])
    }

    @Test func `a relay gives its place up while it waits, and what is late goes on alone`() {
        var upload = UploadMachine.sending(0..<3 * relay)
        let little = Look(end: relay - 1, isArriving: true)
        #expect(upload.looked(little) == [.pause, .lookLater(within: UploadMachine.watchedPause)])
        #expect(upload.looked(little) == [.lookLater(within: UploadMachine.watchedPause)], "it has no place any more")
        var late = little
        late.waited = UploadMachine.watchedPause
        #expect(upload.looked(late) == [.resume, .send(0..<relay - 1)])
        #expect(upload.sent() == [.look])
        #expect(upload.looked(Look(end: 2 * relay)) == [.send(relay - 1..<2 * relay)])
    }

    @Test func `a block that is lost on the way ends the answer, as does one that never comes`() {
        var upload = UploadMachine.sending(0..<2 * relay)
        #expect(upload.looked(Look(end: nil)) == [.end(.broken)])
        var endless = UploadMachine.sending(0..<2 * relay)
        _ = endless.looked(Look(end: 0))
        #expect(endless.looked(Look(end: 0, waited: 10 * UploadMachine.patience)) == [.end(.broken)])
    }

    @Test(arguments: SeededRandom.seeds(200))
    func `in any order of bytes, losses, writes and leaving peers, nothing is sent twice or before it is here`(seed: UInt64) {
        var run = RandomUpload(seed: seed)
        run.go()
        #expect(run.faults.isEmpty, "MODELCACHE_TEST_SEED=\(seed): \(run.faults)")
    }
}

/// One upload in a random world; and what must hold of its actions.
private struct RandomUpload {
    private enum Open { case no, asked, done }

    private var random: SeededRandom
    private let range: Range<UInt64>
    private var upload: UploadMachine
    /// Bytes of the file that are here.
    private var here: UInt64
    private var isQueued = false
    private var open = Open.no
    private var hasPlace = false
    private var writes: Range<UInt64>?
    private var sentTo: UInt64
    private var looksAfter: Int64?
    private var looksNow = true
    private var end: UploadMachine.Outcome?
    private(set) var faults: [String] = []

    init(seed: UInt64) {
        random = SeededRandom(seed: seed)
        let start = UInt64.random(in: 0..<1 << 20, using: &random)
        range = start..<start + UInt64.random(in: 1...2 << 20, using: &random)
        upload = UploadMachine(range)
        here = random.chance(1, of: 2) ? range.upperBound : start
        sentTo = start
    }

    mutating func go() {
        for _ in 0..<10_000 where end == nil {
            expect(looksNow || looksAfter != nil || isQueued || open == .asked || writes != nil, "nothing will ever happen")
            step()
        }
        expect(end != nil, "no end")
        if end == .sent { expect(sentTo == range.upperBound, "the end of the body is missing") }
        if end == .notHere { expect(sentTo == range.lowerBound && open != .done, "bytes went, and the answer says none") }
        for late in [upload.sent(), upload.broke(), upload.hasPlace(), upload.opened(), upload.looked(Look(end: range.upperBound))] {
            expect(late.isEmpty, "\(late) after the end")
        }
    }

    private mutating func step() {
        if random.chance(1, of: 3) { here = min(range.upperBound, here + UInt64.random(in: 0...200_000, using: &random)) }
        if random.chance(1, of: 400) { return take(upload.broke()) }
        if looksNow { return look(waited: 0) }
        if let pause = looksAfter {
            // Bytes wake it sooner.
            return look(waited: random.chance(1, of: 2) ? pause : Int64.random(in: 0...pause, using: &random))
        }
        if isQueued {
            isQueued = false
            hasPlace = true
            return take(upload.hasPlace())
        }
        if open == .asked {
            guard random.chance(9, of: 10) else { return take(upload.notOpened()) }
            open = .done
            return take(upload.opened())
        }
        guard let bytes = writes else { return }
        writes = nil
        guard random.chance(99, of: 100) else { return take(upload.broke()) }
        sentTo = bytes.upperBound
        take(upload.sent())
    }

    private mutating func look(waited: Int64) {
        (looksNow, looksAfter) = (false, nil)
        let isLost = random.chance(1, of: 100)
        take(
            upload.looked(
                Look(
                    end: isLost ? nil : max(here, upload.position), isAbsent: here <= upload.position,
                    isArriving: random.chance(1, of: 2), isPaced: random.chance(1, of: 4), waited: waited)))
    }

    private mutating func take(_ actions: [UploadMachine.Action]) {
        for action in actions {
            expect(end == nil, "\(action) after the end")
            switch action {
            case .tellWanted: expect(open == .no, "\(action) of what is sent already")
            case .lookLater(let pause):
                expect(pause > 0, "\(action) spins")
                looksAfter = pause
            case .queue:
                expect(!isQueued && !hasPlace && here > range.lowerBound, "\(action) twice, or for nothing")
                isQueued = true
            case .open: open = .asked
            case .pause:
                expect(hasPlace, "\(action) without a place")
                hasPlace = false
            case .resume:
                expect(!hasPlace && open == .done, "\(action) of what was not paused")
                hasPlace = true
            case .send(let bytes):
                expect(hasPlace && open == .done && writes == nil, "\(action) in the middle of another, or without a place")
                expect(bytes.lowerBound == sentTo && !bytes.isEmpty, "\(action) after byte \(sentTo)")
                expect(bytes.upperBound <= min(here, range.upperBound), "\(action), and only \(here) are here")
                writes = bytes
            case .look: looksNow = true
            case .end(let outcome): end = outcome
            }
        }
    }

    private mutating func expect(_ holds: Bool, _ fault: String) {
        if !holds { faults.append(fault) }
    }
}
