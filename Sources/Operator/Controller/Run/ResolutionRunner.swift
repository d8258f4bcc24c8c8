internal import CRD
internal import Kubernetes
internal import Logging

/// Looks at sources beside the reconciles: a store that does not answer holds up nobody else.
struct ResolutionRunner: Sendable {
    struct Work: Sendable {
        var uid: String
        var subject: String
        var request: SourceResolver.Request
    }

    private let world: World
    private let resolver: SourceResolver
    private let logger: Logger
    private let wake: @Sendable ([ObjectKey]) -> Void
    private let stream: AsyncStream<Work>
    private let queue: AsyncStream<Work>.Continuation

    /// Before an API server that did not give the Secret is asked again.
    private static let pause: Duration = .seconds(3)

    init(world: World, resolver: SourceResolver, logger: Logger, wake: @escaping @Sendable ([ObjectKey]) -> Void) {
        self.world = world
        self.resolver = resolver
        self.logger = logger
        self.wake = wake
        (stream, queue) = AsyncStream.makeStream(bufferingPolicy: .unbounded)
    }

    /// One look at a time for a ModelCache; another asked for meanwhile is left out.
    func start(_ cache: ModelCache, spec: CacheSpec, regions: Set<String>, secretOnly: Bool) {
        guard case .success(let source) = spec.effectiveSource(regions: regions, recorded: cache.status?.source?.region),
            world.beginResolution(uid: cache.uid)
        else { return }
        let known = world.resolution(uid: cache.uid)
        let version = secretOnly && known.subject == spec.resolutionSubject ? known.resolved?.secret?.resourceVersion : nil
        queue.yield(Work(
            uid: cache.uid, subject: spec.resolutionSubject,
            request: SourceResolver.Request(
                namespace: cache.metadata.namespace ?? "", source: source, secretName: spec.secretName, knownSecretVersion: version)))
    }

    /// Until cancelled.
    func run() async {
        await withDiscardingTaskGroup { group in
            for await work in stream {
                group.addTask { await look(work) }
            }
        }
    }

    private func look(_ work: Work) async {
        do {
            let answer = try await resolver.resolve(work.request)
            let now = WallTime.now
            wake(world.endResolution(uid: work.uid) { resolution in
                resolution.finishedAt = now
                switch answer {
                case .unchanged: break
                case .resolved(let source):
                    resolution.subject = work.subject
                    resolution.outcome = .resolved(source)
                    resolution.failures = 0
                case .failed(let failure):
                    resolution.failures = resolution.subject == work.subject ? resolution.failures + 1 : 1
                    resolution.subject = work.subject
                    resolution.outcome = .failed(failure)
                }
            })
        } catch {
            logger.warning("a Secret could not be read", metadata: ["namespace": "\(work.request.namespace)", "reason": "\(error)"])
            try? await Task.sleep(for: Self.pause)
            wake(world.endResolution(uid: work.uid) { _ in })
        }
    }
}
