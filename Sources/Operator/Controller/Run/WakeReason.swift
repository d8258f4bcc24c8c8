/// Why a ModelCache gets another plan, for the log.
package enum WakeReason: String, Sendable, CaseIterable {
    /// This replica began to lead.
    case start
    /// The ModelCache was made, edited or deleted.
    case edit
    case node, job, claim, volume
    /// The quota of its namespace.
    case quota
    /// An agent's pod came or went.
    case agent
    /// An agent reports something else, or does not answer.
    case report
    /// Bytes moved on a node.
    case progress
    /// An order to an agent has ended.
    case order
    /// A look at the source has ended, or does not begin.
    case listing
    /// A pod waits for the model, or no longer does.
    case pod
    /// The cluster's token keys changed.
    case callers
    /// A write of the plan before, or its refusal, asks for the next one.
    case write
    /// The reconcile before failed.
    case retry
}

/// The reasons that have come for each key since its last reconcile: a pure value.
///
/// A key without any is one whose time has come: the plan before asked for it, or took the reason with it.
package struct PendingReasons<Key: Hashable & Sendable>: Sendable {
    private var reasons: [Key: Set<WakeReason>] = [:]

    package init() {}

    package mutating func add(_ reason: WakeReason, for keys: some Sequence<Key>) {
        for key in keys { reasons[key, default: []].insert(reason) }
    }

    /// Takes the key's reasons, each once, in the order of ``WakeReason``'s cases.
    package mutating func take(_ key: Key) -> [WakeReason] {
        let taken = reasons.removeValue(forKey: key) ?? []
        return WakeReason.allCases.filter { taken.contains($0) }
    }

    /// For the log.
    package static func text(_ reasons: [WakeReason]) -> String {
        reasons.isEmpty ? "due" : reasons.map(\.rawValue).joined(separator: ",")
    }
}
