/// The name that was probably meant.
enum NearName {
    /// A namespace with more ModelCaches is not searched to its end.
    private static let mostCandidates = 1000
    /// Of a ModelCache's name and of a label's value.
    private static let longest = 63

    /// The candidate with the fewest letters changed, added, left out or swapped with their neighbour; nil when none is
    /// near: at most a third of the letters, and no more than three.
    static func of(_ name: String, among candidates: [String]) -> String? {
        let name = Array(name.lowercased().utf8.prefix(longest))
        let most = min(3, max(1, name.count / 3))
        var best: (name: String, distance: Int)?
        for candidate in candidates.prefix(mostCandidates) {
            let letters = Array(candidate.lowercased().utf8.prefix(longest))
            guard abs(letters.count - name.count) <= most else { continue }
            let distance = distance(name, letters)
            guard distance <= most else { continue }
            if let found = best, (found.distance, found.name) <= (distance, candidate) { continue }
            best = (candidate, distance)
        }
        return best?.name
    }

    /// Optimal string alignment: Levenshtein's distance with swaps of neighbours.
    private static func distance(_ a: [UInt8], _ b: [UInt8]) -> Int {
        var before: [Int] = []
        var last = Array(0...b.count)
        for i in a.indices {
            var row = [i + 1] + Array(repeating: 0, count: b.count)
            for j in b.indices {
                let cost = a[i] == b[j] ? 0 : 1
                row[j + 1] = min(last[j] + cost, last[j + 1] + 1, row[j] + 1)
                if i > 0, j > 0, a[i] == b[j - 1], a[i - 1] == b[j] { row[j + 1] = min(row[j + 1], before[j - 1] + 1) }
            }
            before = last
            last = row
        }
        return last[b.count]
    }
}
