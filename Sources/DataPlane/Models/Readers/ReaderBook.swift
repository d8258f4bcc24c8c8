package import AgentAPI
internal import Synchronization

/// The starts of the pods that read this node's caches, the latest of each pod and cache.
///
/// It is bounded: it holds ``mostReaders`` starts. One is forgotten a day after the last process of its pod left, and
/// earlier when another needs its place, the one that ended the longest ago first.
package final class ReaderBook: Sendable {
    private struct Key: Hashable {
        let cache: String
        let pod: String
    }

    /// A node runs hundreds of pods at most.
    package static let mostReaders = 512
    static let longestKept: Duration = .seconds(86_400)

    private let readers = Mutex<[Key: PodReader]>([:])

    package init() {}

    /// A process of the pod was admitted to the cache.
    package func opens(_ pod: CallerPod, cache: String, _ arrival: ReaderArrival) -> PodReader {
        let key = Key(cache: cache, pod: pod.uid)
        return readers.withLock { readers in
            if let known = readers[key], known.opensAgain() { return known }
            readers[key] = nil
            Self.makePlace(&readers, now: arrival.instant)
            let reader = PodReader(pod, arrival)
            readers[key] = reader
            return reader
        }
    }

    private static func makePlace(_ readers: inout [Key: PodReader], now: ContinuousClock.Instant) {
        drop(&readers, now: now)
        guard readers.count >= mostReaders else { return }
        let ended = readers.compactMap { key, reader in reader.endedAt.map { (key: key, at: $0) } }
        let oldest = ended.min { $0.at < $1.at }?.key ?? readers.min { $0.value.openedAt < $1.value.openedAt }?.key
        if let oldest { readers[oldest] = nil }
    }

    private static func drop(_ readers: inout [Key: PodReader], now: ContinuousClock.Instant) {
        for (key, reader) in readers {
            if let ended = reader.endedAt, ended.duration(to: now) > longestKept { readers[key] = nil }
        }
    }

    /// In the order in which the pods first opened the cache.
    package func starts(ofCache uid: String) -> [ReaderStart] {
        let found = readers.withLock { readers in
            Self.drop(&readers, now: .now)
            return readers.filter { $0.key.cache == uid }.map(\.value)
        }
        return found.map { $0.start() }.sorted { ($0.openedAt, $0.podUID) < ($1.openedAt, $1.podUID) }
    }
}
