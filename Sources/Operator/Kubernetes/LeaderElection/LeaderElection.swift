public import FoundationEssentials

/// The decisions of one candidate for a Lease, as a value: the algorithm of client-go's `leaderelection`.
///
/// Guarantees
/// - The clock of another process is never trusted: a lease has run out when *this* process saw no change of it for the lease's duration
///   on its own monotonic clock.
/// - Every write carries the `resourceVersion` it was decided on, so of two candidates one gets a conflict.
/// - A leader gives up ``LeaderElectionOptions/renewDeadline`` after it *sent* its last successful renewal, which is before anyone else may take over
///   (``LeaderElectionOptions/leaseDuration`` after they saw it). When it reads that another leads, it gives up at once.
///
/// Assumptions
/// - Monotonic clocks of two machines run at about one speed.
///
/// Caveats
/// - Work in flight when the lease is lost must be stopped by the caller; this is no fencing.
///
/// A round begins with ``begin(now:date:)``; each ``Step`` is carried out and its result fed back until the step is ``Step/wait(_:)`` or ``Step/lost(_:)``.
public struct LeaderElection: Sendable {
    public typealias Instant = ContinuousClock.Instant

    public enum Step: Sendable, Equatable {
        /// Read the lease, then ``read(_:now:date:)``.
        case read
        /// Create it, then ``wrote(_:now:)``.
        case create(Lease)
        /// Replace it (the resourceVersion is in it), then ``wrote(_:now:)``.
        case replace(Lease)
        /// Nothing to do for so long.
        case wait(Duration)
        /// This process leads no more.
        case lost(LeaseLost)
    }

    /// Why a request failed, as far as it matters here.
    public enum Failure: Sendable, Equatable {
        /// Someone else wrote first, or the lease that was thought to be there or absent was not.
        case conflict
        case other(String)
    }

    private let namespace: String
    private let name: String
    private let options: LeaderElectionOptions
    /// The lease as last seen, and when it was first seen so.
    private var observed: (lease: Lease, since: Instant)?
    /// When the last successful write of ours was sent; nil: not the leader.
    private var renewed: Instant?
    /// When the round's last request was decided on.
    private var sent: Instant?
    /// Whether this round has looked again after a conflict: once, or two writers would chase each other without a pause.
    private var hasReread = false
    private var lastFailure = "no answer of the API server"

    /// - Precondition: `options.problem` is nil.
    public init(namespace: String, name: String, options: LeaderElectionOptions) {
        precondition(options.problem == nil, "leader election: \(options.problem ?? "")")
        self.namespace = namespace
        self.name = name
        self.options = options
    }

    public var isLeader: Bool { renewed != nil }

    /// Whom the lease names, as last seen.
    public var holder: String? { observed?.lease.holder }

    /// When the leader gives up unless it renews before; nil when it does not lead.
    public var deadline: Instant? { renewed?.advanced(by: options.renewDeadline) }

    /// Starts a round. A leader writes at once on top of what it wrote last.
    public mutating func begin(now: Instant, date: Date) -> Step {
        if let deadline, now >= deadline { return lose() }
        sent = now
        hasReread = false
        // Without a version, which a conflict takes away, the write would be unconditional.
        guard isLeader, let observed, observed.lease.holder == options.identity, !observed.lease.resourceVersion.isEmpty else { return .read }
        return .replace(renewal(of: observed.lease, date: date))
    }

    /// The lease as it is on the server; nil: there is none.
    public mutating func read(_ lease: Lease?, now: Instant, date: Date) -> Step {
        guard let lease else {
            if isLeader { return lose("the lease was deleted") }
            observed = nil
            sent = now
            return .create(Lease(metadata: ObjectMeta(name: name, namespace: namespace), spec: spec(date: date, acquired: date, transitions: 0)))
        }
        observe(lease, now: now)
        let holder = lease.holder
        if isLeader, holder != options.identity { return lose(holder.map { "\($0) leads" } ?? "the lease was released") }
        if let holder, holder != options.identity, let expiry, expiry > now {
            // Not later than the moment at which the lease runs out: that is how long nobody leads.
            return .wait(min(options.retryPeriod, now.duration(to: expiry)))
        }
        sent = now
        return .replace(renewal(of: lease, date: date))
    }

