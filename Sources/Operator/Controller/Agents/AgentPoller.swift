internal import AgentAPI
internal import Kubernetes
internal import Logging
internal import Synchronization

/// Keeps the world's picture of the agents fresh, as ``PollSchedule`` says.
final class AgentPoller: Sendable {
    private let client: AgentClient
    private let world: World
    private let wake: @Sendable (World.Wakes) -> Void
    /// An agent refused the signature.
    private let refused: @Sendable () -> Void
    private let logger: Logger
    private let schedule = Mutex(PollSchedule())
    private let signals: AsyncStream<Void>
    private let signal: AsyncStream<Void>.Continuation

    /// Agents whose times are so close to each other are asked together.
    private static let resolution: Duration = .milliseconds(10)

    init(
        client: AgentClient, world: World, logger: Logger, wake: @escaping @Sendable (World.Wakes) -> Void,
        refused: @escaping @Sendable () -> Void
    ) {
        self.client = client
        self.world = world
        self.logger = logger
        self.wake = wake
        self.refused = refused
        (signals, signal) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
    }

    func set(_ address: AgentAddress) {
        schedule.withLock { $0.set(address, now: .now) }
        signal.yield()
    }

    func remove(_ node: String) { schedule.withLock { $0.remove(node) } }

    /// Ask this agent at once.
    func want(_ node: String) {
        schedule.withLock { $0.want(node, now: .now) }
        signal.yield()
    }

    func address(_ node: String) -> AgentAddress? { schedule.withLock { $0.address(node) } }

    var addresses: [AgentAddress] { schedule.withLock { $0.addresses } }

    /// Until cancelled.
    ///
    /// - Parameter inspect: called with every whole report.
    func run(inspect: @escaping @Sendable (AgentReport, AgentAddress) -> Void) async {
        await withDiscardingTaskGroup { group in
            var iterator = signals.makeAsyncIterator()
            var timer: (due: WallTime, task: Task<Void, Never>)?
            while !Task.isCancelled {
                let (due, next) = schedule.withLock { ($0.take(now: .now), $0.nextDue) }
                for address in due {
                    group.addTask { await self.ask(address, inspect) }
                }
                timer = arm(timer, for: next)
                await withTaskCancellationHandler {
                    _ = await iterator.next()
                } onCancel: {
                    signal.yield()
                }
            }
            timer?.task.cancel()
            group.cancelAll()
        }
    }

    /// A timer that ends no later than `next`. The one that runs is kept whenever it will do: a cancelled sleep holds
    /// its memory until the time it was meant to end, and every answer of an agent comes by here.
    private func arm(
        _ timer: (due: WallTime, task: Task<Void, Never>)?, for next: WallTime?
    ) -> (due: WallTime, task: Task<Void, Never>)? {
        let now = WallTime.now
        let running = timer.flatMap { $0.due > now ? $0 : nil }
        guard let next else { return running }
        if let running, running.due <= next { return running }
        running?.task.cancel()
        let pause = max(Self.resolution, next - now)
        let task = Task { [signal] in
            // A cancelled one says nothing: it would wake the loop that cancels the next one.
            if (try? await Task.sleep(for: pause)) != nil { signal.yield() }
        }
        return (now + pause, task)
    }

    private func ask(_ address: AgentAddress, _ inspect: @Sendable (AgentReport, AgentAddress) -> Void) async {
        let askedAt = WallTime.now
        do throws(AgentFailure) {
            let report = try await client.report(from: address)
            wake(world.set(report, node: address.node, askedAt: askedAt))
            inspect(report, address)
            let isBusy = report.caches.contains { $0.state == .filling }
            finish(address, isBusy ? .busy : .idle)
        } catch {
            if !Task.isCancelled {
                let keys = world.setUnreachable(address.node, why: error.description, now: .now)
                if !keys.isEmpty {
                    logger.warning(
                        "an agent cannot be reached", metadata: ["node": "\(address.node)", "reason": "\(error)"])
                }
                wake(World.Wakes(urgent: keys))
                if case .refused(status: 401, _, _) = error { refused() }
            }
            finish(address, .silent)
        }
    }

    private func finish(_ address: AgentAddress, _ outcome: PollSchedule.Outcome) {
        schedule.withLock { $0.answered(address, outcome, now: .now) }
        signal.yield()
    }
}
