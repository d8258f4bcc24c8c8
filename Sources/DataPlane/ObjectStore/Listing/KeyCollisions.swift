internal import TextCoding

/// Keys that are a file to one object and a folder to another. A pure value.
package enum KeyCollisions {
    /// The keys that are to go because another key makes a folder of them, or because they make a folder of another.
    ///
    /// Of a key that is both, the side with fewer bytes goes, and the file where both have none: consoles write an
    /// empty object for a folder, and a stray object below a model's file must not take the file away.
    package static func lost(_ sizes: [(key: String, size: UInt64)]) -> [String: String] {
        // Bytes decide, as in KeyRules.
        let sorted = sizes.map { (path: Array($0.key.utf8), key: $0.key, size: $0.size) }
            .sorted { $0.path.lexicographicallyPrecedes($1.path) }
        let files = Dictionary(sorted.map { ($0.path, $0) }) { first, _ in first }
        var below: [[UInt8]: (bytes: UInt64, paths: [Int])] = [:]
        for (place, entry) in sorted.enumerated() {
            for path in KeyRules.folders(entry.path) {
                let parent = Array(path)
                guard files[parent] != nil else { continue }
                var folder = below[parent] ?? (0, [])
                let (sum, overflow) = folder.bytes.addingReportingOverflow(entry.size)
                folder.bytes = overflow ? .max : sum
                folder.paths.append(place)
                below[parent] = folder
            }
        }
        var gone: [String: String] = [:]
        // The outermost first: whatever goes with it needs no decision of its own.
        for (parent, folder) in below.sorted(by: { $0.key.lexicographicallyPrecedes($1.key) }) {
            guard let file = files[parent], gone[file.key] == nil else { continue }
            if file.size > folder.bytes {
                for place in folder.paths { gone[sorted[place].key] = "lies below \(file.key), which is a file" }
            } else {
                gone[file.key] = "is a folder too"
            }
        }
        return gone
    }
}
