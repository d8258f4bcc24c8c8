internal import DequeModule

/// Decides which chunks are copied next from other caches of this node, and when a file's copy is over. A pure value.
///
/// A *unit* is a run of chunks that is copied and checked as one. Units that readers wait for come in the order of the
/// demands; beside them all come in the order in which a fill fetches: head and tail of each file, then file by file.
///
/// Guarantees: a unit is handed out once; each unit that was not copied, or was taken back before it was handed out, is
/// told as ``Action/missing(_:isAwaited:)`` once; ``Action/ended(file:)`` is told once for each file, after all else of
/// it, when nothing of it is under way.
package struct CopyPlan: Sendable {
    package struct Unit: Sendable, Hashable {
        package let file: Int
        package let chunks: Range<Int>

        package init(file: Int, chunks: Range<Int>) {
            self.file = file
            self.chunks = chunks
        }
    }

    /// A file that is to be copied.
    package struct File: Sendable {
        let file: Int
        let chunkCount: Int
        let chunksOfUnit: Int
        /// Whether the chunk is to be copied.
        let isMissing: @Sendable (Int) -> Bool

        package init(
            file: Int, chunkCount: Int, chunksOfUnit: Int, isMissing: @escaping @Sendable (Int) -> Bool = { _ in true }
        ) {
            precondition(chunkCount >= 0 && chunksOfUnit > 0, "a unit has a chunk")
            self.file = file
            self.chunkCount = chunkCount
            self.chunksOfUnit = chunksOfUnit
            self.isMissing = isMissing
        }
    }

    /// How the copy of a unit ended.
    package enum End: Sendable, Hashable {
        case copied
        /// The donor's bytes are wrong there. Others may be right.
        case damaged
        /// The donor is gone, or this cache takes no more: nothing more of the file can be copied.
        case impossible
    }

    package enum Action: Sendable, Hashable {
        /// Not copied, and never will be: it is to be fetched.
        case missing(Unit, isAwaited: Bool)
        case ended(file: Int)
    }

    /// Chunks of units that are to be copied; some of them may be there.
    package struct Left: Sendable, Hashable {
        package var waiting: Int
        package var underWay: Int

        package init(waiting: Int, underWay: Int) {
            self.waiting = waiting
            self.underWay = underWay
        }
    }

    private struct Copy: Sendable {
        let chunkCount: Int
        let chunksOfUnit: Int
        /// Numbers of units.
        var waiting: Set<Int>
        var underWay: Set<Int> = []
        /// Those of both that a reader waits for.
        var awaited: Set<Int> = []
        var damaged = 0

        func unit(_ number: Int, of file: Int) -> Unit {
            let first = number * chunksOfUnit
            return Unit(file: file, chunks: first..<min(first + chunksOfUnit, chunkCount))
        }
    }

    /// A donor with more wrong units is given up: its medium is failing, and each look at it costs time.
    package static let mostDamagedUnits = 3

    private var copies: [Int: Copy] = [:]
    private var order: [(file: Int, unit: Int)] = []
    private var cursor = 0
    /// Units from here on were taken back.
    private var end = 0
    private var demands = Deque<(file: Int, unit: Int)>()

    package init(_ files: [File]) {
        var heads: [(file: Int, unit: Int)] = []
        var tails = heads
        var rest = heads
        for file in files {
            let count = (file.chunkCount + file.chunksOfUnit - 1) / file.chunksOfUnit
            var copy = Copy(chunkCount: file.chunkCount, chunksOfUnit: file.chunksOfUnit, waiting: [])
            for number in 0..<count where copy.unit(number, of: file.file).chunks.contains(where: file.isMissing) {
                copy.waiting.insert(number)
                chunks.waiting += copy.unit(number, of: file.file).chunks.count
                switch number {
                case 0: heads.append((file.file, number))
                case count - 1: tails.append((file.file, number))
                default: rest.append((file.file, number))
                }
            }
            precondition(copies[file.file] == nil, "a file is copied from one other cache")
            if !copy.waiting.isEmpty { copies[file.file] = copy }
        }
        order = heads + tails + rest
        end = order.count
    }

    // MARK: Questions

    /// Files whose copy has not ended.
    package var files: Set<Int> { Set(copies.keys) }
    package var isOver: Bool { copies.isEmpty }
    /// Whether ``nextAwaited()`` may have a unit.
    package var mayHaveAwaited: Bool { !demands.isEmpty }
    /// Whether ``next()`` may have a unit.
    package var mayHaveMore: Bool { cursor < end }
    /// Whether a reader waits for a unit.
    package var isAwaited: Bool { copies.values.contains { !$0.awaited.isEmpty } }
    package private(set) var chunks = Left(waiting: 0, underWay: 0)

    // MARK: Events

    /// A reader waits for these chunks.
    package mutating func demanded(file: Int, chunks: Range<Int>) {
        guard var copy = copies[file] else { return }
        let within = chunks.clamped(to: 0..<copy.chunkCount)
        guard !within.isEmpty else { return }
        for number in within.lowerBound / copy.chunksOfUnit...(within.upperBound - 1) / copy.chunksOfUnit
        where copy.waiting.contains(number) || copy.underWay.contains(number) {
            if copy.awaited.insert(number).inserted, copy.waiting.contains(number) { demands.append((file, number)) }
        }
        copies[file] = copy
    }

    /// The next unit that a reader waits for, which is under way from now on; nil: there is none.
    package mutating func nextAwaited() -> Unit? {
        while let next = demands.popFirst() {
            if let unit = begin(next.file, next.unit) { return unit }
        }
        return nil
    }

    /// The next unit in order, which is under way from now on; nil: there is none.
    package mutating func next() -> Unit? {
        while cursor < end {
            let next = order[cursor]
            cursor += 1
            if let unit = begin(next.file, next.unit) { return unit }
        }
        return nil
    }

    private mutating func begin(_ file: Int, _ number: Int) -> Unit? {
        guard let unit = taken(file, number) else { return nil }
        copies[file]?.underWay.insert(number)
        chunks.underWay += unit.chunks.count
        return unit
    }

    /// Out of those that wait; nil: it does not.
    private mutating func taken(_ file: Int, _ number: Int) -> Unit? {
        guard copies[file]?.waiting.remove(number) != nil, let unit = copies[file]?.unit(number, of: file) else {
            return nil
        }
        chunks.waiting -= unit.chunks.count
        precondition(chunks.waiting >= 0, "a chunk waits once")
        return unit
    }

    package mutating func ended(_ unit: Unit, _ end: End) -> [Action] {
        guard var copy = copies[unit.file], case let number = unit.chunks.lowerBound / copy.chunksOfUnit,
            copy.underWay.remove(number) != nil
        else { preconditionFailure("a unit's copy ends once") }
        chunks.underWay -= unit.chunks.count
        precondition(chunks.underWay >= 0, "a chunk is under way once")
        if end == .damaged { copy.damaged += 1 }
        let isAwaited = copy.awaited.remove(number) != nil
        copies[unit.file] = copy
        var actions: [Action] = []
        if end != .copied { actions.append(.missing(unit, isAwaited: isAwaited)) }
        if end == .impossible || copy.damaged > Self.mostDamagedUnits { actions += giveUp(unit.file) }
        return actions + endIfOver(unit.file)
    }

    /// So many chunks, or a few more, are not to be copied: of the units that wait those at the end of the order.
    package mutating func takenBack(chunks count: Int) -> [Action] {
        var actions: [Action] = []
        var left = count
        while left > 0, cursor < end {
            end -= 1
            let file = order[end].file
            guard let unit = taken(file, order[end].unit) else { continue }
            left -= unit.chunks.count
            actions.append(missing(unit, order[end].unit))
            actions += endIfOver(file)
        }
        return actions
    }

    /// Nothing more is begun.
    package mutating func stopped() -> [Action] {
        files.sorted().flatMap { giveUp($0) + endIfOver($0) }
    }

    private mutating func giveUp(_ file: Int) -> [Action] {
        var actions: [Action] = []
        for number in copies[file]?.waiting.sorted() ?? [] {
            if let unit = taken(file, number) { actions.append(missing(unit, number)) }
        }
        return actions
    }

    private mutating func missing(_ unit: Unit, _ number: Int) -> Action {
        .missing(unit, isAwaited: copies[unit.file]?.awaited.remove(number) != nil)
    }

    private mutating func endIfOver(_ file: Int) -> [Action] {
        guard let copy = copies[file], copy.waiting.isEmpty, copy.underWay.isEmpty else { return [] }
        copies[file] = nil
        return [.ended(file: file)]
    }
}
