import Foundation
import ObjectStore
import RangeTransfer
import Synchronization

/// Collects a range.
final class Collector: RangeSink {
    private let collected = Mutex<[UInt8]>([])
    var bytes: [UInt8] { collected.withLock { $0 } }
    func receive(_ bytes: UnsafeRawBufferPointer) throws { collected.withLock { $0 += bytes } }
}

enum Fixture {
    /// 1000 bytes from 100 of an object of 5000.
    static let range = ObjectRange(key: "models/a", etag: "tag", objectSize: 5000, offset: 100, length: 1000)
    static let body = [UInt8](repeating: 7, count: 1000)
    static let rightHead =
        "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 100-1099/5000\r\nETag: \"tag\"\r\nContent-Length: 1000\r\n\r\n"

    /// The timeouts are longer than a busy machine needs; a test of a stall gives its own.
    static func engine(
        _ sources: [String] = [], threads: Int = 2, authorityFile: String? = nil, authorityFolder: String? = nil,
        verifiesHostName: Bool = true, connectTimeout: Duration = .seconds(30), stallTimeout: Duration = .seconds(60)
    ) throws -> TransferEngine {
        try TransferEngine(
            TransferEngineConfiguration(
                threads: threads, sourceAddresses: sources, authorityFile: authorityFile,
                authorityFolder: authorityFolder, verifiesHostName: verifiesHostName, connectTimeout: connectTimeout,
                stallTimeout: stallTimeout))
    }

    static func client(
        _ endpoint: String, scheme: String = "oss", credentials: CredentialsProvider = .anonymous,
        engine: TransferEngine? = nil, region: String? = nil
    ) throws -> StoreClient {
        let configuration = try StoreConfiguration(
            location: try ObjectLocation(parsing: "\(scheme)://bucket-x/models/"),
            endpoint: try StoreEndpoint(parsing: endpoint), region: region, credentials: credentials,
            retry: RetryPolicy(maximumAttempts: 1))
        return StoreClient(configuration, engine: try engine ?? self.engine())
    }

    static func xml(_ code: String, _ message: String = "no") -> String {
        "<?xml version=\"1.0\"?><Error><Code>\(code)</Code><Message>\(message)</Message></Error>"
    }

    static func answer(_ status: String, _ body: String = "", headers: String = "") -> String {
        "HTTP/1.1 \(status)\r\n\(headers)Content-Length: \(body.utf8.count)\r\n\r\n\(body)"
    }

    /// A new empty directory.
    static func directory() throws -> URL {
        let url = FileManager.default.temporaryDirectory.appending(path: "objectstore-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
        return url
    }
}

extension StoreClient {
    /// `get` as a value.
    func fetch(_ range: ObjectRange = Fixture.range, into sink: any RangeSink = Collector()) async -> Result<RangeReceipt, StoreError> {
        await withCheckedContinuation { continuation in
            get(range, into: sink) { continuation.resume(returning: $0) }
        }
    }
}

extension Result where Failure == StoreError {
    var error: StoreError? { if case .failure(let error) = self { error } else { nil } }
}
