package import AgentAPI
package import Kubernetes

/// An order to a node's agent about one cache. ``OrderRunner`` carries it out.
package struct Order: Sendable {
    package enum Kind: Sendable {
        /// `generation`: of the spec that the definition follows from.
        case prepare(CacheDefinition, generation: Int64)
        case evict(force: Bool)
        /// A person asked for it by the annotation `request`: it is tried once, and Events about `reference` tell
        /// what came of it.
        case refresh(request: String, reference: ObjectReference)
        /// The copy of a ModelCache that is gone; its name for the log.
        case sweep(name: String)
    }

    /// Of the ModelCache.
    package var uid: String
    package var node: String
    package var kind: Kind

    package init(uid: String, node: String, kind: Kind) {
        self.uid = uid
        self.node = node
        self.kind = kind
    }
}

/// The orders to agents that wait or are under way: a pure value.
///
/// No reconcile waits for an agent. A node has one order about a ModelCache at a time, and few in all. A node that left
/// its last order unanswered is given one as a trial, which begins when the back-off is over (the plan sees to that),
/// and such nodes have ``widthOfSilent`` places together: however many they are, the others have theirs.
package struct OrderBook: Sendable {
    /// Orders under way at most: each is a connection.
    package static let width = 256
    package static let widthOfNode = 4
    /// Trials under way at most.
    package static let widthOfSilent = 32

    private var queue = FairQueue<Order>(width: Self.width, widthOfLine: Self.widthOfNode)
    private var nodes: [String: Set<String>] = [:]
    /// Nodes with a trial under way.
    private var trials: Set<String> = []

    package init() {}

    /// The nodes with an order about this ModelCache that waits or is under way.
    package func nodes(uid: String) -> Set<String> { nodes[uid] ?? [] }

    /// - Returns: false when there is one about this ModelCache on this node already.
    package mutating func add(_ order: Order) -> Bool {
        guard nodes[order.uid, default: []].insert(order.node).inserted else { return false }
        queue.add(order, line: order.node)
        return true
    }

    /// Takes the next order that may begin.
    ///
    /// - Parameter isSilent: whether a node left its last order unanswered.
    package mutating func next(isSilent: (_ node: String) -> Bool) -> Order? {
        let hasPlace = trials.count < Self.widthOfSilent
        let order = queue.next { node, running in !isSilent(node) || (hasPlace && running == 0) }
        if let order, isSilent(order.node) { trials.insert(order.node) }
        return order
    }

    /// - Parameter isAnswered: false: those that wait for this node are dropped. The plan asks for them again when the
    ///   back-off is over.
    /// - Returns: whether it was a trial, and the dropped ones.
    package mutating func ended(_ order: Order, isAnswered: Bool) -> (wasTrial: Bool, dropped: [Order]) {
        let wasTrial = trials.contains(order.node)
        if queue.ended(line: order.node) == 0 { trials.remove(order.node) }
        let dropped = isAnswered ? [] : queue.drop(line: order.node)
        for gone in [order] + dropped {
            nodes[gone.uid]?.remove(gone.node)
            if nodes[gone.uid]?.isEmpty ?? false { nodes[gone.uid] = nil }
        }
        return (wasTrial, dropped)
    }
}
