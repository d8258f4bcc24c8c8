internal import ChunkStore
public import Foundation
internal import Logging
internal import ObjectStore
internal import Transfer

/// Fills one object into a cache and reports how fast: the parts that a model goes through, without the agent around them.
public struct EngineBench: Sendable {
    public struct Report: Codable, Sendable {
        public let bytes: Int64
        public let seconds: Double
        public let medium: String
    }

    /// - Parameters:
    ///   - url: `http://host:port/bucket/key` of a server that answers ranged GETs without a signature.
    ///   - directory: a root for the cache; mounted on unless it is a tmpfs already.
    public static func run(
        url: URL, directory: String, medium: AgentOptions.Medium, connections: Int, threads: Int, inFlightBytes: Int64
    ) async throws -> Report {
        let path = url.path.split(separator: "/", maxSplits: 1).map(String.init)
        guard path.count == 2, let host = url.host(), let scheme = url.scheme else {
            throw SettingError(field: "--url", value: url.absoluteString, problem: "is not http://host:port/bucket/key", remedy: "put the file in a folder, whose name is the bucket")
        }
        let (bucket, key) = (path[0], path[1])
        let endpoint = try StoreEndpoint(parsing: "\(scheme)://\(host):\(url.port ?? 80)", forcePathStyle: true, field: "--url")
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
        var options = AgentOptions(root: directory, socket: directory + "/agent.sock", http: nil, medium: medium, receiveThreads: threads)
        options.inFlightBytes = inFlightBytes
        let root = try CacheRoot(path: directory, medium: MediumOptions(preference: options.mediumPreference))
        defer { root.close() }
        let model = try root.open(manifest)
        let fill = ModelFill(
            model: model, client: client, pool: StagingPool(limitBytes: Int(inFlightBytes)),
            limits: FillLimits(maximumTransfers: connections, initialTransfers: connections), logger: Logger(label: "bench"))
        let started = ContinuousClock.now
        await fill.run()
        let seconds = started.duration(to: .now) / .seconds(1)
        let file = model.files[0]
        let report = Report(
            bytes: fill.meter.receivedBytes, seconds: seconds, medium: model.medium.rawValue)
        let failure = file.state == .complete ? nil : file.message
        try root.evict(model)
        if let failure { throw AgentFailure(.internal, failure) }
        return report
    }
}
