internal import CRD
internal import Kubernetes
internal import Logging
internal import Synchronization

/// Looks at sources beside the reconciles, as ``FairQueue`` says: a store that does not answer holds up nobody
/// else.
struct ResolutionRunner: Sendable {
    struct Work: Sendable {
        var uid: String
        /// ``Resolution/Look``.
        var id: Int
        var subject: String
        /// `metadata.generation` of the ModelCache.
        var generation: Int64
        var namespace: String
        var request: SourceResolver.Request
    }

    private let world: World
    private let resolver: SourceResolver
    private let logger: Logger
    /// The keys given need another plan.
    private let wake: @Sendable ([ObjectKey]) -> Void
    private let queue = Shared()
    private let signals: AsyncStream<Void>
    private let signal: AsyncStream<Void>.Continuation

    /// The outer failure says nothing about the source.
    private typealias Answer = Result<Result<ResolvedSource, SourceFailure>, any Error>

    private final class Shared: Sendable {
        /// Each listing is a connection and up to one page of objects.
        let state = Mutex(FairQueue<Work>(width: 16, widthOfLine: 4))
        /// By number of the look.
        let waits = Mutex<[Int: Wait]>([:])
    }

    /// A look under way.
    private struct Wait: Sendable {
        var uid: String
        /// Finished, it gives the look up.
        var answers: AsyncStream<Answer>.Continuation
    }

    /// Before an API server that did not take a Job is asked again.
    private static let pause: Duration = .seconds(3)

    init(
        world: World, resolver: SourceResolver, logger: Logger,
        wake: @escaping @Sendable ([ObjectKey]) -> Void
    ) {
        self.world = world
        self.resolver = resolver
        self.logger = logger
        self.wake = wake
        (signals, signal) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
    }

    /// One look at a time for a ModelCache. Another of the same subject that is asked for meanwhile is left out; one of
    /// an edited spec ends the former at once.
    func start(_ cache: ModelCache, spec: CacheSpec, regions: Set<String>) {
        guard
            case .success(let source) = spec.effectiveSource(regions: regions, recorded: cache.status?.source?.region),
            let (id, outdated) = world.beginLook(uid: cache.uid, subject: spec.resolutionSubject)
        else { return }
        if outdated != nil { endUnwanted() }
        let namespace = cache.metadata.namespace ?? ""
        let job = ListingJob(
            owner: Owner(namespace: namespace, name: cache.metadata.name, uid: cache.uid), source: source,
            secretName: spec.secretName, givenTo: spec.givenTo, image: world.image,
            pods: world.podTemplate.overlaid(by: spec.podTemplate), placement: spec.placement, access: world.access)
        let work = Work(
            uid: cache.uid, id: id, subject: spec.resolutionSubject, generation: cache.metadata.generation ?? 0,
            namespace: namespace,
            request: spec.isListedByJobs ? .job(job) : .anonymous(source))
        queue.state.withLock { $0.add(work, line: namespace) }
        signal.yield()
    }

    /// Gives up the looks under way whose ModelCaches were edited or deleted: each of them holds a place of its
    /// namespace.
    func endUnwanted() {
        let waits = queue.waits.withLock { $0 }
        for (id, wait) in waits where !world.isWanted(look: id, uid: wait.uid) { wait.answers.finish() }
    }

    /// Until cancelled. Then it waits for no store.
    func run() async {
        await withDiscardingTaskGroup { group in
            for await _ in signals {
                while let work = queue.state.withLock({ $0.next() }) {
                    group.addTask {
                        // A ModelCache that was deleted or edited meanwhile needs no answer.
                        if world.isWanted(look: work.id, uid: work.uid) { await look(work) }
                        queue.state.withLock { _ = $0.ended(line: work.namespace) }
                        signal.yield()
                    }
                }
            }
            group.cancelAll()
        }
    }

    /// The resolver's answer; nil when this task was cancelled or the look outdated before: a store may take a minute
    /// to be given up, and nobody waits for that.
    private func answer(_ work: Work) async -> Answer? {
        let (answers, sender) = AsyncStream.makeStream(of: Answer.self)
        queue.waits.withLock { $0[work.id] = Wait(uid: work.uid, answers: sender) }
        defer { queue.waits.withLock { _ = $0.removeValue(forKey: work.id) } }
        // One that was outdated before its sender was there.
        guard world.isWanted(look: work.id, uid: work.uid) else { return nil }
        let listing = Task {
            do {
                let answer = try await resolver.resolve(work.request) { why in
                    wake(world.waits(look: work.id, uid: work.uid, why: why))
                }
                sender.yield(.success(answer))
            } catch {
                sender.yield(.failure(error))
            }
            sender.finish()
        }
        var iterator = answers.makeAsyncIterator()
        let answer = await iterator.next()
        if answer == nil { listing.cancel() }
        return answer
    }

    private func look(_ work: Work) async {
        guard let result = await answer(work) else {
            _ = world.end(look: work.id, uid: work.uid) { _ in }
            return
        }
        do {
            let answer = try result.get()
            wake(
                world.end(look: work.id, uid: work.uid) { resolution in
                    resolution.record(answer, subject: work.subject, generation: work.generation, now: .now)
                })
        } catch {
            logger.warning(
                "the API server did not give what a listing needs",
                metadata: [
                    "namespace": "\(work.namespace)", "source": "\(work.request.source.uri)",
                    "reason": "\(error)",
                ])
            try? await Task.sleep(for: Self.pause)
            wake(world.end(look: work.id, uid: work.uid) { _ in })
        }
    }
}
