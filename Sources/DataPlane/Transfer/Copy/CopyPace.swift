/// Decides how much of a copy the fill takes back and fetches, because the other cache is slower than the store and the
/// peers: a disk beside a fast link. A pure value: looks with their time in, bytes out.
///
/// **Algorithm.** Both rates are measured in the time in which there is something to copy and to fetch. Where fetching
/// is faster, the fill gets from the copy's end what it fetches within ``ahead``, again and again, so that both work on
/// the file until they meet. While nothing was fetched yet, a long copy gives a little away to learn the rate: as much
/// as came of it so far, ``leastProbe`` at least.
///
/// **Guarantees.** A copy that is as fast as the store, or shorter than ``patience``, gives nothing away: it costs the
/// store nothing. No byte that is given away is copied.
package struct CopyPace: Sendable {
    package typealias Instant = ContinuousClock.Instant

    /// The copy and the fetches of one fill at one moment.
    package struct Look: Sendable {
        /// Copied so far.
        package var copiedBytes: Int64
        /// Received from store and peers so far.
        package var fetchedBytes: Int64
        /// To be copied, not begun.
        package var copyBytes: UInt64
        /// Missing, and not to be copied.
        package var fetchBytes: UInt64

        package init(copiedBytes: Int64, fetchedBytes: Int64, copyBytes: UInt64, fetchBytes: UInt64) {
            self.copiedBytes = copiedBytes
            self.fetchedBytes = fetchedBytes
            self.copyBytes = copyBytes
            self.fetchBytes = fetchBytes
        }
    }

    /// Bytes per second of busy time; newer time counts more.
    private struct Rate: Sendable {
        static let memory = 5.0
        /// A shorter time tells nothing.
        static let least = 0.5

        private var bytes = 0.0
        private var seconds = 0.0

        mutating func add(_ count: Int64, _ span: Double) {
            let kept = max(0, 1 - span / Self.memory)
            bytes = bytes * kept + Double(max(0, count))
            seconds = seconds * kept + span
        }

        var bytesPerSecond: Double? { seconds >= Self.least ? bytes / seconds : nil }
    }

    package static let patience: Duration = .seconds(5)
    package static let leastProbe: UInt64 = 16 << 20
    /// In seconds. Fetches that are under way, and those that begin before the next look.
    private static let ahead = 1.0
    /// In seconds. A copy that ends sooner is not worth a probe.
    private static let shortest = 10.0

    private let patience: Duration
    /// Whether there was something to fetch after it.
    private var last: (look: Look, at: Instant, isFetching: Bool)?
    private var began: Instant?
    private var copying = Rate()
    private var fetching = Rate()
    private var probedBytes: UInt64 = 0

    package init(patience: Duration = CopyPace.patience) { self.patience = patience }

    /// To be called several times a second while files are copied.
    ///
    /// - Returns: how many bytes of those that are to be copied are to be fetched.
    package mutating func bytesToFetch(_ look: Look, now: Instant) -> UInt64 {
        let start = began ?? now
        began = start
        measure(look, now)
        let wanted = start.duration(to: now) < patience ? 0 : wantedBytes(look)
        let bytes = min(look.copyBytes, wanted - min(wanted, look.fetchBytes))
        last = (look, now, look.fetchBytes + bytes > 0)
        return bytes
    }

    private mutating func measure(_ look: Look, _ now: Instant) {
        guard let last else { return }
        let span = last.at.duration(to: now) / .seconds(1)
        copying.add(look.copiedBytes - last.look.copiedBytes, span)
        guard last.isFetching else { return }
        let fetched = look.fetchedBytes - last.look.fetchedBytes
        fetching.add(fetched, span)
        probedBytes += UInt64(max(0, fetched))
    }

    /// So much is to be at hand to be fetched.
    private func wantedBytes(_ look: Look) -> UInt64 {
        let copyRate = copying.bytesPerSecond ?? 0
        let copyTime = Double(look.copyBytes) / max(copyRate, 1)
        guard let fetchRate = fetching.bytesPerSecond else {
            return copyTime > Self.shortest ? max(Self.leastProbe, probedBytes) : 0
        }
        guard fetchRate > copyRate, copyTime > Self.ahead else { return 0 }
        return UInt64(fetchRate * Self.ahead)
    }
}
