// EngineBench: one object into a cache, timed, without an agent around it.
//
// - `EngineBench` puts an engine, a client, a cache and a fill together and measures the fill.
// - `Report` has bytes, seconds, the processor's seconds and the medium.
// Invariants: only the fill is timed, neither the HEAD before it nor the eviction after it; a filled model is evicted.
// Left to others: all that is measured (RangeTransfer, ObjectStore, Transfer, ChunkStore), options and output
// (Command).

internal import ChunkStore
public import Foundation
internal import Glibc
internal import Logging
internal import Models
internal import ObjectStore
internal import RangeTransfer
internal import TextCoding
internal import Transfer

/// Fills one object into a cache and reports how fast: the parts that a model goes through, without the agent around
/// them. `hack/bench engine` runs it.
public struct EngineBench: Sendable {
    public struct Report: Codable, Sendable {
        public let bytes: Int64
        public let seconds: Double
        /// Of this process, in user and kernel mode, while the object came in.
        public let processorSeconds: Double
        public let medium: String
    }

    /// Fetches the object, and removes it from the cache again.
    ///
    /// - Parameters:
    ///   - url: `http[s]://host:port/bucket/key` of a server that answers ranged GETs without a signature.
    ///   - directory: a root for the cache; mounted on unless it is a tmpfs already.
    ///   - connections: ranged GETs in flight.
    ///   - threads: threads that receive.
    ///   - inFlightBytes: bytes staged between the network and the cache, at most.
    /// - Throws: ``SettingError`` for a URL of another form; the store's and the cache's errors; ``AgentFailure`` when
    ///   the object did not come whole.
    public static func run(
        url: URL, directory: String, connections: Int, threads: Int, inFlightBytes: Int64
    ) async throws -> Report {
        let path = url.path.split(separator: "/", maxSplits: 1).map(String.init)
        guard path.count == 2, let host = url.host(), let scheme = url.scheme else {
            throw SettingError(
                field: "--url", value: url.absoluteString, problem: "is not http[s]://host:port/bucket/key",
                remedy: "put the file in a folder, whose name is the bucket")
        }
        let (bucket, key) = (path[0], path[1])
        let port = url.port.map { ":\($0)" } ?? ""
        let endpoint = try StoreEndpoint(
            parsing: "\(scheme)://\(host)\(port)", addressing: .path, field: "--url")
        let engine = try TransferEngine(TransferEngineConfiguration(threads: threads))
        defer { engine.shutDown() }
        let client = StoreClient(
            try StoreConfiguration(
                location: try ObjectLocation(parsing: "oss://\(bucket)/"), endpoint: endpoint, credentials: .anonymous),
            engine: engine)
        let head = try await client.head(key)
        let manifest = try Manifest(
            identity: SourceIdentity(endpoint: endpoint.canonical, bucket: bucket, prefix: ""),
            files: [ManifestFile(key: key, size: head.size, etag: head.etag)])
        let root = try CacheDirectory(root: directory, .models, medium: MediumOptions(preference: .automatic))
        defer { root.close() }
        let model = try root.open(manifest)
        let fill = ModelFill(
            model: model, client: client, pool: StagingPool(limitBytes: Int(inFlightBytes)),
            limits: FillLimits(maximumTransfers: connections, initialTransfers: connections),
            logger: Logger(label: "bench"))
        let (started, used) = (ContinuousClock.now, processorSeconds)
        await fill.run()
        let seconds = started.duration(to: .now) / .seconds(1)
        let file = model.files[0]
        let report = Report(
            bytes: fill.meter.receivedBytes, seconds: seconds, processorSeconds: processorSeconds - used,
            medium: model.medium.rawValue)
        let failure = file.state == .complete ? nil : file.message
        try root.evict(model)
        if let failure { throw AgentFailure(.internal, failure) }
        return report
    }

    /// Of this process so far (getrusage(2)).
    private static var processorSeconds: Double {
        var usage = rusage()
        getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
        return [usage.ru_utime, usage.ru_stime].reduce(0) { $0 + Double($1.tv_sec) + Double($1.tv_usec) / 1e6 }
    }
}
