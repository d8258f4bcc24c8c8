internal import Crypto
internal import Foundation
internal import TextCoding

/// The outcome of a listing, as `modelcache ls --summary` writes it: for an operator that may not ask the store itself.
public struct SourceSummary: Codable, Sendable, Hashable {
    public var totalBytes: Int64
    public var files: Int
    /// ``SourceDigest`` in text.
    public var digest: String
    /// Keys that cannot be files, in one line.
    public var leftOut: String?
    /// Objects that are there and cannot be read, in one line with the remedy.
    public var unreadable: String?
    /// A hash of size and ETag by key below the prefix. Nil: more objects than fit a termination message.
    public var objects: [String: String]?
    /// Nil: the source was not read with a Secret.
    public var secret: Secret?
    /// Nil: the source was listed.
    public var failure: Failure?

    public struct Failure: Codable, Sendable, Hashable {
        /// ``StoreError/Kind`` or ``MountedSecret/Problem/Kind`` in text.
        public var kind: String
        public var message: String
    }

    /// The facts that may be told of the Secret with the keys.
    public struct Secret: Codable, Sendable, Hashable {
        /// ``MountedSecret/version``.
        public var version: String
        /// When the credentials expire, in Unix seconds; nil: the Secret does not say.
        public var expiry: Int64?

        public init(version: String, expiry: Int64? = nil) {
            self.version = version
            self.expiry = expiry
        }
    }

    /// The kubelet reads 4096 bytes of a termination message.
    public static let mostBytes = 4096

    public init(_ catalog: SourceCatalog, secret: MountedSecret? = nil) {
        totalBytes = Int64(clamping: catalog.totalBytes)
        files = catalog.objects.count
        digest = catalog.digest.description
        leftOut = catalog.leftOutWarning
        unreadable = catalog.unreadableWarning
        self.secret = secret.map { Secret(version: $0.version, expiry: $0.credentials.expiration) }
        // A key and its hash have twenty bytes at least.
        guard files <= Self.mostBytes / 20 else { return }
        objects = Dictionary(
            catalog.objects.map { object in
                let version = SHA256.hash(data: Array("\(object.size) \(object.etag)".utf8))
                return (catalog.relativeKey(object), Hex.encode(version.prefix(6)))
            }, uniquingKeysWith: { _, last in last })
    }

    public init(_ error: StoreError) { self.init(kind: error.kind.rawValue, "\(error)") }

    public init(_ problem: MountedSecret.Problem) { self.init(kind: problem.kind.rawValue, "\(problem)") }

    private init(kind: String, _ message: String) {
        totalBytes = 0
        files = 0
        digest = ""
        failure = Failure(kind: kind, message: message)
    }

    /// One line of at most ``mostBytes``: without ``objects`` where they do not fit.
    public var line: String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        func text(_ summary: SourceSummary) -> String {
            do { return String(decoding: try encoder.encode(summary), as: UTF8.self) } catch {
                preconditionFailure("strings and numbers can be encoded: \(error)")
            }
        }
        let full = text(self)
        guard full.utf8.count > Self.mostBytes else { return full }
        var short = self
        short.objects = nil
        return text(short)
    }

    /// The failure as the store's error that it was; nil: there was none.
    public var error: StoreError? {
        failure.map { StoreError(StoreError.Kind(rawValue: $0.kind) ?? .server, detail: $0.message) }
    }

    /// The failure as the Secret's, where it was one.
    public var secretProblem: MountedSecret.Problem? {
        failure.flatMap { failure in
            MountedSecret.Problem.Kind(rawValue: failure.kind).map { MountedSecret.Problem($0, failure.message) }
        }
    }
}
