/// Which nodes keep a pinned copy.
///
/// The choice is stable: a seeder stays while it can, and a new one follows from the ModelCache's uid and the nodes
/// alone (rendezvous hashing: each node draws a number from both names, the highest win), so two operators choose alike
/// and the seeders of many ModelCaches spread over the nodes. Ahead of the draw count, in this order: the preferences
/// of `spec.placement.affinity`, zones that have the fewest seeders, and a copy that is already there.
public struct SeederChoice: Sendable {
    public struct Candidate: Sendable, Hashable {
        public var node: String
        public var zone: String
        /// Sum of the weights of preferred affinity that the node meets.
        public var preference: Int
        /// The whole model is there already.
        public var hasCopy: Bool

        public init(node: String, zone: String = "", preference: Int = 0, hasCopy: Bool = false) {
            self.node = node
            self.zone = zone
            self.preference = preference
            self.hasCopy = hasCopy
        }
    }

    /// - Parameters:
    ///   - count: how many are wanted; fewer come back when there are no more candidates.
    ///   - keeping: the seeders there are, best first. Those are kept that `canStay`; when there are more than `count`,
    ///     the last go.
    ///   - zones: the zone of every node in `keeping`.
    ///   - candidates: nodes that could become seeders now.
    /// - Returns: in the order of choice, the kept ones first.
    public static func choose(
        _ count: Int, uid: String, keeping: [String], canStay: (String) -> Bool, zone: (String) -> String,
        candidates: [Candidate]
    ) -> [String] {
        var chosen: [String] = []
        for node in keeping where chosen.count < count && !chosen.contains(node) && canStay(node) {
            chosen.append(node)
        }
        guard chosen.count < count else { return chosen }
        var seedersIn: [String: Int] = [:]
        for node in chosen { seedersIn[zone(node), default: 0] += 1 }
        var rest = candidates.filter { !chosen.contains($0.node) }
            .map { (candidate: $0, draw: Digest.number("\(uid)/\($0.node)")) }
        while chosen.count < count {
            let best = rest.indices.max { left, right in
                let (a, b) = (rest[left], rest[right])
                if a.candidate.preference != b.candidate.preference {
                    return a.candidate.preference < b.candidate.preference
                }
                let (inA, inB) = (seedersIn[a.candidate.zone, default: 0], seedersIn[b.candidate.zone, default: 0])
                if inA != inB { return inA > inB }
                if a.candidate.hasCopy != b.candidate.hasCopy { return b.candidate.hasCopy }
                if a.draw != b.draw { return a.draw < b.draw }
                return a.candidate.node < b.candidate.node
            }
            guard let best else { break }
            let node = rest.remove(at: best).candidate
            chosen.append(node.node)
            seedersIn[node.zone, default: 0] += 1
        }
        return chosen
    }
}
