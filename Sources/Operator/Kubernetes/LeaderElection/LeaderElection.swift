public import FoundationEssentials

/// The decisions of one candidate for a Lease, as a value: the algorithm of client-go's `leaderelection`.
///
/// Guarantees
/// - It never trusts the clock of another process: a lease has expired when *this* process saw no change of it for the
///   lease's duration on its own monotonic clock.
/// - Every write carries the `resourceVersion` that it was decided on, so of two candidates one gets a conflict.
/// - A leader gives up ``LeaderElectionOptions/renewDeadline`` after it *sent* its last successful renewal. Another may
///   take over only later (``LeaderElectionOptions/leaseDuration`` after it saw that renewal). A leader that reads
///   another holder gives up at once.
///
/// Assumptions
/// - Monotonic clocks of two machines run at about the same speed.
///
/// Caveats
/// - The caller must stop work in flight when the lease is lost; this is no fencing.
///
/// A round begins with ``begin(now:date:)``. The caller carries out each ``Step`` and reports its result until the step
/// is ``Step/wait(_:)`` or ``Step/lost(_:)``.
public struct LeaderElection: Sendable {
    public typealias Instant = ContinuousClock.Instant

    public enum Step: Sendable, Equatable {
        /// Read the lease, then call ``read(_:now:date:)``.
        case read
        /// Create it, then call ``wrote(_:now:)``.
        case create(Lease)
        /// Replace it (the lease has its resourceVersion), then call ``wrote(_:now:)``.
        case replace(Lease)
        /// Do nothing for this time.
        case wait(Duration)
        /// This process is no longer the leader.
        case lost(LeaseLost)
    }

    /// The cause of a failed request, as far as the election needs it.
    public enum Failure: Sendable, Equatable {
        /// Another client wrote first, or the lease exists against expectation, or does not.
        case conflict
        case other(String)
    }

    private let namespace: String
    private let name: String
    private let options: LeaderElectionOptions
    /// The lease as last seen, and when this process first saw it so.
    private var observed: (lease: Lease, since: Instant)?
    /// When our last successful write was sent; nil: not the leader.
    private var renewed: Instant?
    /// When the round's last request was decided.
    private var sent: Instant?
    /// Whether this round has read again after a conflict. Once only, or two writers would take turns without a pause.
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

    /// The holder in the lease, as last seen.
    public var holder: String? { observed?.lease.holder }

    /// When the leader gives up unless it renews before; nil when this process is not the leader.
    public var deadline: Instant? { renewed?.advanced(by: options.renewDeadline) }

    /// Starts a round. A leader writes at once, over its own last write.
    public mutating func begin(now: Instant, date: Date) -> Step {
        if let deadline, now >= deadline { return lose() }
        sent = now
        hasReread = false
        // A conflict clears the version, and without a version the write would be unconditional.
        guard isLeader, let observed, observed.lease.holder == options.identity, !observed.lease.resourceVersion.isEmpty
        else { return .read }
        return .replace(renewal(of: observed.lease, date: date))
    }

    /// The lease as the server has it; nil: there is none.
    public mutating func read(_ lease: Lease?, now: Instant, date: Date) -> Step {
        guard let lease else {
            if isLeader { return lose("the lease was deleted") }
            observed = nil
            sent = now
            return .create(
                Lease(
                    metadata: ObjectMeta(name: name, namespace: namespace),
                    spec: spec(date: date, acquired: date, transitions: 0)))
        }
        observe(lease, now: now)
        let holder = lease.holder
        if isLeader, holder != options.identity {
            return lose(holder.map { "\($0) leads" } ?? "the lease was released")
        }
        if let holder, holder != options.identity, let expiry, expiry > now {
            // Not later than the moment at which the lease expires, since until the next try there is no leader.
            return .wait(min(options.retryPeriod, now.duration(to: expiry)))
        }
        sent = now
        return .replace(renewal(of: lease, date: date))
    }

    /// Our write succeeded; `lease` is the server's version.
    public mutating func wrote(_ lease: Lease, now: Instant) -> Step {
        observe(lease, now: now)
        renewed = sent ?? now
        return .wait(options.retryPeriod)
    }

    /// The step's request failed.
    public mutating func failed(_ failure: Failure, now: Instant) -> Step {
        switch failure {
        case .conflict:
            // The observed lease is out of date. A leader must know at once who leads; a candidate has time.
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

    /// The work has ended: this process is no longer the leader, though the lease still names it.
    public mutating func resign() { renewed = nil }

    /// The write that lets others take over at once, as client-go writes it; nil when `lease`, as the server has it, is
    /// not ours.
    public func release(of lease: Lease?, date: Date) -> Lease? {
        guard var lease, lease.holder == options.identity else { return nil }
        lease.spec = LeaseSpec(
            holderIdentity: "", leaseDurationSeconds: 1, acquireTime: MicroTime(date), renewTime: MicroTime(date),
            leaseTransitions: lease.spec?.leaseTransitions)
        return lease
    }

    // MARK: Inside

    private mutating func observe(_ lease: Lease, now: Instant) {
        // Compares version and text: a renewal changes both, and a cleared version marks an observation in doubt.
        if let observed, observed.lease.spec == lease.spec, observed.lease.resourceVersion == lease.resourceVersion {
            return
        }
        if let observed, observed.lease.spec == lease.spec {
            self.observed = (lease, observed.since)
        } else {
            observed = (lease, now)
        }
    }

    /// When the observed lease expires, by its holder's duration.
    private var expiry: Instant? {
        observed.map { observed in
            let promised =
                observed.lease.spec?.leaseDurationSeconds.map { Duration.seconds(Int64($0)) } ?? options.leaseDuration
            return observed.since.advanced(by: promised)
        }
    }

    private mutating func lose(_ reason: String? = nil) -> Step {
        renewed = nil
        return .lost(
            LeaseLost(
                namespace: namespace, name: name,
                reason: reason ?? "not renewed for \(options.renewDeadline.inSeconds)s: \(lastFailure)"))
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
            holderIdentity: options.identity, leaseDurationSeconds: Int32(options.leaseDuration.inSeconds.rounded(.up)),
            acquireTime: MicroTime(acquired),
            renewTime: MicroTime(date), leaseTransitions: transitions)
    }
}

extension Lease {
    /// Nil when the lease has no holder.
    fileprivate var holder: String? {
        guard let identity = spec?.holderIdentity, !identity.isEmpty else { return nil }
        return identity
    }
}

/// This process is no longer the leader. It must stop at once all work that only a leader may do, and should end.
public struct LeaseLost: Error, Sendable, Equatable, CustomStringConvertible {
    public let namespace: String
    public let name: String
    public let reason: String

    public var description: String { "leader election lost: lease \(namespace)/\(name): \(reason)" }
}