    /// Our write succeeded; `lease` is what the server stored.
    public mutating func wrote(_ lease: Lease, now: Instant) -> Step {
        observe(lease, now: now)
        renewed = sent ?? now
        return .wait(options.retryPeriod)
    }

    /// The step's request failed.
    public mutating func failed(_ failure: Failure, now: Instant) -> Step {
        switch failure {
        case .conflict:
            // What we believed is not so. A leader must know at once who leads; a candidate has time.
            observed?.lease.metadata.resourceVersion = nil
            lastFailure = "others write the lease"
            if isLeader, !hasReread {
                hasReread = true
                return .read
            }
        case .other(let text):
            lastFailure = text
        }
        guard let deadline else { return .wait(options.retryPeriod) }
        return now >= deadline ? lose() : .wait(min(options.retryPeriod, now.duration(to: deadline)))
    }

    /// The work has ended: this process leads no more, though the lease still names it.
    public mutating func resign() { renewed = nil }

    /// The write that lets others take over at once, as client-go writes it; nil when `lease`, as it is on the server, is not ours.
    public func release(of lease: Lease?, date: Date) -> Lease? {
        guard var lease, lease.holder == options.identity else { return nil }
        lease.spec = LeaseSpec(
            holderIdentity: "", leaseDurationSeconds: 1, acquireTime: MicroTime(date), renewTime: MicroTime(date),
            leaseTransitions: lease.spec?.leaseTransitions)
        return lease
    }

    // MARK: Inside

    private mutating func observe(_ lease: Lease, now: Instant) {
        // The version as well as the text: a renewal changes both, and an unset version is a belief that was shaken.
        if let observed, observed.lease.spec == lease.spec, observed.lease.resourceVersion == lease.resourceVersion { return }
        if let observed, observed.lease.spec == lease.spec {
            self.observed = (lease, observed.since)
        } else {
            observed = (lease, now)
        }
    }

    /// When the observed lease has run out, by the duration its holder promised.
    private var expiry: Instant? {
        observed.map { observed in
            let promised = observed.lease.spec?.leaseDurationSeconds.map { Duration.seconds(Int64($0)) } ?? options.leaseDuration
            return observed.since.advanced(by: promised)
        }
    }

    private mutating func lose(_ reason: String? = nil) -> Step {
        renewed = nil
        return .lost(
            LeaseLost(namespace: namespace, name: name, reason: reason ?? "not renewed for \(options.renewDeadline.inSeconds)s: \(lastFailure)"))
    }

    private func renewal(of lease: Lease, date: Date) -> Lease {
        var lease = lease
        let mine = lease.holder == options.identity
        lease.spec = spec(
            date: date, acquired: mine ? lease.spec?.acquireTime?.date ?? date : date,
            transitions: (lease.spec?.leaseTransitions ?? 0) + (mine ? 0 : 1))
        return lease
    }

    private func spec(date: Date, acquired: Date, transitions: Int32) -> LeaseSpec {
        LeaseSpec(
            holderIdentity: options.identity, leaseDurationSeconds: Int32(options.leaseDuration.inSeconds.rounded(.up)), acquireTime: MicroTime(acquired),
            renewTime: MicroTime(date), leaseTransitions: transitions)
    }
}

extension Lease {
    /// Nil when nobody holds it.
    fileprivate var holder: String? {
        guard let identity = spec?.holderIdentity, !identity.isEmpty else { return nil }
        return identity
    }
}

/// The process led and leads no more: it must stop at once what only a leader may do, and had better end.
public struct LeaseLost: Error, Sendable, Equatable, CustomStringConvertible {
    public let namespace: String
    public let name: String
    public let reason: String

    public var description: String { "leader election lost: lease \(namespace)/\(name): \(reason)" }
}
