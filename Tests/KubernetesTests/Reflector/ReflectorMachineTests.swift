import Kubernetes
import TestSupport
import Testing

/// A machine that `#expect` can drive.
private final class Driver {
    private var machine: ReflectorMachine
    var state: ReflectorMachine.State { machine.state }

    init(options: ReflectorOptions = ReflectorOptions()) { machine = ReflectorMachine(options: options) }

    func precedes(_ version: String) -> Bool { machine.precedes(version) }

    @discardableResult
    func handle(_ event: ReflectorMachine.Event, random: Double) -> ReflectorMachine.Action {
        machine.handle(event, random: random)
    }
}

@Suite struct ReflectorMachineTests {
    private var options: ReflectorOptions {
        var options = ReflectorOptions()
        options.initialBackoff = .seconds(1)
        options.maximumBackoff = .seconds(30)
        return options
    }

    private func watching(_ version: String) -> Driver {
        let machine = Driver(options: options)
        machine.handle(.start, random: 0)
        machine.handle(.listed(version: version), random: 0)
        return machine
    }

    @Test func `it lists, then watches from the list's version for five to ten minutes`() {
        let machine = Driver()
        #expect(machine.handle(.start, random: 0) == .list)
        #expect(machine.handle(.listed(version: "7"), random: 0) == .watch(version: "7", timeout: .seconds(300)))
        let other = watching("7")
        #expect(other.handle(.watchEnded(lasted: .seconds(300)), random: 0.5) == .watch(version: "7", timeout: .seconds(450)))
    }

    @Test func `a watch that reached its time-out resumes after the last event or bookmark`() {
        let machine = watching("7")
        #expect(machine.handle(.received(version: "9"), random: 0) == .proceed)
        #expect(machine.handle(.received(version: "12"), random: 0) == .proceed)
        // The server takes whole seconds: 300.9 s are 300 s for it.
        #expect(machine.handle(.watchEnded(lasted: .seconds(300)), random: 0.003) == .watch(version: "12", timeout: .milliseconds(300_900)))
        #expect(machine.handle(.watchEnded(lasted: .seconds(300)), random: 0) == .watch(version: "12", timeout: .seconds(300)))
    }

    @Test func `a cut lists, since the server may have another history than before`() {
        let machine = watching("7")
        machine.handle(.received(version: "9"), random: 0)
        #expect(machine.handle(.watchEnded(lasted: .seconds(60)), random: 0.5) == .wait(.milliseconds(500)))
        #expect(machine.handle(.waited, random: 0) == .list)
        // Smaller than what was seen: of a server that was restored.
        #expect(machine.handle(.listed(version: "8"), random: 0) == .watch(version: "8", timeout: .seconds(300)))
    }

    @Test func `a cut soon after a list resumes, and lists when a list is due though the watch is not cut again`() {
        let machine = watching("7")
        machine.handle(.received(version: "9"), random: 0)
        #expect(machine.handle(.watchEnded(lasted: .milliseconds(3_500)), random: 0) == .watch(version: "9", timeout: .seconds(7)))
        #expect(machine.handle(.watchEnded(lasted: .seconds(7)), random: 0) == .wait(.zero))
        #expect(machine.handle(.waited, random: 0) == .list)
        #expect(machine.handle(.listed(version: "9"), random: 0) == .watch(version: "9", timeout: .seconds(300)))
    }

    /// The lists in `hours` behind a proxy that ends a watch after `cut` at the latest.
    private func lists(in hours: Int, cut: Duration) -> Int {
        let machine = watching("7")
        var (lists, now) = (0, Duration.zero)
        var lasted = cut
        while now < .seconds(3_600 * hours) {
            switch machine.handle(.watchEnded(lasted: lasted), random: 0.5) {
            case .watch(_, let timeout): lasted = min(cut, timeout)
            case .wait(let pause):
                now += pause
                switch machine.handle(.waited, random: 0.5) {
                case .list:
                    lists += 1
                    machine.handle(.listed(version: "7"), random: 0.5)
                    lasted = cut
                case .watch(_, let timeout): lasted = min(cut, timeout)
                case .wait, .proceed: Issue.record("no way on after a pause")
                }
            case .list, .proceed: Issue.record("no watch and no pause after the end of a watch")
            }
            now += lasted
        }
        return lists
    }

