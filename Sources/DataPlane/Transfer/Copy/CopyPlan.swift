/// Decides which chunks are copied next from other caches of this node, and when a file's copy is over. A pure value.
///
/// A *unit* is a run of chunks that is copied and checked as one. Units that readers wait for come in the order of the
/// demands; beside them all come in the order in which a fill fetches: head and tail of each file, then file by file.
///
/// Guarantees: a unit is handed out once; each unit that was not copied is told as ``Action/missing(_:isAwaited:)``
/// once; ``Action/ended(file:)`` is told once for each file, after all else of it, when nothing of it is under way.
package struct CopyPlan: Sendable {
    package struct Unit: Sendable, Hashable {
        package let file: Int
        package let chunks: Range<Int>
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
        /// Not copied, and not tried again: it is to be fetched.
        case missing(Unit, isAwaited: Bool)
        case ended(file: Int)
    }

    private struct Copy: Sendable {
        let chunkCount: Int
        let chunksOfUnit: Int
        /// Numbers of units.
        var waiting: Set<Int>
        var underWay = 0
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
    private var demands: [(file: Int, unit: Int)] = []

    package init(_ files: [File]) {
        var heads: [(file: Int, unit: Int)] = []
        var tails = heads
        var rest = heads
        for file in files {
            let count = (file.chunkCount + file.chunksOfUnit - 1) / file.chunksOfUnit
            var copy = Copy(chunkCount: file.chunkCount, chunksOfUnit: file.chunksOfUnit, waiting: [])
            for number in 0..<count where copy.unit(number, of: file.file).chunks.contains(where: file.isMissing) {
                copy.waiting.insert(number)
                switch number {
                case 0: heads.append((file.file, number))
                case count - 1: tails.append((file.file, number))
                default: rest.append((file.file, number))
                }
            }
            if !copy.waiting.isEmpty { copies[file.file] = copy }
        }
        order = heads + tails + rest
    }

    // MARK: Questions

    /// Files whose copy has not ended.
    package var files: Set<Int> { Set(copies.keys) }
    package var isOver: Bool { copies.isEmpty }
    /// Whether ``nextAwaited()`` may have a unit.
    package var mayHaveAwaited: Bool { !demands.isEmpty }
    /// Whether ``next()`` may have a unit.
    package var mayHaveMore: Bool { cursor < order.count }

    // MARK: Events

    /// A reader waits for these chunks.
    package mutating func demanded(file: Int, chunks: Range<Int>) {
        guard var copy = copies[file] else { return }
        let within = chunks.clamped(to: 0..<copy.chunkCount)
        guard !within.isEmpty else { return }
        for number in within.lowerBound / copy.chunksOfUnit...(within.upperBound - 1) / copy.chunksOfUnit
        where copy.awaited.insert(number).inserted && copy.waiting.contains(number) {
            demands.append((file, number))
        }
        copies[file] = copy
    }

    /// The next unit that a reader waits for, which is under way from now on; nil: there is none.
    package mutating func nextAwaited() -> Unit? {
        while !demands.isEmpty {
            let next = demands.removeFirst()
            if let unit = begin(next.file, next.unit) { return unit }
        }
        return nil
    }

    /// The next unit in order, which is under way from now on; nil: there is none.
    package mutating func next() -> Unit? {
        while cursor < order.count {
            let next = order[cursor]
            cursor += 1
            if let unit = begin(next.file, next.unit) { return unit }
        }
        return nil
    }

    private mutating func begin(_ file: Int, _ number: Int) -> Unit? {
        guard copies[file]?.waiting.remove(number) != nil else { return nil }
        copies[file]?.underWay += 1
        return copies[file]?.unit(number, of: file)
    }

    package mutating func ended(_ unit: Unit, _ end: End) -> [Action] {
        guard var copy = copies[unit.file], copy.underWay > 0 else { preconditionFailure("a unit's copy ends once") }
        let number = unit.chunks.lowerBound / copy.chunksOfUnit
        copy.underWay -= 1
        if end == .damaged { copy.damaged += 1 }
        copies[unit.file] = copy
        var actions: [Action] = []
        if end != .copied { actions.append(.missing(unit, isAwaited: copy.awaited.contains(number))) }
        if end == .impossible || copy.damaged > Self.mostDamagedUnits { actions += giveUp(unit.file) }
        return actions + endIfOver(unit.file)
    }

    /// Nothing more is begun.
    package mutating func stopped() -> [Action] {
        files.sorted().flatMap { giveUp($0) + endIfOver($0) }
    }

    private mutating func giveUp(_ file: Int) -> [Action] {
        guard let copy = copies[file] else { return [] }
        copies[file]?.waiting = []
        return copy.waiting.sorted().map {
            .missing(copy.unit($0, of: file), isAwaited: copy.awaited.contains($0))
        }
    }

    private mutating func endIfOver(_ file: Int) -> [Action] {
        guard let copy = copies[file], copy.waiting.isEmpty, copy.underWay == 0 else { return [] }
        copies[file] = nil
        return [.ended(file: file)]
    }
}
