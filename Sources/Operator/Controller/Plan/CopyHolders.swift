internal import CRD

/// The nodes that have bytes of a model, and those that left the cluster with a copy.
///
/// Each list has a bound of its own in the status, so that a model on many nodes forgets no node that left.
public struct CopyHolders: Sendable, Hashable {
    /// Have bytes, or had when their agent last answered.
    public private(set) var present: Set<String>
    /// Left the cluster, the latest first; at most ``DepartedNodes/maximumNames``.
    public private(set) var departed: [String]
    /// How many left before these.
    public private(set) var leftOut: Int

    public init(present: Set<String> = [], departed: [String] = [], leftOut: Int = 0) {
        self.present = present
        self.departed = departed
        self.leftOut = leftOut
    }

    var names: Set<String> { present.union(departed) }
    func contains(_ name: String) -> Bool { present.contains(name) || departed.contains(name) }

    /// Takes up what is known by now.
    ///
    /// - Parameters:
    ///   - holding: the nodes of the cluster that have bytes.
    ///   - isHere: whether a node is in the cluster, or its agent tells what it has.
    mutating func update(holding: Set<String>, isHere: (_ node: String) -> Bool) {
        let gone = present.subtracting(holding).filter { !isHere($0) }
        if !gone.isEmpty || departed.contains(where: isHere) {
            let all = gone.sorted() + departed.filter { !isHere($0) && !gone.contains($0) }
            departed = Array(all.prefix(DepartedNodes.maximumNames))
            leftOut += all.count - departed.count
        }
        if present != holding { present = holding }
    }

    /// For the status; nil: no node has left.
    var departedNodes: DepartedNodes? {
        departed.isEmpty && leftOut == 0 ? nil : DepartedNodes(names: departed, leftOut: leftOut)
    }
}

extension Planner {
    /// The status tells of what an operator before this one knew.
    var holders: CopyHolders {
        memory.holders
            ?? CopyHolders(
                present: Set(observed.recorded.copies), departed: observed.recorded.departed?.names ?? [],
                leftOut: observed.recorded.departed?.leftOut ?? 0)
    }

    mutating func countHolders() {
        var holders = holders
        var holding: Set<String> = []
        for name in holders.names.union(observed.reports.keys) {
            if let report = observed.reports[name] {
                guard report.state == .ready || report.state == .filling || report.bytesCached > 0 else { continue }
            } else if observed.agents[name]?.reportedAt != nil || observed.nodes[name] == nil {
                continue
            }
            holding.insert(name)
        }
        holders.update(holding: holding) {
            observed.nodes[$0] != nil || observed.agents[$0]?.reportedAt != nil
        }
        memory.holders = holders
    }

    /// For the status, which names so many: those that can be asked will tell the next operator themselves.
    var copies: [String] {
        let (asked, away) = holders.present.reduce(into: ([String](), [String]())) { lists, name in
            if observed.agents[name]?.isReachable ?? false { lists.0.append(name) } else { lists.1.append(name) }
        }
        return (away.sorted() + asked.sorted()).prefix(ModelCacheStatus.maximumCopies).sorted()
    }
}
