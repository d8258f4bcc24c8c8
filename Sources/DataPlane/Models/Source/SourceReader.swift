internal import ChunkStore
internal import Logging
internal import ObjectStore
internal import TextCoding

/// A million objects: far more than any model has, and few enough to be held in memory.
private let listingPages = 1000
/// For all pages together, should each come slowly.
private let listingDeadline: Duration = .seconds(600)
private let concurrentHeads = 16

/// Reads what a source holds, with the credentials of one caller. Holds no lock.
struct SourceReader: Sendable {
    let client: StoreClient
    let location: ObjectLocation
    /// Shell patterns on keys below the prefix; empty: everything.
    let include: [String]
    let doubted: DoubtedListings
    let logger: Logger

    /// The objects that belong to the model, without digests. Keys that cannot be files are left out; the log names
    /// them.
    ///
    /// - Returns: also the location, decided, and what a person should know of the objects.
    /// - Throws: ``AgentFailure``: `notFound` when there is none, else what the store says.
    func list() async throws(AgentFailure) -> (
        files: [ManifestFile], location: ObjectLocation, warnings: [ModelWarning]
    ) {
        let catalog: SourceCatalog
        do throws(StoreError) {
            catalog = try await client.catalog(
                include: include, doubted: doubted.keys(of: source), maximumPages: listingPages,
                within: listingDeadline)
        } catch {
            throw AgentFailure(error)
        }
        for warning in [catalog.leftOutWarning, catalog.unreadableWarning].compactMap({ $0 }) {
            doubted.once(warning, source) {
                logger.warning("\(warning)", metadata: ["source": "\(location)"])
            }
        }
        let files = catalog.objects.map { object in
            ManifestFile(
                key: catalog.relativeKey(object), size: object.size, etag: object.etag,
                lastModified: object.lastModified)
        }
        guard !files.isEmpty else {
            let hint = include.isEmpty ? "" : " that matches \(include.joined(separator: ","))"
            throw AgentFailure(
                .notFound,
                "OSS_PATH: no object\(hint) under \(location); check the prefix, `modelcache ls` shows what is there"
                    + (catalog.leftOutWarning.map { "; \($0)" } ?? ""))
        }
        return (files, catalog.location, Self.warnings(catalog))
    }

    private static func warnings(_ catalog: SourceCatalog) -> [ModelWarning] {
        let leftOut = catalog.leftOut.map { ModelWarning(object: $0.key, "left out: it \($0.reason)") }
        let unreadable = catalog.unreadable.map { ModelWarning(object: $0.key, "cannot be read: \($0.message)") }
        return ModelWarning.bounded(leftOut, "are left out") + ModelWarning.bounded(unreadable, "cannot be read")
    }

    /// The same store, read at a location that was decided.
    func at(_ location: ObjectLocation) -> SourceReader {
        guard location != self.location else { return self }
        var configuration = client.configuration
        configuration.location = location
        return SourceReader(
            client: StoreClient(configuration, sharing: client), location: location, include: include, doubted: doubted,
            logger: logger)
    }

    /// The same files with what HEAD says of each object: its checksums, and its size and entity tag, which win over
    /// the listing's. A file that cannot be described keeps what the listing says, and reading it tells why.
    ///
    /// - Parameter areAll: the model has no other file; false: others stand, which can be read.
    /// - Throws: ``AgentFailure``: what the store says of all objects alike, or of the first where it describes none.
    func describe(_ files: [ManifestFile], areAll: Bool = true) async throws(AgentFailure) -> [ManifestFile] {
        do {
            return try await withThrowingTaskGroup(of: Described.self) { group in
                var result = files
                var refusals: [StoreError] = []
                var next = 0
                func submit() {
                    guard next < files.count else { return }
                    let index = next
                    next += 1
                    group.addTask { try await describe(files[index], at: index) }
                }
                for _ in 0..<concurrentHeads { submit() }
                while let described = try await group.next() {
                    result[described.index] = described.file
                    if let refusal = described.refusal { refusals.append(refusal) }
                    submit()
                }
                // A model of which nothing can be read is refused here, before anything is evicted for it.
                if areAll, refusals.count == files.count, let first = refusals.first { throw first }
                return result
            }
        } catch let error as StoreError {
            throw AgentFailure(error)
        } catch let error as AgentFailure {
            throw error
        } catch {
            throw AgentFailure(.internal, "\(error)")
        }
    }

    private struct Described: Sendable {
        let index: Int
        let file: ManifestFile
        /// The store's word against this object alone.
        var refusal: StoreError?
    }

    private func describe(_ listed: ManifestFile, at index: Int) async throws -> Described {
        var file = listed
        let key = location.prefix + file.key
        let head: ObjectHead
        do throws(StoreError) {
            head = try await client.describe(key)
        } catch {
            guard error.concernsObject else { throw error }
            logger.warning("an object cannot be described", metadata: ["object": "\(file.key)", "reason": "\(error)"])
            return Described(index: index, file: file, refusal: error)
        }
        if head.etag != file.etag || head.size != file.size {
            doubted.note(key, of: source)
            logger.notice(
                "listing and HEAD differ, HEAD is right",
                metadata: [
                    "object": "\(file.key)", "listed": "\(file.size) \(file.etag)", "head": "\(head.size) \(head.etag)",
                ])
            file.size = head.size
            file.etag = head.etag
        }
        file.checksums = ObjectChecksums(
            crc64: head.crc64ECMA, crc64nvme: head.crc64NVME, sha256: head.sha256.map { Hex.encode($0) },
            sha1: head.sha1.map { Hex.encode($0) },
            crc32c: head.crc32C, crc32: head.crc32, md5: head.md5.map { Hex.encode($0) }, parts: Self.parts(head))
        return Described(index: index, file: file)
    }

    private static func parts(_ head: ObjectHead) -> PartDigest? {
        guard let sizes = head.partSizes, let composite = head.composite else { return nil }
        return PartDigest(
            kind: composite.algorithm == .sha256 ? .sha256 : .sha1, digest: Hex.encode(composite.digest), sizes: sizes)
    }

    private var source: String { "\(client.configuration.endpoint.canonical) \(location)" }
}
