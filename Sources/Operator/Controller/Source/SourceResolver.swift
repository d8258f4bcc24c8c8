public import AgentAPI
internal import CRD
internal import Foundation
internal import ObjectStore
public import RangeTransfer
internal import StoreHost
internal import TextCoding

/// Lists sources: public ones itself, and those that are read with credentials through Jobs that have these.
///
/// Each within a minute and a bounded number of pages, whatever the endpoint does. ``ResolutionRunner`` says how many
/// at a time.
public final class SourceResolver: Sendable {
    /// The source to look at, and who does.
    public enum Request: Sendable, Equatable {
        /// With the endpoint filled in; the operator lists it, as nobody.
        case anonymous(CacheDefinition.Source)
        case job(ListingJob)

        public var source: CacheDefinition.Source {
            switch self {
            case .anonymous(let source): source
            case .job(let job): job.source
            }
        }
    }

    /// A model has files by the hundred; two hundred thousand keys are no model.
    private static let maximumPages = 200
    private static let listingDeadline: Duration = .seconds(60)
    /// A person waits for the first answer, and a failure is tried again anyway.
    private static let retry = RetryPolicy(
        maximumAttempts: 3, baseDelay: .milliseconds(200), maximumDelay: .seconds(2), deadline: .seconds(15))

    /// Called with the reason why a listing does not begin, in words.
    public typealias Waiting = @Sendable (String) -> Void
    /// The termination message of a Job that listed, or why there is none.
    public typealias Lister = @Sendable (ListingJob, Waiting) async throws -> Result<String, SourceFailure>

    private let lister: Lister
    private let engine: TransferEngine

    /// - Parameters:
    ///   - allowsLoopback: whether a store may be on this machine, as in testbeds.
    ///   - proxies: through which stores are reached; never the API server or an agent.
    ///   - lister: runs Jobs.
    public init(allowsLoopback: Bool = false, proxies: ProxySettings = .none, lister: @escaping Lister) throws {
        self.lister = lister
        engine = try TransferEngine(
            TransferEngineConfiguration(
                threads: 1, proxies: proxies, connectTimeout: .seconds(5), stallTimeout: .seconds(10),
                addressGuard: AddressGuard { StoreHost.problem(withAddress: $0, allowsLoopback: allowsLoopback) }))
    }

    /// - Parameter waiting: told why a Job that lists does not start.
    /// - Throws: what the lister threw: an API server that is away says nothing about the source.
    public func resolve(_ request: Request, waiting: Waiting = { _ in }) async throws
        -> Result<ResolvedSource, SourceFailure>
    {
        switch request {
        case .anonymous(let source):
            do throws(SourceFailure) { return .success(try await list(source)) } catch { return .failure(error) }
        case .job(let job):
            return try await lister(job, waiting).flatMap { Self.answer($0, job.source) }
        }
    }

    private func list(_ source: CacheDefinition.Source) async throws(SourceFailure) -> ResolvedSource {
        let configuration: StoreConfiguration
        do throws(SettingError) {
            let location = try ObjectLocation(parsing: source.uri, field: "spec.source.uri")
            var endpointText = source.endpoint
            if endpointText == nil, location.scheme == .s3 {
                endpointText = "https://s3.\(source.region ?? "us-east-1").amazonaws.com"
            }
            configuration = try StoreConfiguration(
                location: location,
                endpoint: try StoreEndpoint(
                    parsing: endpointText ?? "", for: location,
                    addressing: try AddressingSetting(parsing: source.addressing, field: "spec.source.addressing"),
                    field: "spec.source.endpoint"),
                region: source.region, credentials: .anonymous, requesterPays: source.requesterPays ?? false,
                retry: Self.retry)
        } catch {
            throw SourceFailure(error)
        }
        let catalog: SourceCatalog
        do throws(StoreError) {
            catalog = try await StoreClient(configuration, engine: engine)
                .catalog(include: source.include, maximumPages: Self.maximumPages, within: Self.listingDeadline)
        } catch {
            throw SourceFailure(error)
        }
        return try Self.resolved(SourceSummary(catalog), source)
    }

    private static func resolved(
        _ summary: SourceSummary, _ source: CacheDefinition.Source
    ) throws(SourceFailure) -> ResolvedSource {
        guard summary.files > 0 else {
            let hint = source.include.isEmpty ? "" : " that matches spec.source.include"
            throw SourceFailure(
                .sourceEmpty,
                "no object is under \(source.uri)\(hint); check the prefix"
                    + (summary.leftOut.map { "; \($0)" } ?? ""))
        }
        return ResolvedSource(
            totalBytes: summary.totalBytes, files: summary.files, digest: summary.digest,
            secret: summary.secret.map { SecretView(version: $0.version, expiry: $0.expiry) },
            leftOut: summary.leftOut, unreadable: summary.unreadable.map(SpecWords.named),
            objects: summary.objects ?? [:])
    }

    /// Translates the word of a pod of the ModelCache's namespace. It decides about this ModelCache alone, as its
    /// credentials would.
    private static func answer(
        _ text: String, _ source: CacheDefinition.Source
    ) -> Result<ResolvedSource, SourceFailure> {
        guard let summary = try? JSONDecoder().decode(SourceSummary.self, from: Data(text.utf8)) else {
            return .failure(
                SourceFailure(
                    .storeError, Words.line("the Job that lists the source ended without a result: \(text)", limit: 700)
                ))
        }
        do throws(SourceFailure) {
            if let problem = summary.secretProblem { throw SourceFailure(problem) }
            if let error = summary.error { throw SourceFailure(error) }
            return .success(try resolved(summary, source))
        } catch {
            return .failure(error)
        }
    }
}
