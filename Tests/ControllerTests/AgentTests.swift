import AgentAPI
import Controller
import Testing

@Suite struct AgentTests {
    private let start = WallTime(seconds: 1_800_000_000)
    private func address(_ node: String, host: String = "10.0.0.1") -> AgentAddress { AgentAddress(node: node, host: host, port: 9417) }

    @Test func aNewAgentIsAskedAtOnceAndThenByHowBusyItIs() {
        var schedule = PollSchedule()
        schedule.set(address("a"), now: start)
        #expect(schedule.take(now: start) == [address("a")])
        #expect(schedule.take(now: start + .seconds(60)).isEmpty)
        schedule.answered(address("a"), .busy, now: start)
        #expect(schedule.take(now: start + .milliseconds(900)).isEmpty)
        #expect(schedule.take(now: start + .seconds(1)).count == 1)
        schedule.answered(address("a"), .idle, now: start)
        #expect(schedule.take(now: start + .seconds(13)).isEmpty)
        #expect(schedule.take(now: start + .seconds(15)).count == 1)
    }

    @Test func whoIsWantedWhileAskedIsAskedAgain() {
        var schedule = PollSchedule()
        schedule.set(address("a"), now: start)
        _ = schedule.take(now: start)
        schedule.want("a", now: start)
        schedule.answered(address("a"), .idle, now: start)
        #expect(schedule.take(now: start).count == 1)
    }

    @Test func aMovedAgentIsAskedAtItsNewAddress() {
        var schedule = PollSchedule()
        schedule.set(address("a"), now: start)
        _ = schedule.take(now: start)
        schedule.set(address("a", host: "10.0.0.2"), now: start)
        schedule.answered(address("a"), .idle, now: start)
        #expect(schedule.take(now: start) == [address("a", host: "10.0.0.2")])
    }

    @Test func noMoreAreAskedAtATimeThanTheWidth() {
        var schedule = PollSchedule()
        for number in 0..<100 { schedule.set(address("node-\(number)"), now: start) }
        let first = schedule.take(now: start)
        #expect(first.count == PollSchedule.width)
        #expect(schedule.nextDue == nil)
        // One that disappears while it is asked makes room.
        if let one = first.first { schedule.remove(one.node) }
        #expect(schedule.take(now: start).count == 1)
        for agent in first { schedule.answered(agent, .silent, now: start) }
        #expect(schedule.take(now: start).count == 100 - PollSchedule.width - 1)
    }

    @Test func `Agents are asked in the order of their times, and one that is gone is not`() {
        var schedule = PollSchedule()
        for (index, node) in ["a", "b", "c", "d"].enumerated() { schedule.set(address(node), now: start + .seconds(-Int64(index))) }
        schedule.remove("c")
        schedule.want("a", now: start + .seconds(-60))
        #expect(schedule.nextDue == start + .seconds(-60))
        #expect(schedule.take(now: start).map(\.node) == ["a", "d", "b"])
        #expect(schedule.nextDue == nil)
        schedule.answered(address("b"), .silent, now: start)
        schedule.answered(address("a"), .busy, now: start)
        #expect(schedule.nextDue == start + PollSchedule.busyInterval)
        #expect(schedule.take(now: start + .seconds(5)).map(\.node) == ["a", "b"])
        // It comes back while its last answer is awaited still.
        schedule.remove("d")
        schedule.set(address("d"), now: start)
        #expect(schedule.take(now: start).map(\.node) == ["d"])
    }

    @Test func anAgentThatDoesNotListenIsUnreachable() async {
        let client = AgentClient()
        await #expect { _ = try await client.report(from: AgentAddress(node: "a", host: "127.0.0.1", port: 1)) } throws: { error in
            if case .unreachable(let why)? = error as? AgentFailure { why.contains("127.0.0.1:1") } else { false }
        }
        await client.shutdown()
    }
}
