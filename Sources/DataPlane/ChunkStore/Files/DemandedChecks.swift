internal import DequeModule

/// The chunks that are checked next because readers wait: the demands take turns, chunk by chunk. A pure value.
///
/// A reader that maps a whole file demands all of it, and another one then waits for one chunk: it has that after one
/// check of the other's.
package struct DemandedChecks: Sendable {
    private struct Demand: Hashable, Sendable {
        let file: UInt32
        let chunks: Range<Int>
    }

    /// More different demands than that readers of one model can have wait for the background.
    package static let most = 4096

    private var waiting = Deque<(demand: Demand, next: Int)>()
    private var known: Set<Demand> = []

    package init() {}

    package var isEmpty: Bool { known.isEmpty }

    package mutating func demanded(file: UInt32, chunks: Range<Int>) {
        let demand = Demand(file: file, chunks: chunks)
        guard !chunks.isEmpty, known.count < Self.most, known.insert(demand).inserted else { return }
        waiting.append((demand, chunks.lowerBound))
    }

    /// The chunk to be checked next; nil: nobody waits for a check.
    package mutating func next(isUnchecked: (_ file: UInt32, _ chunk: Int) -> Bool) -> (file: UInt32, chunk: Int)? {
        while let (demand, next) = waiting.popFirst() {
            let rest = next..<demand.chunks.upperBound
            guard let chunk = rest.first(where: { isUnchecked(demand.file, $0) }) else {
                known.remove(demand)
                continue
            }
            waiting.append((demand, chunk + 1))
            return (demand.file, chunk)
        }
        return nil
    }
}
