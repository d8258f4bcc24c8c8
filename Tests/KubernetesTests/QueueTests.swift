import Kubernetes
import Logging
import Synchronization
import Testing
import TestSupport

private let start = ContinuousClock.now
private func at(_ seconds: Double) -> ContinuousClock.Instant { start + .seconds(seconds) }

@Suite struct QueueStateTests {
    @Test func aKeyThatWaitsIsThereOnce() {
        var queue = WorkQueueState<String>()
        #expect(queue.add("a", now: at(0)) == true)
        #expect(queue.add("a", now: at(1)) == false)
        #expect(queue.depth == 1)
        let taken = queue.take(now: at(3))
        #expect(taken?.key == "a")
        #expect(taken?.waited == .seconds(3))
        #expect(queue.take(now: at(3)) == nil)
    }

    @Test func aKeyAddedWhileInWorkIsWorkedOnceMoreAfterwards() {
        var queue = WorkQueueState<String>()
        queue.add("a", now: at(0))
        _ = queue.take(now: at(0))
        #expect(queue.add("a", now: at(1)) == true)
        #expect(queue.add("a", now: at(1)) == false)
        #expect(queue.take(now: at(1)) == nil, "never two workers on one key")
        #expect(queue.done("a", now: at(2)) == .seconds(2))
        #expect(queue.take(now: at(4))?.waited == .seconds(3))
        queue.done("a", now: at(5))
        #expect(queue.take(now: at(5)) == nil)
    }

    @Test func keysComeInTheOrderInWhichTheyBecameReady() {
        var queue = WorkQueueState<Int>()
        for key in 0..<5000 { queue.add(key, now: at(0)) }
        for key in 0..<5000 {
            #expect(queue.take(now: at(0))?.key == key)
            queue.done(key, now: at(0))
        }
    }

    @Test func aDelayedKeyComesWhenItIsDueAndTheEarlierOfTwoTimesCounts() {
        var queue = WorkQueueState<String>()
        queue.add("late", due: at(10), now: at(0))
        queue.add("early", due: at(5), now: at(0))
        queue.add("late", due: at(2), now: at(0))
        queue.add("late", due: at(20), now: at(0))
        #expect(queue.nextDue == at(2))
        #expect(queue.delayedCount == 2)
        #expect(queue.promote(now: at(1.9)) == 0)
        #expect(queue.promote(now: at(2)) == 1)
        #expect(queue.take(now: at(2))?.key == "late")
        #expect(queue.promote(now: at(30)) == 1)
        #expect(queue.take(now: at(30))?.key == "early")
        queue.done("late", now: at(30))
        #expect(queue.take(now: at(30)) == nil)
        #expect(queue.nextDue == nil)
    }

    @Test func whatIsRoutineComesAfterWhatIsPrompt() {
        var queue = WorkQueueState<String>()
        queue.add("words", priority: .routine, now: at(0))
        queue.add("more words", priority: .routine, now: at(0))
        queue.add("job", now: at(1))
        // Something happened to one that waited: it is prompt from now on, and there once.
        #expect(queue.add("more words", now: at(2)) == false)
        #expect(queue.add("job", priority: .routine, now: at(2)) == false)
        #expect(queue.depth == 3)
        #expect((0..<3).map { _ in queue.take(now: at(3))?.key } == ["job", "more words", "words"])
        #expect(queue.take(now: at(3)) == nil && queue.depth == 0)
    }

    @Test func aKeyInWorkThatIsAddedTwiceKeepsTheGreaterHaste() {
        var queue = WorkQueueState<String>()
        queue.add("a", now: at(0))
        _ = queue.take(now: at(0))
        queue.add("a", priority: .routine, now: at(1))
        queue.add("b", priority: .routine, now: at(1))
        queue.add("a", now: at(2))
        #expect(queue.depth == 1)
        queue.done("a", now: at(3))
        #expect(queue.depth == 2)
        #expect((0..<2).map { _ in queue.take(now: at(3))?.key } == ["a", "b"])
        #expect(queue.take(now: at(3)) == nil)
    }

    @Test func aRoutineDelayNeverHoldsAPromptOneUp() {
        var queue = WorkQueueState<String>()
        queue.add("a", priority: .routine, due: at(10), now: at(0))
        queue.add("b", priority: .routine, due: at(1), now: at(0))
        queue.add("a", due: at(1), now: at(0))
        #expect(queue.nextDue == at(1))
        #expect(queue.promote(now: at(1)) == 2)
        #expect((0..<2).map { _ in queue.take(now: at(1))?.key } == ["a", "b"])
    }

