/// When agents last answered orders about caches: a pure value.
///
/// A report that was asked for before such an answer may tell of the cache as it was before the order, whenever it
/// arrives. It must not take the place of what the order brought. The next report ends this.
package struct OrderAnswers: Sendable {
    /// By node, then by uid of the ModelCache.
    private var times: [String: [String: WallTime]] = [:]

    package init() {}

    package mutating func answered(uid: String, node: String, now: WallTime) { times[node, default: [:]][uid] = now }

    /// A report of the node's agent is in.
    ///
    /// - Parameter askedAt: when the question left.
    /// - Returns: the uids of the caches about which orders brought newer word.
    package mutating func reported(node: String, askedAt: WallTime) -> Set<String> {
        let newer = times[node]?.filter { $0.value >= askedAt } ?? [:]
        times[node] = newer.isEmpty ? nil : newer
        return Set(newer.keys)
    }

    /// The node's agent is gone.
    package mutating func forget(node: String) { times[node] = nil }
}