    @Test(arguments: [20, 900, 1_000, 4_000, 30_000, 60_000, 200_000])
    func `a proxy that cuts every watch costs at most a list in five minutes`(milliseconds: Int) {
        #expect((6...17).contains(lists(in: 1, cut: .milliseconds(milliseconds))))
        #expect(lists(in: 10, cut: .milliseconds(milliseconds)) <= 5 + 10 * 12)
    }

    @Test func `after a watch that reached its time-out a cut is followed by a list at once again`() {
        let machine = watching("7")
        for _ in 0..<5 {
            machine.handle(.watchEnded(lasted: .seconds(290)), random: 0)
            #expect(machine.handle(.waited, random: 0) == .list)
            machine.handle(.listed(version: "7"), random: 0)
        }
        #expect(machine.handle(.watchEnded(lasted: .seconds(20)), random: 0) == .watch(version: "7", timeout: .seconds(281)))
        machine.handle(.watchEnded(lasted: .seconds(281)), random: 0)
        machine.handle(.waited, random: 0)
        machine.handle(.listed(version: "7"), random: 0)
        machine.handle(.watchEnded(lasted: .seconds(300)), random: 0)
        #expect(machine.handle(.watchEnded(lasted: .seconds(20)), random: 0) == .wait(.zero))
    }

    @Test func `an event without a version does not lose the one before`() {
        let machine = watching("7")
        machine.handle(.received(version: ""), random: 0)
        #expect(machine.state == .watching(version: "7"))
    }

    @Test func `gone lists anew at once, and with a growing pause when it goes on`() {
        let machine = watching("7")
        #expect(machine.handle(.watchFailed(.gone), random: 1) == .list)
        machine.handle(.listed(version: "8"), random: 0)
        #expect(machine.handle(.watchFailed(.gone), random: 1) == .wait(.seconds(2)))
        #expect(machine.handle(.waited, random: 0) == .list)
        machine.handle(.listed(version: "8"), random: 0)
        #expect(machine.handle(.watchFailed(.gone), random: 1) == .wait(.seconds(4)))
        machine.handle(.waited, random: 0)
        machine.handle(.listed(version: "9"), random: 0)
        machine.handle(.received(version: "10"), random: 0)
        #expect(machine.handle(.watchFailed(.gone), random: 1) == .list)
    }

    @Test func `a malformed event lists anew`() {
        let machine = watching("7")
        #expect(machine.handle(.watchFailed(.malformed), random: 0) == .list)
    }

    @Test func `a watch that fails or cannot be made anew lists, with ever longer pauses, at most thirty seconds`() {
        let machine = watching("7")
        #expect(machine.handle(.watchFailed(.other), random: 1) == .wait(.seconds(1)))
        for full in [2, 4, 8, 16, 30, 30] {
            #expect(machine.handle(.waited, random: 0) == .list)
            #expect(machine.handle(.listFailed(.other), random: 1) == .wait(.seconds(full)))
        }
        machine.handle(.waited, random: 0)
        // The list's version is smaller after a restore of etcd, and is taken as it is.
        #expect(machine.handle(.listed(version: "3"), random: 0) == .watch(version: "3", timeout: .seconds(300)))
        machine.handle(.received(version: "4"), random: 0)
        #expect(machine.handle(.watchFailed(.other), random: 1) == .wait(.seconds(1)))
    }

