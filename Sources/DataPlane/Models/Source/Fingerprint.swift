internal import Crypto

/// SHA-256 over a list of strings, each with its length, so that no two lists share one.
enum Fingerprint {
    static func of(_ parts: [String]) -> [UInt8] {
        var hash = SHA256()
        for part in parts {
            hash.update(data: Array("\(part.utf8.count):".utf8))
            hash.update(data: Array(part.utf8))
        }
        return Array(hash.finalize())
    }
}
