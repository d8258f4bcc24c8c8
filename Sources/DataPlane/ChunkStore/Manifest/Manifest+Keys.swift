internal import TextCoding

extension Manifest {
    /// Errors: `.badKey` when the key cannot be a file.
    static func check(_ key: String) throws(ChunkStoreError) {
        if let problem = KeyRules.problem(with: key) { throw .badKey(key: key, why: "it \(problem)") }
    }

    /// No key twice, and none that is a file to one and a folder to another; by bytes, as KeyRules are.
    static func checkCollisions(_ keys: [String]) throws(ChunkStoreError) {
        var seen = Set<ArraySlice<UInt8>>()
        for key in keys where !seen.insert(Array(key.utf8)[...]).inserted {
            throw .keyCollision(key: key, with: key)
        }
        for key in keys {
            for folder in KeyRules.folders(Array(key.utf8)) where seen.contains(folder) {
                throw .keyCollision(key: key, with: String(decoding: folder, as: UTF8.self))
            }
        }
    }
}
