internal import Crypto
package import Foundation
internal import Glibc
internal import TextCoding

/// Remembers who may read one cached model: the callers to whom the store showed the source.
///
/// A value, kept beside the cache. It holds no credential: a caller is known by an HMAC-SHA256 of their fingerprint
/// under a random key of this cache, so that the file says nothing to somebody who reads it and cannot be compared with
/// another cache's.
package struct Authorizations: Codable, Equatable, Sendable {
    package enum Verdict: String, Codable, Sendable {
        case allowed
        /// The store refused these credentials after it had shown the source to others.
        case denied
    }

    /// The least recently confirmed one makes way.
    package static let limit = 256
    private static let currentVersion = 1

    private struct Entry: Codable, Equatable, Sendable {
        let digest: String
        var verdict: Verdict
    }

    private let version: Int
    private let key: Data
    /// The most recently confirmed last.
    private var entries: [Entry] = []

    package init() {
        version = Self.currentVersion
        key = SymmetricKey(size: .bits256).withUnsafeBytes { Data($0) }
    }

    /// Nil: damaged, of another release, or larger than this agent writes.
    package init?(encoded data: Data) {
        guard let stored = try? JSONDecoder().decode(Authorizations.self, from: data),
            stored.version == Self.currentVersion,
            stored.key.count == 32, stored.entries.count <= Self.limit
        else { return nil }
        self = stored
    }

    package var encoded: Data {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys]
        do { return try encoder.encode(self) } catch { preconditionFailure("strings can be encoded: \(error)") }
    }

    package var count: Int { entries.count }

    /// Nil: the store never judged these credentials for this model, as far as is remembered.
    package func verdict(_ fingerprint: [UInt8]) -> Verdict? {
        let digest = digest(fingerprint)
        return entries.last { $0.digest == digest }?.verdict
    }

    /// The store showed the source, or refused to.
    ///
    /// - Returns: whether there is something new to keep.
    package mutating func judged(_ fingerprint: [UInt8], _ verdict: Verdict) -> Bool {
        let digest = digest(fingerprint)
        let known = entries.firstIndex { $0.digest == digest }
        let isNew = known.map { entries[$0].verdict != verdict } ?? true
        if let known { entries.remove(at: known) }
        entries.append(Entry(digest: digest, verdict: verdict))
        if entries.count > Self.limit { entries.removeFirst(entries.count - Self.limit) }
        return isNew
    }

    private func digest(_ fingerprint: [UInt8]) -> String {
        Hex.encode(HMAC<SHA256>.authenticationCode(for: fingerprint, using: SymmetricKey(data: key)))
    }
}

/// One caller as the registry knows it while the source is asked.
package struct CallerProof: Equatable, Sendable {
    /// Of the credentials for the store.
    package let credentials: [UInt8]
    /// The credentials end by themselves: a session token is among them.
    package let isTemporary: Bool
    /// Of the namespace whose ServiceAccount token the caller showed; nil: it showed none.
    package let namespace: [UInt8]?

    package init(credentials: [UInt8], isTemporary: Bool, namespace: [UInt8]?) {
        self.credentials = credentials
        self.isTemporary = isTemporary
        self.namespace = namespace
    }

    /// Whether the caller may have the complete and verified copy though the store says nothing.
    package func isAuthorized(by known: Authorizations) -> Bool {
        switch known.verdict(credentials) {
        case .allowed: true
        case .denied: false
        case nil: namespace.map { known.verdict($0) == .allowed } ?? false
        }
    }

    /// Whether the store's word takes the authorization away. One that does not answer, or is busy, has said nothing;
    /// and where a ServiceAccount token proves the caller, the end of temporary credentials is no refusal either.
    package func isWithdrawn(by failure: AgentFailure) -> Bool {
        switch failure.storeKind {
        case .wrongSecret, .accessDenied, .noSuchBucket: true
        case .expiredToken: namespace == nil
        // The key of temporary credentials is forgotten when they end.
        case .wrongKey: namespace == nil || !isTemporary
        default: false
        }
    }

    /// Whether the store said nothing about the caller: a complete copy is served then to those who are authorized.
    package func isSilence(_ failure: AgentFailure) -> Bool {
        if isWithdrawn(by: failure) { return false }
        switch failure.storeKind {
        case .expiredToken, .wrongKey, .clockSkew: return true
        default: return failure.code == .unreachable || failure.code == .internal
        }
    }
}

/// The files in which ``Authorizations`` outlive the agent: `<root>/authorized/<name>.json`, mode 0600.
///
/// Not in the caches' volumes, which pods may be able to write. Calls block on the file system.
package struct AuthorizationFiles: Sendable {
    private let folder: String

    package init(root: String) { folder = "\(root)/authorized" }

    private func path(_ name: String) -> String { "\(folder)/\(name).json" }

    package func read(_ name: String) -> Authorizations? {
        guard let file = FileHandle(forReadingAtPath: path(name)) else { return nil }
        // An entry has about a hundred bytes.
        guard let data = try? file.read(upToCount: 256 * Authorizations.limit) else { return nil }
        return Authorizations(encoded: data)
    }

    /// Whole or not at all.
    package func write(_ known: Authorizations, _ name: String) throws {
        try FileManager.default.createDirectory(
            atPath: folder, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
        let aside = path(name) + ".new"
        try? FileManager.default.removeItem(atPath: aside)
        guard
            FileManager.default.createFile(
                atPath: aside, contents: known.encoded, attributes: [.posixPermissions: 0o600])
        else {
            throw CocoaError(.fileWriteUnknown)
        }
        guard rename(aside, path(name)) == 0 else { throw CocoaError(.fileWriteUnknown) }
    }

    /// Removes those of models that are not here any more.
    package func sweep(keeping names: Set<String>) {
        for file in (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
        where !file.hasSuffix(".json") || !names.contains(String(file.dropLast(5))) {
            try? FileManager.default.removeItem(atPath: "\(folder)/\(file)")
        }
        rmdir(folder)
    }

    package func remove(_ name: String) {
        try? FileManager.default.removeItem(atPath: path(name))
        // Only an empty folder goes.
        rmdir(folder)
    }
}
