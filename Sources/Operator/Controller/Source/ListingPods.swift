internal import Kubernetes
internal import Logging
internal import Synchronization

/// Watches the pods of all ``ListingJob``s, with one watch however many there are, and tells those who wait for a Job
/// how its pod ended.
///
/// **Rights.** Pods: list, watch.
struct ListingPods: Sendable {
    private let reflector: Reflector<Pod, ListingEnd>
    let ends = ListingEnds()

    init(client: KubernetesClient, namespace: String?, logger: Logger) {
        let labels = "\(Names.managedByLabel)=\(Names.managedBy),\(Names.componentLabel)=\(Names.listingComponent)"
        reflector = Reflector(
            client: client, namespace: namespace, selecting: ListOptions(labelSelector: labels), logger: logger
        ) { ListingEnd($0) }
        reflector.addHandler { [ends] event in
            switch event {
            case .added(_, let end): ends.set(end)
            case .modified(_, let old, let new):
                if old.owner != new.owner { ends.forget(old) }
                ends.set(new)
            case .deleted(_, let end): ends.forget(end)
            }
        }
    }

    /// Until cancelled.
    ///
    /// - Throws: `CancellationError`, nothing else.
    func run() async throws { try await reflector.run() }
}

/// The ends of Jobs' pods that the watch has told of, and who waits for one. Thread-safe.
///
/// An end is kept until its pod is deleted: it may come before anybody waits for it.
package final class ListingEnds: Sendable {
    private struct State {
        var known: [ListingEnd.Owner: ListingEnd] = [:]
        var waiting: [ListingEnd.Owner: @Sendable (ListingEnd) -> Void] = [:]
    }

    private let state = Mutex(State())

    package init() {}

    package func set(_ end: ListingEnd) {
        let waiting = state.withLock { state in
            state.known[end.owner] = end
            return state.waiting[end.owner]
        }
        waiting?(end)
    }

    package func forget(_ end: ListingEnd) {
        state.withLock { state in
            if state.known[end.owner] == end { state.known[end.owner] = nil }
        }
    }

    /// Hands the end of this Job's pod to `waiting`, at once where it is known, else when it comes; maybe twice. One
    /// waits for a Job at a time.
    package func wait(for owner: ListingEnd.Owner, _ waiting: @escaping @Sendable (ListingEnd) -> Void) {
        let known = state.withLock { state in
            state.waiting[owner] = waiting
            return state.known[owner]
        }
        if let known { waiting(known) }
    }

    /// Nobody waits for this Job any more.
    package func leave(_ owner: ListingEnd.Owner) { state.withLock { $0.waiting[owner] = nil } }
}
