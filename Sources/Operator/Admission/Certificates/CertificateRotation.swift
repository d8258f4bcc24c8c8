public import FoundationEssentials

/// The next step in the rotation of the webhook's certificates. Pure: facts and the time in, one step out.
///
/// The API server believes the certificates in the configuration's `caBundle`, our own certificate authority (CA) among
/// them; the server shows a certificate that this CA signed. The CA goes over into the next one in three steps, so that
/// at no moment a server shows what an API server does not believe:
/// 1. the new CA joins the old one in `caBundle` (``Step/introduceAuthority(_:)``);
/// 2. when every API server has had time to see it, the server's certificate is renewed by the new CA
///    (``Step/renewServing(_:)``);
/// 3. when every replica has had time to load that, the old CA leaves (``Step/dropOldAuthority(_:)``).
///
/// Where it stands follows from the certificates alone, so the next leader goes on from there.
public enum CertificateRotation {
    public struct Policy: Sendable, Hashable {
        /// One year. The CA's key lies in a Secret: a reader of the Secret can stand in for the webhook, until the CA
        /// is replaced. Renewal costs nothing, so it could be shorter; but an operator that was off for four months
        /// (the last third) still comes back without a gap.
        public var authorityLifetime: Duration = .seconds(365 * 86400)
        /// Ninety days, below the CA's last third: no certificate is ever cut short by its CA.
        public var servingLifetime: Duration = .seconds(90 * 86400)
        /// How long a new CA stands in `caBundle` before a server shows its certificate. API servers follow by watch,
        /// within a second.
        public var settleTime: Duration = .seconds(60)
        /// How far in the past validity begins: clocks differ.
        public var backdating: Duration = .seconds(3600)
        /// DNS names and IP addresses by which API servers call the server.
        public var names: Set<String>

        public init(names: Set<String>) { self.names = names }

        /// Until the old CA leaves: a replica whose watch broke loads the new certificate when it comes back.
        public var retirement: Duration { settleTime * 10 }

        /// The names of the Service `modelcache-webhook`. API servers ask for the first.
        public static func serviceNames(namespace: String) -> Set<String> {
            ["modelcache-webhook.\(namespace).svc", "modelcache-webhook.\(namespace).svc.cluster.local"]
        }
    }

    /// The facts that a certificate states about itself.
    public struct Facts: Sendable, Hashable {
        public var notBefore: Date
        public var notAfter: Date

        public init(notBefore: Date, notAfter: Date) {
            self.notBefore = notBefore
            self.notAfter = notAfter
        }

        func isValid(_ now: Date) -> Bool { notBefore <= now && now < notAfter }

        func issued(_ policy: Policy) -> Date { notBefore.addingTimeInterval(policy.backdating.seconds) }

        /// Two thirds of its life are over.
        func due(_ policy: Policy) -> Date {
            let issued = min(issued(policy), notAfter)
            return issued.addingTimeInterval(notAfter.timeIntervalSince(issued) * 2 / 3)
        }
    }

    /// The signer of the server's certificate.
    public enum Signer: Sendable, Hashable {
        case authority, oldAuthority, stranger
    }

    /// The certificates in the Secret. Nil where there is nothing, or garbage, or a key that is not the certificate's.
    public struct Stored: Sendable, Hashable {
        public var authority: Facts?
        public var serving: Facts?
        public var servingNames: Set<String>
        public var signer: Signer
        public var oldAuthority: Facts?
        /// There is something under `old-ca.crt`, be it garbage.
        public var holdsOldAuthority: Bool

        public init(
            authority: Facts?, serving: Facts?, servingNames: Set<String> = [], signer: Signer = .stranger,
            oldAuthority: Facts? = nil,
            holdsOldAuthority: Bool = false
        ) {
            self.authority = authority
            self.serving = serving
            self.servingNames = servingNames
            self.signer = signer
            self.oldAuthority = oldAuthority
            self.holdsOldAuthority = holdsOldAuthority || oldAuthority != nil
        }
    }

    public enum Step: Sendable, Hashable {
        /// Until the moment, if any, at which this is to be asked again; earlier when something changes.
        case nothing(until: Date?)
        /// A Secret with a CA and a certificate by it. There is none yet.
        case create
        /// A new CA and a certificate by it, at once; the CA before, if it can be read, becomes the old one.
        case replaceAll(String)
        /// A new CA; the present one becomes the old one and the certificate stays.
        case introduceAuthority(String)
        /// A new certificate by the present CA.
        case renewServing(String)
        /// `old-ca.crt` goes.
        case dropOldAuthority(String)
    }

    /// - Parameters:
    ///   - stored: nil when there is no Secret.
    ///   - isAuthorityTrusted: the present CA is in the `caBundle` that API servers have.
    ///   - leads: one replica rotates; any may create, so that a first one gets ready regardless of the leader.
    public static func next(_ stored: Stored?, isAuthorityTrusted: Bool, leads: Bool, _ policy: Policy, now: Date)
        -> Step
    {
        guard let stored else { return .create }
        guard leads else { return .nothing(until: nil) }
        guard let authority = stored.authority else { return .replaceAll("the CA is missing or damaged") }
        guard authority.notAfter > now else { return .replaceAll("the CA has expired") }
        guard authority.notBefore <= now else {
            return .replaceAll("the CA is not valid yet: the clock was turned back")
        }

        guard let serving = stored.serving else { return .renewServing("the certificate is missing or damaged") }
        guard serving.isValid(now) else {
            return .renewServing(
                serving.notAfter <= now
                    ? "the certificate has expired" : "the certificate is not valid yet: the clock was turned back")
        }
        guard policy.names.isSubset(of: stored.servingNames) else {
            return .renewServing("the certificate is for other names")
        }
        let isSignedByOld = stored.signer == .oldAuthority
        guard stored.signer == .authority || isSignedByOld else {
            return .renewServing("the certificate is not of this CA")
        }

        if isSignedByOld {
            // Between the first step and the second.
            guard stored.oldAuthority?.isValid(now) ?? false else { return .renewServing("the old CA has expired") }
            guard isAuthorityTrusted else { return .nothing(until: serving.notAfter) }
            let settled = authority.issued(policy).addingTimeInterval(policy.settleTime.seconds)
            return now >= settled ? .renewServing("the new CA is known") : .nothing(until: settled)
        }
        if stored.holdsOldAuthority {
            let retired = serving.issued(policy).addingTimeInterval(policy.retirement.seconds)
            guard let old = stored.oldAuthority, old.notAfter > now, now < retired else {
                return .dropOldAuthority("every replica shows a certificate of the new CA")
            }
            return .nothing(until: min(retired, old.notAfter))
        }
        if now >= authority.due(policy) { return .introduceAuthority("two thirds of the CA's life are over") }
        // A certificate that ends with its CA would only be made again and again.
        if now >= serving.due(policy), serving.notAfter < authority.notAfter {
            return .renewServing("two thirds of the certificate's life are over")
        }
        return .nothing(
            until: serving.notAfter < authority.notAfter
                ? min(authority.due(policy), serving.due(policy)) : authority.due(policy))
    }
}

extension Duration {
    /// For dates, which count seconds.
    var seconds: Double { Double(components.seconds) + Double(components.attoseconds) * 1e-18 }
}
