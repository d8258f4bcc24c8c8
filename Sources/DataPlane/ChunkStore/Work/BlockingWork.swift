internal import Atomics
internal import Glibc
internal import LinuxShim
internal import Synchronization

/// The model for which work is done: models take turns at the threads of a lane.
public struct WorkOwner: Hashable, Sendable {
    /// The model's id.
    public let name: String
    /// The work may wait for a disk, so it has threads of its own: a cache in memory never waits for a disk that hangs.
    public let isOnDisk: Bool

    public init(_ name: String, isOnDisk: Bool) {
        self.name = name
        self.isOnDisk = isOnDisk
    }
}

/// Threads for what blocks: hashing, reads from a disk, fdatasync. One for the process, so that neither the threads of
/// Swift's tasks (openings, `/healthz`) nor the event loops (peers' messages) ever wait for a disk.
///
/// Each lane has threads of its own, for memory and for disks: a demand never waits for a digest of 200 GB, and nobody
/// waits for a check that nobody waits for. In a lane the models take turns (``TurnQueue``); work that takes long is
/// done in slices of ``sliceBytes``, so a turn is short. The background threads have low priority for CPU and disk.
///
/// Bounded by its callers: each has a few items queued at a time, and adds the next one only after that.
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
        /// The same, where a reader waits. Not `demanded`: the other cache's disk may hang.
        case awaitedCopies
        /// Checks after a restart that nobody waits for.
        case background

        /// For memory, and as many for disks.
        package var threads: Int {
            switch self {
            case .completion, .uploads, .copies: 2
            case .demanded, .awaitedCopies, .background: 1
            }
        }
        var threadName: String {
            switch self {
            case .demanded: "mc-demand"
            case .completion: "mc-complete"
            case .uploads: "mc-upload"
            case .copies: "mc-copy"
            case .awaitedCopies: "mc-copy-demand"
            case .background: "mc-check"
            }
        }
    }

    /// The process's own.
    public static let shared = BlockingWork()

    /// Read in one turn, give or take a chunk: 15 to 60 ms of hashing.
    package static let sliceBytes: UInt64 = 32 << 20

    private let onMemory: [WorkLane]
    private let onDisk: [WorkLane]

    package init() {
        onMemory = Self.lanes()
        onDisk = Self.lanes()
    }

    private static func lanes() -> [WorkLane] {
        Lane.allCases.map { lane in
            let queue = WorkLane()
            for _ in 0..<lane.threads { queue.startThread(lane.threadName, isBackground: lane == .background) }
            return queue
        }
    }

    /// Runs `body` on a thread of the lane, when it is the owner's turn; each owner's work in the order of calls.
    public func submit(_ lane: Lane, for owner: WorkOwner, _ body: @escaping @Sendable () -> Void) {
        (owner.isOnDisk ? onDisk : onMemory)[lane.rawValue].add(body, of: owner)
    }

    /// As ``submit(_:for:_:)``. Where `stop` comes before the turn, `stopped` is called in the place of `body`, by the
    /// caller of ``WorkStop/stop()``: nobody waits for the work of others before it.
    public func submit(
        _ lane: Lane, for owner: WorkOwner, until stop: WorkStop, _ body: @escaping @Sendable () -> Void,
        stopped: @escaping @Sendable () -> Void
    ) {
        let isTaken = ManagedAtomic(false)
        let listener = stop.onStop {
            if !isTaken.exchange(true, ordering: .acquiringAndReleasing) { stopped() }
        }
        submit(lane, for: owner) {
            guard !isTaken.exchange(true, ordering: .acquiringAndReleasing) else { return }
            stop.forget(listener)
            body()
        }
    }

    /// Calls `slice`, in a turn each, until it returns false. Where `stop` comes while it waits for a turn, `stopped`
    /// is called in the place of all further ones, as by ``submit(_:for:until:_:stopped:)``.
    public func submitSlices(
        _ lane: Lane, for owner: WorkOwner, until stop: WorkStop, _ slice: @escaping @Sendable () -> Bool,
        stopped: @escaping @Sendable () -> Void
    ) {
        submit(lane, for: owner, until: stop) {
            if slice() { self.submitSlices(lane, for: owner, until: stop, slice, stopped: stopped) }
        } stopped: {
            stopped()
        }
    }
}

/// The jobs of one lane on one kind of medium.
private final class WorkLane: Sendable {
    typealias Job = @Sendable () -> Void

    private let state = Mutex(TurnQueue<WorkOwner, Job>())
    private let signal = Signal()

    func add(_ job: @escaping Job, of owner: WorkOwner) {
        state.withLock { $0.add(job, of: owner) }
        signal.wake()
    }

    func startThread(_ name: String, isBackground: Bool) {
        WorkThread.start(name, isBackground: isBackground) { [self] in
            while true {
                let seen = signal.count
                // Let go of by this thread, never under the lock: what a job holds may ask for work at its end.
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