    @Test func `versions that go back within a watch list anew`() {
        let machine = watching("1007")
        #expect(!machine.precedes("1007") && !machine.precedes("1008") && !machine.precedes("10000"))
        #expect(machine.precedes("1006") && machine.precedes("999"))
        #expect(!machine.precedes("") && !machine.precedes("abc"))
        #expect(machine.handle(.versionWentBack, random: 0) == .list)
        #expect(!machine.precedes("3"))
        #expect(machine.handle(.listed(version: "3"), random: 0) == .watch(version: "3", timeout: .seconds(300)))
    }

    @Test func `a failed list pauses and lists again`() {
        let machine = Driver(options: options)
        machine.handle(.start, random: 0)
        #expect(machine.handle(.listFailed(.other), random: 1) == .wait(.seconds(1)))
        #expect(machine.handle(.waited, random: 0) == .list)
    }

    @Test func `what the server asks to wait is waited at least`() {
        let machine = watching("7")
        #expect(machine.handle(.watchFailed(.tooManyRequests(retryAfter: .seconds(10))), random: 0) == .wait(.seconds(10)))
        machine.handle(.waited, random: 0)
        #expect(machine.handle(.watchFailed(.tooManyRequests(retryAfter: nil)), random: 1) == .wait(.seconds(2)))
    }

    @Test func `a version that the server has not reached is not awaited`() {
        let machine = watching("7")
        #expect(
            machine.handle(.watchFailed(.tooLargeResourceVersion(retryAfter: .seconds(1))), random: 0)
                == .wait(.seconds(1)))
        #expect(machine.handle(.waited, random: 0) == .list)
    }

    @Test func `an idle connection lists anew`() {
        let machine = watching("7")
        #expect(machine.handle(.watchIdle, random: 0) == .list)
    }

    @Test func `watches that end at once are not made in a tight loop`() {
        let machine = watching("7")
        #expect(machine.handle(.watchEnded(lasted: .milliseconds(10)), random: 1) == .wait(.seconds(1)))
        #expect(machine.handle(.waited, random: 0) == .watch(version: "7", timeout: .seconds(9)))
        #expect(machine.handle(.watchEnded(lasted: .milliseconds(10)), random: 1) == .wait(.seconds(2)))
        machine.handle(.waited, random: 0)
        #expect(machine.handle(.watchEnded(lasted: .milliseconds(10)), random: 1) == .wait(.seconds(4)))
        machine.handle(.waited, random: 0)
        #expect(machine.handle(.watchEnded(lasted: .milliseconds(10)), random: 1) == .wait(.seconds(8)))
        machine.handle(.waited, random: 0)
        // Now a list is due.
        machine.handle(.watchEnded(lasted: .milliseconds(10)), random: 1)
        #expect(machine.handle(.waited, random: 0) == .list)
    }

    @Test func `whatever comes in whatever order, there is always a way on`() {
        let events: [ReflectorMachine.Event] = [
            .listed(version: "1"), .listFailed(.other), .received(version: "3"), .watchEnded(lasted: .zero),
            .watchEnded(lasted: .seconds(3)), .watchFailed(.gone), .watchFailed(.malformed), .watchIdle, .waited,
            .versionWentBack,
            .watchFailed(.tooLargeResourceVersion(retryAfter: nil)), .watchFailed(.tooManyRequests(retryAfter: nil)),
        ]
        var random = SeededRandom(seed: SeededRandom.seed)
        for _ in 0..<2_000 {
            let machine = Driver(options: options)
            machine.handle(.start, random: 0)
            for _ in 0..<50 {
                let before = machine.state
                let event = events.randomElement(using: &random)!
                switch machine.handle(event, random: 0.5) {
                case .list: #expect(machine.state == .listing)
                case .watch(let version, _): #expect(machine.state == .watching(version: version) && !version.isEmpty)
                case .wait(let pause):
                    #expect(pause > .zero && pause <= .seconds(30))
                    guard case .waiting = machine.state else { return #expect(Bool(false), "\(event) in \(before)") }
                case .proceed: break
                }
            }
        }
    }
}
