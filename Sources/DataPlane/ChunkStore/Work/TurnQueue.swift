internal import DequeModule

/// The order in which the work of several owners is done: the owners take turns, and each owner's items come in the
/// order in which they were added. A pure value.
///
/// Guarantee: before the first item of an owner every other owner has at most one turn, however much it asked for. An
/// item that goes on after its turn is added again.
package struct TurnQueue<Owner: Hashable, Item> {
    /// Of each owner that waits; never empty.
    private var lines: [Owner: Deque<Item>] = [:]
    /// Each owner that waits, once.
    private var turns = Deque<Owner>()

    package init() {}

    package var isEmpty: Bool { turns.isEmpty }

    package mutating func add(_ item: Item, of owner: Owner) {
        if lines[owner] == nil { turns.append(owner) }
        lines[owner, default: Deque()].append(item)
    }

    /// The item whose turn it is; nil: nobody waits.
    package mutating func next() -> Item? {
        guard let owner = turns.popFirst() else { return nil }
        guard let item = lines[owner]?.popFirst() else {
            preconditionFailure("an owner whose line is empty waits for no turn")
        }
        if lines[owner]?.isEmpty == true { lines[owner] = nil } else { turns.append(owner) }
        return item
    }
}

extension TurnQueue: Sendable where Owner: Sendable, Item: Sendable {}
