internal import AgentAPI
internal import ChunkStore
internal import Foundation
internal import Synchronization

extension ReaderArrival {
    static var now: ReaderArrival {
        ReaderArrival(milliseconds: Int64(Date.now.timeIntervalSince1970 * 1000), instant: .now)
    }
}

/// Records one pod's start with one cache: tells a ``ReaderTimes`` what the pod's processes ask for and when it is
/// there.
///
/// It looks at the ranges that are waited for when a chunk comes, on the thread that brought the chunk: quick, and
/// without a lock that a fill takes.
package final class PodReader: Sendable {
    /// A range of a file that a process waits for, in chunks.
    private struct Awaited {
        let hold: UInt64
        let file: CachedFile
        /// The first chunk that was missing at the last look.
        var next: Int
        let end: Int

        /// Of a file that failed nothing comes.
        mutating func look() -> Bool {
            while next < end, file.isVisible(next) { next += 1 }
            return next == end || file.state != .filling
        }
    }

    private struct State {
        var times: ReaderTimes
        /// Openings under way.
        var openings = 1
        /// By number.
        var holds: Set<UInt64> = []
        var awaited: [Awaited] = []
        weak var model: OpenModel?
        /// Files before it were complete at the last look.
        var unfinished = 0

        /// Whether every file is complete. It goes on where the last look ended, so that all looks until then cost the
        /// number of files.
        mutating func isComplete(_ files: [CachedFile]) -> Bool {
            while unfinished < files.count, files[unfinished].state == .complete { unfinished += 1 }
            guard unfinished >= files.count else { return false }
            // One may have been found damaged meanwhile.
            unfinished = 0
            return files.allSatisfy { $0.state == .complete }
        }
    }

    /// Threads of a pod that wait at a time; what more of them wait for adds nothing to the time that the pod waits.
    private static let mostAwaited = 64

    private let state: Mutex<State>

    init(_ pod: CallerPod, _ arrival: ReaderArrival) {
        state = Mutex(State(times: ReaderTimes(pod, arrival)))
        state.withLock { $0.times.isAdmitted(.now) }
    }

    /// Another process of the pod asks for the model. False: the pod's last start is over, and this is another one.
    func opensAgain() -> Bool {
        state.withLock { state in
            guard state.openings > 0 || !state.holds.isEmpty || !state.times.wasAnswered else { return false }
            state.openings += 1
            state.times.opensAgain()
            return true
        }
    }

    /// An opening failed.
    package func refused() {
        state.withLock { state in
            precondition(state.openings > 0, "an opening fails or succeeds, once")
            state.openings -= 1
            if state.openings == 0, state.holds.isEmpty { state.times.ends(.now) }
        }
    }

    /// An opening has succeeded.
    func reads(_ hold: ModelHold) {
        let progress = hold.model.progress
        state.withLock { state in
            precondition(state.openings > 0, "an opening fails or succeeds, once")
            state.openings -= 1
            state.holds.insert(hold.number)
            state.model = hold.model
            state.times.isAnswered(progress, .now)
        }
        hold.model.subscribe(ObjectIdentifier(self)) { [weak self] in self?.look() }
    }

    /// The hold is about to be released.
    package func leaves(_ hold: ModelHold) {
        let supply = hold.model.supply
        let isLast = state.withLock { state in
            precondition(state.holds.remove(hold.number) != nil, "a hold that the pod has is released once")
            let wasWaiting = !state.awaited.isEmpty
            state.awaited.removeAll { $0.hold == hold.number }
            if wasWaiting, state.awaited.isEmpty { state.times.waitsNoMore(supply, .now) }
            guard state.holds.isEmpty else { return false }
            if state.openings == 0 { state.times.ends(.now) }
            return true
        }
        if isLast { hold.model.unsubscribe(ObjectIdentifier(self)) }
    }

    /// A process waits for these bytes. Numbers may be out of range: they come from the process.
    func awaits(file: UInt32, offset: UInt64, length: UInt64, hold: ModelHold) {
        let set = hold.model.cached.current
        guard let cached = set.position(ofFileIndex: file).map({ set.files[$0] }), offset < cached.size, length > 0
        else { return }
        let end = offset.addingReportingOverflow(length)
        let last = min(cached.size, end.overflow ? .max : end.partialValue) - 1
        var range = Awaited(
            hold: hold.number, file: cached, next: Int(offset / cached.chunkBytes),
            end: Int(last / cached.chunkBytes) + 1)
        if range.look() { return }
        let supply = hold.model.supply
        state.withLock { state in
            let isKnown = state.awaited.contains { $0.file === cached && $0.end == range.end && $0.next == range.next }
            guard !isKnown, state.awaited.count < Self.mostAwaited else { return }
            state.awaited.append(range)
            state.times.waits(supply, .now)
        }
        // It may have come meanwhile.
        look()
    }

    /// A chunk came, a file was published, or one failed.
    private func look() {
        guard let model = state.withLock({ $0.awaited.isEmpty && $0.times.isComplete ? nil : $0.model }) else { return }
        let supply = model.supply
        let files = model.cached.files
        let isComplete = state.withLock { state in
            let now = ContinuousClock.now
            if !state.awaited.isEmpty {
                for index in state.awaited.indices.reversed() {
                    let next = state.awaited[index].next
                    let isOver = state.awaited[index].look()
                    // Also of a range that is not there as a whole: a program may read a file in one call.
                    if state.awaited[index].next > next { state.times.isServed(now) }
                    if isOver { state.awaited.remove(at: index) }
                }
                if state.awaited.isEmpty { state.times.waitsNoMore(supply, now) }
            }
            return !state.times.isComplete && state.isComplete(files)
        }
        if isComplete {
            let progress = model.progress
            state.withLock { $0.times.completes(progress, .now) }
        }
    }

    func start() -> ReaderStart {
        let model = state.withLock { $0.model }
        let progress = model?.progress
        return state.withLock { $0.times.start(progress, .now) }
    }

    /// Nil: the pod has the model open, or asks for it.
    var endedAt: ContinuousClock.Instant? { state.withLock { $0.times.endedAt } }
    var openedAt: ContinuousClock.Instant { state.withLock { $0.times.openedAt } }
}
