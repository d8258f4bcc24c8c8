internal import Kubernetes

extension World {
    /// - Returns: false when an order about this ModelCache on this node waits or is under way.
    func add(_ order: Order) -> Bool { state.withLock { $0.orders.add(order) } }

    /// Takes the next order that may begin.
    func nextOrder() -> Order? {
        state.withLock { state in
            let agents = state.agents
            return state.orders.next { agents[$0]?.unanswered != nil }
        }
    }

    /// An order was given up before its outcome was known, as at the end of the process, or could not be sent.
    func ended(_ order: Order) -> [ObjectKey] {
        state.withLock { state in
            _ = state.orders.ended(order, isAnswered: true)
            return state.keys[order.uid].map { [$0] } ?? []
        }
    }

    /// The agent answered an order.
    func answered(_ order: Order) -> [ObjectKey] {
        state.withLock { state in
            _ = state.orders.ended(order, isAnswered: true)
            let own = state.keys[order.uid].map { [$0] } ?? []
            // The others waited for it.
            guard state.agents[order.node]?.unanswered != nil else { return own }
            state.agents[order.node]?.unanswered = nil
            return own + state.concerned(by: order.node)
        }
    }

    /// The agent left an order unanswered.
    ///
    /// - Returns: the ModelCaches that need another plan, and the orders to the same node that were dropped.
    func unanswered(_ order: Order, why: String, now: WallTime) -> (wakes: [ObjectKey], dropped: [Order]) {
        state.withLock { state in
            let (wasTrial, dropped) = state.orders.ended(order, isAnswered: false)
            // Those that were under way together count once.
            if let agent = state.agents[order.node], wasTrial || agent.unanswered == nil {
                state.agents[order.node]?.unanswered = .next(after: agent.unanswered, message: why, now: now)
            }
            return ((dropped + [order]).compactMap { state.keys[$0.uid] }, dropped)
        }
    }
}
