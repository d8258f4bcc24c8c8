import Kubernetes
import Testing

/// A machine that `#expect` can drive.
private final class Driver {
    private var machine: ReflectorMachine
    var state: ReflectorMachine.State { machine.state }

    init(options: ReflectorOptions = ReflectorOptions()) { machine = ReflectorMachine(options: options) }

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
        #expect(other.handle(.watchEnded(lasted: .seconds(9)), random: 0.5) == .watch(version: "7", timeout: .seconds(450)))
    }

    @Test func `a cut resumes after the last event or bookmark`() {
        let machine = watching("7")
        #expect(machine.handle(.received(version: "9"), random: 0) == .proceed)
        #expect(machine.handle(.received(version: "12"), random: 0) == .proceed)
        #expect(machine.handle(.watchEnded(lasted: .seconds(60)), random: 0) == .watch(version: "12", timeout: .seconds(300)))
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

    @Test func `failures pause ever longer, with jitter, at most thirty seconds, and resume where they were`() {
        let machine = watching("7")
        for full in [1, 2, 4, 8, 16, 30, 30] {
            #expect(machine.handle(.watchFailed(.other), random: 1) == .wait(.seconds(full)))
            #expect(machine.handle(.waited, random: 0) == .watch(version: "7", timeout: .seconds(300)))
        }
        #expect(machine.handle(.watchFailed(.other), random: 0) == .wait(.seconds(15)))
        machine.handle(.waited, random: 0)
        machine.handle(.received(version: "8"), random: 0)
        #expect(machine.handle(.watchFailed(.other), random: 1) == .wait(.seconds(1)))
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

    @Test func `a version that the server has not reached is awaited, and given up in the end`() {
        let machine = watching("7")
        for _ in 0..<4 {
            machine.handle(.watchFailed(.tooLargeResourceVersion(retryAfter: .seconds(1))), random: 0)
            #expect(machine.handle(.waited, random: 0) == .watch(version: "7", timeout: .seconds(300)))
        }
        machine.handle(.watchFailed(.tooLargeResourceVersion(retryAfter: nil)), random: 0)
        #expect(machine.handle(.waited, random: 0) == .list)
    }

    @Test func `an idle connection is made anew, a second one in a row lists`() {
        let machine = watching("7")
        #expect(machine.handle(.watchIdle, random: 0) == .watch(version: "7", timeout: .seconds(300)))
        machine.handle(.received(version: "8"), random: 0)
        #expect(machine.handle(.watchIdle, random: 0) == .watch(version: "8", timeout: .seconds(300)))
        #expect(machine.handle(.watchIdle, random: 0) == .list)
    }

    @Test func `watches that end at once are not made in a tight loop`() {
        let machine = watching("7")
        #expect(machine.handle(.watchEnded(lasted: .milliseconds(10)), random: 1) == .wait(.seconds(1)))
        machine.handle(.waited, random: 0)
        #expect(machine.handle(.watchEnded(lasted: .milliseconds(10)), random: 1) == .wait(.seconds(2)))
    }

    @Test func `whatever comes in whatever order, there is always a way on`() {
        let events: [ReflectorMachine.Event] = [
            .listed(version: "1"), .listFailed(.other), .received(version: "3"), .watchEnded(lasted: .zero),
            .watchEnded(lasted: .seconds(3)), .watchFailed(.gone), .watchFailed(.malformed), .watchIdle, .waited,
            .watchFailed(.tooLargeResourceVersion(retryAfter: nil)), .watchFailed(.tooManyRequests(retryAfter: nil)),
        ]
        var random = SystemRandomNumberGenerator()
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
