internal import AgentWire

/// Which keys may become paths. Keys come from the store and are not to be trusted: one that climbs out of the model's
/// directory, or takes the place of our own files, must never reach the file system.
enum KeyRules {
    /// Our own directories at the top of a model's directory (agent_wire.h).
    static let reserved = [MC_PARTIAL_DIRECTORY, MC_PRESENCE_DIRECTORY, MC_STATE_DIRECTORY]
    /// NAME_MAX of every Linux file system in use.
    static let longestComponent = 255
    /// PATH_MAX is 4096 with the NUL; the model's directory and ".presence/" need their share.
    static let longestKey = 3000

    static func check(_ key: String) throws(ChunkStoreError) {
        if key.isEmpty { throw .badKey(key: key, why: "it is empty") }
        if key.utf8.count > longestKey { throw .badKey(key: key, why: "it is longer than \(longestKey) bytes") }
        if key.utf8.contains(0) { throw .badKey(key: key, why: "it contains a NUL byte") }
        if key.hasPrefix("/") { throw .badKey(key: key, why: "it is absolute") }
        let components = key.split(separator: "/", omittingEmptySubsequences: false)
        for component in components {
            if component.isEmpty { throw .badKey(key: key, why: "it has an empty component") }
            if component == "." || component == ".." {
                throw .badKey(key: key, why: "a component is \"\(component)\"")
            }
            if component.utf8.count > longestComponent {
                throw .badKey(key: key, why: "a component is longer than \(longestComponent) bytes")
            }
        }
        if let first = components.first, reserved.contains(String(first)) {
            throw .badKey(key: key, why: "\(first) is a directory of the cache itself")
        }
    }

    /// No key twice, and none that is a file to one and a directory to another. Bytes decide, as they do for the file
    /// system: Swift would call two normalisation forms of one text equal.
    static func checkCollisions(_ keys: [String]) throws(ChunkStoreError) {
        var seen = Set<[UInt8]>()
        for key in keys where !seen.insert(Array(key.utf8)).inserted { throw .keyCollision(key: key, with: key) }
        for key in keys {
            let bytes = Array(key.utf8)
            for (index, byte) in bytes.enumerated() where byte == UInt8(ascii: "/") {
                let parent = Array(bytes[..<index])
                if seen.contains(parent) {
                    throw .keyCollision(key: key, with: String(decoding: parent, as: UTF8.self))
                }
            }
        }
    }
}