    @Test func drainingWorksOffWhatIsReadyAndDropsWhatIsDelayed() {
        var queue = WorkQueueState<String>()
        queue.add("a", now: at(0))
        queue.add("b", now: at(0))
        queue.add("c", due: at(1), now: at(0))
        _ = queue.take(now: at(0))
        queue.shutDown(drain: true)
        #expect(queue.add("d", now: at(0)) == false)
        #expect(queue.promote(now: at(5)) == 0)
        #expect(queue.take(now: at(0))?.key == "b")
        #expect(!queue.isEnded)
        queue.done("a", now: at(0))
        queue.done("b", now: at(0))
        #expect(queue.isEnded)
    }

    @Test func stoppingHandsOutNothingMore() {
        var queue = WorkQueueState<String>()
        queue.add("a", now: at(0))
        queue.shutDown(drain: false)
        #expect(queue.take(now: at(0)) == nil)
        #expect(queue.isEnded)
    }

    @Test func noRandomSequenceGivesOneKeyToTwoOrLosesOne() {
        let seed = SeededRandom.seed
        var random = SeededRandom(seed: seed)
        var queue = WorkQueueState<Int>()
        var inWork: Set<Int> = []
        var wanted: [Int: Int] = [:]
        var time = 0.0
        for _ in 0..<50_000 {
            let key = Int.random(in: 0..<40, using: &random)
            time += 0.01
            switch Int.random(in: 0..<4, using: &random) {
            case 0:
                queue.add(key, now: at(time))
                wanted[key] = 1
            case 1:
                queue.add(key, due: at(time + Double.random(in: 0..<1, using: &random)), now: at(time))
                wanted[key] = 1
            case 2:
                _ = queue.promote(now: at(time))
                guard let taken = queue.take(now: at(time)) else { break }
                #expect(inWork.insert(taken.key).inserted, "seed \(seed)")
                wanted[taken.key] = nil
            default:
                guard let done = inWork.randomElement(using: &random) else { break }
                inWork.remove(done)
                queue.done(done, now: at(time))
            }
        }
        for key in inWork { queue.done(key, now: at(time)) }
        _ = queue.promote(now: at(time + 10))
        var rest: Set<Int> = []
        while let taken = queue.take(now: at(time + 10)) { rest.insert(taken.key) }
        // A key may come more often than was wanted last (it was delayed and added), never less.
        #expect(rest.isSuperset(of: wanted.keys), "seed \(seed)")
    }
}

@Suite struct QueueRateLimitTests {
    @Test func failuresDoubleTheDelayUpToTheLimitAndForgettingStartsAnew() {
        var limiter = QueueRateLimiter<String>(QueueRateLimit(perSecond: nil))
        let delays = (0..<20).map { _ in limiter.delay(for: "a", now: at(0)) }
        #expect(delays[0] == .milliseconds(5))
        #expect(delays[1] == .milliseconds(10))
        #expect(delays[10] == .milliseconds(5120))
        #expect(delays[18] == .seconds(1000))
        #expect(limiter.requeues(of: "a") == 20)
        for _ in 0..<100 { _ = limiter.delay(for: "a", now: at(0)) }
        #expect(limiter.delay(for: "a", now: at(0)) == .seconds(1000), "no overflow")
        limiter.forget("a")
        #expect(limiter.requeues(of: "a") == 0)
        #expect(limiter.delay(for: "a", now: at(0)) == .milliseconds(5))
    }

    @Test func allKeysTogetherAreHeldToTheBucketAfterItsBurst() {
        var limiter = QueueRateLimiter<Int>(QueueRateLimit())
        for key in 0..<100 { #expect(limiter.delay(for: key, now: at(0)) == .milliseconds(5)) }
        #expect(limiter.delay(for: 100, now: at(0)) == .milliseconds(100))
        #expect(limiter.delay(for: 101, now: at(0)) == .milliseconds(200))
        // Ten seconds later the debt of two is paid and 98 saved.
        #expect(limiter.delay(for: 102, now: at(10)) == .milliseconds(5))
    }

    @Test func aBucketRefillsAtItsRateAndNeverAboveItsBurst() {
        var bucket = TokenBucket(perSecond: 1.0 / 300, burst: 2)
        #expect(bucket.take(now: at(0)) == true)
        #expect(bucket.take(now: at(0)) == true)
        #expect(bucket.take(now: at(299)) == false)
        #expect(bucket.take(now: at(300)) == true)
        let later = (0..<5).filter { _ in bucket.take(now: at(100_000)) }
        #expect(later.count == 2)
    }
}

@Suite struct WorkQueueTests {
    private let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

    @Test(.timeLimit(.minutes(1))) func workersNeverShareAKeyAndEveryAddIsSeen() async {
        let queue = WorkQueue<Int>(name: "q", logger: logger)
        let version = Shared([Int: Int]())
        let seen = Shared([Int: Int]())
        let busy = Shared(Set<Int>())
        await withTaskGroup(of: Void.self) { group in
            group.addTask {
                await queue.run(workers: 4) { key in
                    #expect(busy.withLock { $0.insert(key).inserted })
                    let now = version.withLock { $0[key, default: 0] }
                    await Task.yield()
                    seen.withLock { $0[key] = now }
                    _ = busy.withLock { $0.remove(key) }
                    return .done
                }
            }
            for part in 0..<4 {
                group.addTask {
                    for round in 0..<2000 {
                        let key = (round * 7 + part) % 20
                        version.withLock { $0[key, default: 0] += 1 }
                        queue.add(key)
                    }
                }
            }
            while version.withLock({ $0 }) != seen.withLock({ $0 }) || version.withLock({ $0.values.reduce(0, +) }) < 8000 {
                try? await Task.sleep(for: .milliseconds(5))
            }
            queue.shutDown(drain: true)
        }
    }

