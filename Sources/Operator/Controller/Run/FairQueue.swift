internal import DequeModule

/// Work that waits in lines, which take turns: a pure value that ``ResolutionRunner`` and ``OrderRunner`` carry out.
///
/// A line (a namespace, a node) has no more than ``widthOfLine`` under way, so that a line with hundreds of works that
/// do not end delays no other one. The number of ModelCaches bounds each line: each has one place.
package struct FairQueue<Work: Sendable>: Sendable {
    /// Works under way at most.
    package let width: Int
    package let widthOfLine: Int

    private var waiting: [String: Deque<Work>] = [:]
    /// Lines with waiting work, in the order of their turns.
    private var turns: [String] = []
    private var running: [String: Int] = [:]

    package init(width: Int, widthOfLine: Int) {
        self.width = width
        self.widthOfLine = widthOfLine
    }

    package var isEmpty: Bool { turns.isEmpty }

    package mutating func add(_ work: Work, line: String) {
        if waiting[line] == nil { turns.append(line) }
        waiting[line, default: []].append(work)
    }

    /// Takes the next work that may begin; nil when there is none or all places are taken.
    ///
    /// - Parameter admits: whether a line with so many under way may begin another, within ``widthOfLine``.
    package mutating func next(where admits: (_ line: String, _ running: Int) -> Bool = { _, _ in true }) -> Work? {
        guard running.values.reduce(0, +) < width,
            let turn = turns.firstIndex(where: { line in
                let count = running[line, default: 0]
                return count < widthOfLine && admits(line, count)
            })
        else { return nil }
        let line = turns.remove(at: turn)
        guard var works = waiting.removeValue(forKey: line), let work = works.popFirst() else { return nil }
        running[line, default: 0] += 1
        if !works.isEmpty {
            waiting[line] = works
            turns.append(line)
        }
        return work
    }

    /// - Returns: how many of the line are still under way.
    @discardableResult
    package mutating func ended(line: String) -> Int {
        let left = running[line, default: 0] - 1
        running[line] = left > 0 ? left : nil
        return max(0, left)
    }

    /// Takes the works of a line that have not begun.
    package mutating func drop(line: String) -> [Work] {
        turns.removeAll { $0 == line }
        return Array(waiting.removeValue(forKey: line) ?? [])
    }
}
