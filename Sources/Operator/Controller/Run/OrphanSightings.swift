/// Since when directories without a ModelCache are seen on nodes: a pure value.
///
/// A ModelCache may be one that this operator has not heard of yet, so a directory counts when it was seen twice,
/// ``patience`` apart.
package struct OrphanSightings: Sendable {
    package static let patience: Duration = .seconds(10)

    /// By node, then by uid.
    private var seen: [String: [String: WallTime]] = [:]

    package init() {}

    package var isEmpty: Bool { seen.isEmpty }

    /// A node's agent reports all directories there that have no ModelCache.
    ///
    /// - Returns: those that count. One that stays is returned again after another ``patience``.
    package mutating func saw(_ uids: Set<String>, on node: String, now: WallTime) -> Set<String> {
        guard !uids.isEmpty else {
            seen[node] = nil
            return []
        }
        let before = seen[node] ?? [:]
        let due = uids.filter { uid in before[uid].map { now - $0 >= Self.patience } ?? false }
        seen[node] = Dictionary(
            uniqueKeysWithValues: uids.map { uid in (uid, due.contains(uid) ? now : before[uid] ?? now) })
        return due
    }

    /// The node has no agent any more.
    package mutating func forget(_ node: String) { seen[node] = nil }
}
