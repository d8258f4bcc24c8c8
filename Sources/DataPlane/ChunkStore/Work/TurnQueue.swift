/// The order in which the work of several owners is done: the owners take turns, and each owner's items come in the
/// order in which they were added. A pure value.
///
/// Guarantee: before the first item of an owner every other owner has at most one turn, however much it asked for. An
/// item that goes on after its turn is added again.
package struct TurnQueue<Owner: Hashable, Item> {
    /// Of each owner that waits; never empty.
    private var lines: [Owner: Line<Item>] = [:]
    /// Each owner that waits, once.
    private var turns = Line<Owner>()

    package init() {}

    package var isEmpty: Bool { turns.isEmpty }

    package mutating func add(_ item: Item, of owner: Owner) {
        if lines[owner] == nil { turns.append(owner) }
        lines[owner, default: Line()].append(item)
    }

    /// The item whose turn it is; nil: nobody waits.
    package mutating func next() -> Item? {
        guard let owner = turns.next() else { return nil }
        let item = lines[owner]?.next()
        if lines[owner]?.isEmpty == true { lines[owner] = nil } else { turns.append(owner) }
        return item
    }
}

/// Items in the order in which they came.
struct Line<Item> {
    /// Nil: taken.
    private var items: [Item?] = []
    /// Items before it are taken.
    private var head = 0

    var isEmpty: Bool { head == items.count }

    mutating func append(_ item: Item) { items.append(item) }

    /// Nothing of the item stays here: its last reference is the caller's.
    mutating func next() -> Item? {
        guard head < items.count else { return nil }
        let item = items[head]
        items[head] = nil
        head += 1
        if head == items.count || head >= 1024 {
            items.removeFirst(head)
            head = 0
        }
        return item
    }
}

extension Line: Sendable where Item: Sendable {}
extension TurnQueue: Sendable where Owner: Sendable, Item: Sendable {}