    @Test(.timeLimit(.minutes(1))) func failuresComeBackWithBackOffAndSuccessForgetsThem() async {
        struct Broken: Error {}
        let metrics = MetricsRegistry()
        let queue = WorkQueue<String>(name: "q", metrics: metrics, logger: logger)
        let tries = Shared([ContinuousClock.Instant]())
        queue.add("a")
        await queue.run(workers: 2) { key in
            let count = tries.withLock { tries in
                tries.append(.now)
                return tries.count
            }
            if count == 1 { #expect(queue.requeues(of: key) == 0) }
            if count < 5 { throw Broken() }
            #expect(queue.requeues(of: key) == 4)
            queue.shutDown()
            return .done
        }
        #expect(queue.requeues(of: "a") == 0)
        let times = tries.withLock { $0 }
        // 5, 10, 20 and 40 ms.
        #expect(times.count == 5 && times[4] - times[0] >= .milliseconds(75))
        let text = metrics.expose()
        #expect(text.contains(#"controller_runtime_reconcile_total{controller="q",result="error"} 4"#))
        #expect(text.contains(#"controller_runtime_reconcile_total{controller="q",result="success"} 1"#))
        #expect(text.contains(#"controller_runtime_reconcile_total{controller="q",result="requeue_after"} 0"#))
        #expect(text.contains(#"workqueue_retries_total{name="q",controller="q"} 4"#))
        #expect(text.contains(#"workqueue_depth{name="q",controller="q"} 0"#))
        #expect(text.contains(#"workqueue_work_duration_seconds_count{name="q",controller="q"} 5"#))
    }

    @Test(.timeLimit(.minutes(1))) func aShorterDelayOvertakesALongerOne() async {
        let queue = WorkQueue<String>(name: "q", logger: logger)
        let began = ContinuousClock.now
        await withTaskGroup(of: Void.self) { group in
            group.addTask {
                await queue.run(workers: 1) { key in
                    #expect(key == "soon")
                    queue.shutDown()
                    return .done
                }
            }
            queue.add("late", after: .seconds(50))
            try? await Task.sleep(for: .milliseconds(50))
            queue.add("soon", after: .milliseconds(50))
        }
        #expect(ContinuousClock.now - began < .seconds(20))
    }

    @Test(.timeLimit(.minutes(1))) func requeueAfterComesBackInItsTime() async {
        let queue = WorkQueue<String>(name: "q", logger: logger)
        let times = Shared([ContinuousClock.Instant]())
        queue.add("a")
        await queue.run(workers: 1) { _ in
            let count = times.withLock { times in
                times.append(.now)
                return times.count
            }
            if count == 2 { queue.shutDown() }
            return .requeueAfter(.milliseconds(80))
        }
        let seen = times.withLock { $0 }
        #expect(seen.count == 2 && seen[1] - seen[0] >= .milliseconds(80))
    }

    @Test(.timeLimit(.minutes(1))) func shuttingDownWaitsForTheReconcileInFlight() async {
        let queue = WorkQueue<String>(name: "q", logger: logger)
        let finished = Shared([String]())
        queue.add(["a", "b"])
        await queue.run(workers: 1) { key in
            queue.shutDown()
            try await Task.sleep(for: .milliseconds(50))
            finished.withLock { $0.append(key) }
            return .done
        }
        #expect(finished.withLock { $0 } == ["a"], "what is queued is dropped, what runs is finished")
    }

    @Test(.timeLimit(.minutes(1))) func cancellingEndsTheReconcilesToo() async {
        let queue = WorkQueue<String>(name: "q", logger: logger)
        queue.add("a")
        let run = Task {
            await queue.run(workers: 2) { _ in
                try await Task.sleep(for: .seconds(50))
                return .done
            }
        }
        try? await Task.sleep(for: .milliseconds(50))
        run.cancel()
        await run.value
    }
}

/// A value that several tasks of a test change. A class, because a `Mutex` of its own cannot be captured by two.
final class Shared<Value: Sendable>: Sendable {
    private let value: Mutex<Value>

    init(_ value: Value) { self.value = Mutex(value) }

    func withLock<Result: Sendable>(_ body: (inout Value) -> Result) -> Result {
        value.withLock { value in
            var copy = value
            let result = body(&copy)
            value = copy
            return result
        }
    }
}
