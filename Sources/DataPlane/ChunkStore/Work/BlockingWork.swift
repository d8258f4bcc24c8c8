internal import Atomics
internal import Glibc
internal import LinuxShim
internal import Synchronization

/// Threads for what blocks: hashing, reads from a disk, fdatasync. One for the process, so that neither the threads of
/// Swift's tasks (openings, `/healthz`) nor the event loops (peers' messages) ever wait for a disk.
///
/// Each lane has threads of its own: a demand never waits for a digest of 200 GB, and nobody waits for a check that
/// nobody waits for. The background thread has low priority for CPU and disk.
///
/// Bounded by its callers: each waits for its work (``run(_:_:)``), or has one item of it queued at a time and the
/// next one only after that (``submit(_:_:)``).
public final class BlockingWork: Sendable {
    public enum Lane: Int, Sendable, CaseIterable {
        /// A reader waits, or what is read says what readers will wait for.
        case demanded
        /// A file is complete and wants its name; a peer wants a digest.
        case completion
        /// A peer waits for bytes that lie on a disk; files that peers had are closed.
        case uploads
        /// Files of other caches of this node are copied.
        case copies
        /// Checks after a restart that nobody waits for.
        case background

        package var threads: Int {
            switch self {
            case .completion, .uploads, .copies: 2
            case .demanded, .background: 1
            }
        }
        var threadName: String {
            switch self {
            case .demanded: "mc-demand"
            case .completion: "mc-complete"
            case .uploads: "mc-upload"
            case .copies: "mc-copy"
            case .background: "mc-check"
            }
        }
    }

    /// The process's own.
    public static let shared = BlockingWork()

    private let lanes: [WorkLane]

    init() {
        lanes = Lane.allCases.map { lane in
            let queue = WorkLane()
            for _ in 0..<lane.threads { queue.startThread(lane.threadName, isBackground: lane == .background) }
            return queue
        }
    }

    /// Runs `body` on a thread of the lane; the caller's own thread is free meanwhile.
    public func run<T: Sendable>(_ lane: Lane, _ body: @escaping @Sendable () -> T) async -> T {
        await withCheckedContinuation { continuation in
            submit(lane) { continuation.resume(returning: body()) }
        }
    }

    /// Runs `body` on a thread of the lane, later; in the order of calls.
    public func submit(_ lane: Lane, _ body: @escaping @Sendable () -> Void) { lanes[lane.rawValue].add(body) }

    /// As ``run(_:_:)``; nil: `stop` came before a thread was free.
    public func run<T: Sendable>(
        _ lane: Lane, until stop: WorkStop, _ body: @escaping @Sendable () -> T
    ) async -> T? {
        await withCheckedContinuation { continuation in
            submit(lane, until: stop) {
                continuation.resume(returning: body())
            } stopped: {
                continuation.resume(returning: nil)
            }
        }
    }

    /// As ``submit(_:_:)``. Where `stop` comes before a thread is free, `stopped` is called in the place of `body`, by
    /// the caller of ``WorkStop/stop()``: nobody waits for the work of others before it.
    public func submit(
        _ lane: Lane, until stop: WorkStop, _ body: @escaping @Sendable () -> Void,
        stopped: @escaping @Sendable () -> Void
    ) {
        let isTaken = ManagedAtomic(false)
        let listener = stop.onStop {
            if !isTaken.exchange(true, ordering: .acquiringAndReleasing) { stopped() }
        }
        submit(lane) {
            guard !isTaken.exchange(true, ordering: .acquiringAndReleasing) else { return }
            stop.forget(listener)
            body()
        }
    }
}

/// The jobs of one lane, first come, first served.
private final class WorkLane: Sendable {
    typealias Job = @Sendable () -> Void

    private struct State {
        /// Nil: taken.
        var jobs: [Job?] = []
        /// Jobs before it are taken.
        var head = 0

        /// The job is let go of by the thread that runs it, never under the lock: what it holds may ask for work at its
        /// end.
        mutating func next() -> Job? {
            guard head < jobs.count else { return nil }
            let job = jobs[head]
            jobs[head] = nil
            head += 1
            if head == jobs.count || head >= 1024 {
                jobs.removeFirst(head)
                head = 0
            }
            return job
        }
    }

    private let state = Mutex(State())
    private let signal = Signal()

    func add(_ job: @escaping Job) {
        state.withLock { $0.jobs.append(job) }
        signal.wake()
    }

    func startThread(_ name: String, isBackground: Bool) {
        WorkThread.start(name, isBackground: isBackground) { [self] in
            while true {
                let seen = signal.count
                if let job = state.withLock({ $0.next() }) { job() } else { signal.wait(after: seen) }
            }
        }
    }
}

/// Wakes threads that found nothing to do.
///
/// `@unchecked Sendable`: the word is accessed atomically and lives as long as the object.
private final class Signal: @unchecked Sendable {
    private let word: UnsafeMutablePointer<UInt32>

    init() {
        word = .allocate(capacity: 1)
        word.initialize(to: 0)
    }

    deinit { word.deallocate() }

    var count: UInt32 { mc_atomic_load_u32(word) }

    func wake() {
        _ = mc_atomic_add_u32(word, 1)
        mc_futex_wake_all(word)
    }

    /// Until ``wake()`` was called after `seen` was read. The bound only ends what a lost wake-up would make of it.
    func wait(after seen: UInt32) { _ = mc_futex_wait(word, seen, 60_000_000_000) }
}

private enum WorkThread {
    private final class Body {
        let name: String
        let isBackground: Bool
        let run: @Sendable () -> Void
        init(name: String, isBackground: Bool, run: @escaping @Sendable () -> Void) {
            self.name = name
            self.isBackground = isBackground
            self.run = run
        }
    }

    /// A detached thread that runs `body` for as long as the process lives.
    static func start(_ name: String, isBackground: Bool, _ body: @escaping @Sendable () -> Void) {
        let argument = Unmanaged.passRetained(Body(name: name, isBackground: isBackground, run: body))
        var thread = pthread_t()
        let result = pthread_create(
            &thread, nil,
            { argument in
                guard let argument else { return nil }
                let body = Unmanaged<Body>.fromOpaque(argument).takeRetainedValue()
                mc_name_thread(body.name)
                if body.isBackground { mc_background_thread() }
                body.run()
                return nil
            }, argument.toOpaque())
        precondition(result == 0, "a thread can be made at the start")
        pthread_detach(thread)
    }
}
