public import AgentAPI
public import Kubernetes
internal import CRD
internal import ObjectStore

/// Lists sources with their ModelCache's own credentials.
///
/// At most ``width`` at a time; each within a minute and a bounded number of pages, whatever the endpoint does.
public actor SourceResolver {
    /// What to look at.
    public struct Request: Sendable, Equatable {
        public var namespace: String
        /// With the endpoint filled in.
        public var source: CacheDefinition.Source
        public var secretName: String?
        /// Stop after the Secret when it is still this version.
        public var knownSecretVersion: String?

        public init(namespace: String, source: CacheDefinition.Source, secretName: String?, knownSecretVersion: String? = nil) {
            self.namespace = namespace
            self.source = source
            self.secretName = secretName
            self.knownSecretVersion = knownSecretVersion
        }
    }

    public enum Answer: Sendable, Equatable {
        case resolved(ResolvedSource)
        case failed(SourceFailure)
        /// The Secret is the one known.
        case unchanged
    }

    static let width = 8
    /// A model has files by the hundred; two hundred thousand keys are no model.
    private static let maximumPages = 200
    private static let listingDeadline: Duration = .seconds(60)
    /// A person waits for the first answer, and a failure is tried again anyway.
    private static let retry = RetryPolicy(
        maximumAttempts: 3, baseDelay: .milliseconds(200), maximumDelay: .seconds(2), deadline: .seconds(15))

    private let secrets: @Sendable (ObjectKey) async throws -> Secret?
    private let engine: TransferEngine
    private var running = 0
    private var waiting: [CheckedContinuation<Void, Never>] = []

    /// - Parameters:
    ///   - allowsLoopback: whether a store may be on this machine, as in testbeds.
    ///   - secrets: one Secret, nil when there is none.
    public init(allowsLoopback: Bool = false, secrets: @escaping @Sendable (ObjectKey) async throws -> Secret?) throws {
        self.secrets = secrets
        engine = try TransferEngine(
            TransferEngineConfiguration(
                threads: 1, connectTimeout: .seconds(5), stallTimeout: .seconds(10),
                addressGuard: AddressGuard { StoreHost.problem(withAddress: $0, allowsLoopback: allowsLoopback) }))
    }

    /// - Throws: what asking for the Secret threw: an API server that is away says nothing about the source.
    public func resolve(_ request: Request) async throws -> Answer {
        await enter()
        defer { leave() }
        var secret: Secret?
        if let name = request.secretName {
            do {
                secret = try await secrets(ObjectKey(namespace: request.namespace, name: name))
            } catch let error as KubernetesError where error.isForbidden {
                return .failed(SourceFailure(
                    .secretNotFound,
                    "Secret \(name) may not be read by the operator; allow it `get` on Secrets in namespace \(request.namespace)"))
            }
            guard let secret else {
                return .failed(SourceFailure(
                    .secretNotFound,
                    "there is no Secret \(name) in namespace \(request.namespace); create it with entries OSS_ACCESS_KEY_ID and "
                        + "OSS_ACCESS_KEY_SECRET"))
            }
            if let known = request.knownSecretVersion, known == secret.resourceVersion { return .unchanged }
        }
        do throws(SourceFailure) {
            guard let secret else { return .resolved(try await list(request.source, provider: .anonymous, secret: nil)) }
            let read = try SecretView.read(secret)
            return .resolved(try await list(request.source, provider: .fixed(read.credentials), secret: read.view))
        } catch {
            return .failed(error)
        }
    }

    private nonisolated func list(
        _ source: CacheDefinition.Source, provider: CredentialsProvider, secret: SecretView?
    ) async throws(SourceFailure) -> ResolvedSource {
        let configuration: StoreConfiguration
        do throws(SettingError) {
            let location = try ObjectLocation(parsing: source.uri, field: "spec.source.uri")
            var endpointText = source.endpoint
            if endpointText == nil, location.scheme == .s3 {
                endpointText = "https://s3.\(source.region ?? "us-east-1").amazonaws.com"
            }
            configuration = try StoreConfiguration(
                location: location, endpoint: try StoreEndpoint(parsing: endpointText ?? "", field: "spec.source.endpoint"),
                region: source.region, credentials: provider, retry: Self.retry)
        } catch {
            throw SourceFailure(error)
        }
        let listing: ObjectListing
        do throws(StoreError) {
            listing = try await StoreClient(configuration, engine: engine)
                .list(maximumPages: Self.maximumPages, within: Self.listingDeadline)
        } catch {
            throw SourceFailure(error)
        }
        let objects = listing.selected(under: configuration.location, include: source.include)
        guard !objects.isEmpty else {
            let hint = listing.objects.isEmpty || source.include.isEmpty
                ? "" : " that matches spec.source.include (\(Words.count(listing.objects.count, "object")) there in all)"
            throw SourceFailure(
                .sourceEmpty, "no object is under \(source.uri)\(hint); check the prefix, a prefix is not a single file")
        }
        var total: Int64 = 0
        for object in objects { total = total.addedClamping(Int64(clamping: object.size)) }
        return ResolvedSource(
            totalBytes: total, files: objects.count,
            digest: listing.digest(under: configuration.location, include: source.include).description, secret: secret)
    }

    private func enter() async {
        if running < Self.width {
            running += 1
        } else {
            await withCheckedContinuation { waiting.append($0) }
        }
    }

    private func leave() {
        if waiting.isEmpty { running -= 1 } else { waiting.removeFirst().resume() }
    }
}
