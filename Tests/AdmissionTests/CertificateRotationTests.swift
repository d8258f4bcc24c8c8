import Admission
import Foundation
import Testing

/// The steps alone: facts and a clock in.
@Suite struct CertificateRotationTests {
    private typealias Rotation = CertificateRotation

    private let day = 86400.0
    private let start = Date(timeIntervalSince1970: 1_800_000_000)
    private let policy = CertificateRotation.Policy(names: ["webhook.test.svc"])

    private func facts(issued: Date, lasts: Duration) -> CertificateRotation.Facts {
        .init(notBefore: issued - 3600, notAfter: issued + Double(lasts.components.seconds))
    }

    /// As made at start.
    private func fresh() -> CertificateRotation.Stored {
        .init(
            authority: facts(issued: start, lasts: policy.authorityLifetime), serving: facts(issued: start, lasts: policy.servingLifetime),
            servingNames: policy.names, signer: .authority)
    }

    private func next(_ stored: CertificateRotation.Stored?, after seconds: Double, trusted: Bool = true, leads: Bool = true) -> CertificateRotation.Step {
        CertificateRotation.next(stored, isAuthorityTrusted: trusted, leads: leads, policy, now: start + seconds)
    }

    @Test func withoutASecretAnyReplicaMakesOne() {
        #expect(next(nil, after: 0, leads: true) == .create)
        #expect(next(nil, after: 0, leads: false) == .create)
    }

    @Test func aReplicaThatDoesNotLeadLeavesWhatIsThereAloneDamagedOrNot() {
        #expect(next(.init(authority: nil, serving: nil), after: 0, leads: false) == .nothing(until: nil))
        #expect(next(fresh(), after: 1000 * day, leads: false) == .nothing(until: nil))
    }

    @Test func freshCertificatesRestUntilTwoThirdsOfTheCertificatesLife() {
        #expect(next(fresh(), after: 0) == .nothing(until: start + 60 * day))
        #expect(next(fresh(), after: 59 * day) == .nothing(until: start + 60 * day))
        guard case .renewServing = next(fresh(), after: 60 * day) else { Issue.record("not renewed"); return }
    }

    @Test func damageIsMendedAtOnce() {
        var stored = fresh()
        stored.authority = nil
        guard case .replaceAll = next(stored, after: 1) else { Issue.record("a CA without key stays"); return }
        stored = fresh()
        stored.serving = nil
        guard case .renewServing = next(stored, after: 1) else { Issue.record("a certificate without key stays"); return }
        stored = fresh()
        stored.servingNames = ["another.svc"]
        guard case .renewServing = next(stored, after: 1) else { Issue.record("wrong names stay"); return }
        stored = fresh()
        stored.signer = .stranger
        guard case .renewServing = next(stored, after: 1) else { Issue.record("another's certificate stays"); return }
    }

    @Test func moreNamesThanNeededDoNoHarm() {
        var stored = fresh()
        stored.servingNames.insert("127.0.0.1")
        #expect(next(stored, after: 1) == .nothing(until: start + 60 * day))
    }

    @Test func anOperatorThatWasOffForAYearMakesEverythingAnew() {
        guard case .replaceAll = next(fresh(), after: 366 * day) else { Issue.record("an expired CA stays"); return }
    }

    @Test func anOperatorThatWasOffForFourMonthsOfTheCAsLastThirdComesBackWithoutAGapInTheCA() {
        // The certificate has expired by then; the CA, which API servers believe, has not.
        guard case .renewServing = next(fresh(), after: 240 * day) else { Issue.record("not renewed"); return }
    }

    @Test func aClockThatWasTurnedBackFarMakesThemAnewALittleBackDoesNot() {
        guard case .replaceAll = next(fresh(), after: -7200) else { Issue.record("a CA of the future stays"); return }
        guard case .nothing = next(fresh(), after: -1800) else { Issue.record("half an hour is not forgiven"); return }
    }

    @Test func aNewCAIsBelievedForAWhileBeforeItSignsAndTheOldOneStaysUntilEveryReplicaHasTurned() {
        var stored = fresh()
        let due = 365 * day * 2 / 3
        stored.serving = facts(issued: start + due - day, lasts: policy.servingLifetime)
        guard case .introduceAuthority = next(stored, after: due + 1) else { Issue.record("the CA is not renewed"); return }

        // Introduced: the certificate is the old one's.
        let introduced = start + due + 1
        stored.oldAuthority = stored.authority
        stored.holdsOldAuthority = true
        stored.authority = facts(issued: introduced, lasts: policy.authorityLifetime)
        stored.signer = .oldAuthority
        #expect(next(stored, after: due + 2, trusted: false) == .nothing(until: stored.serving?.notAfter))
        #expect(next(stored, after: due + 2) == .nothing(until: introduced + 60))
        #expect(next(stored, after: due + 100, trusted: false) == .nothing(until: stored.serving?.notAfter), "not before API servers know it")
        guard case .renewServing = next(stored, after: due + 62) else { Issue.record("the new CA is not used"); return }

        // Used: the old one stays ten times as long.
        let renewed = start + due + 62
        stored.serving = facts(issued: renewed, lasts: policy.servingLifetime)
        stored.signer = .authority
        #expect(next(stored, after: due + 63) == .nothing(until: renewed + 600))
        guard case .dropOldAuthority = next(stored, after: due + 62 + 601) else { Issue.record("the old CA stays"); return }
    }

    @Test func anOldCAThatExpiresOrCannotBeReadIsNotWaitedFor() {
        var stored = fresh()
        stored.holdsOldAuthority = true
        guard case .dropOldAuthority = next(stored, after: 1) else { Issue.record("garbage stays"); return }
        stored.signer = .oldAuthority
        guard case .renewServing = next(stored, after: 1, trusted: false) else { Issue.record("a certificate that nobody can check stays"); return }
    }

    @Test func aCertificateThatEndsWithItsCAIsNotMadeAgainAndAgain() {
        var stored = fresh()
        stored.serving = stored.authority
        #expect(next(stored, after: 200 * day) == .nothing(until: start + 365 * day * 2 / 3))
    }

    /// Ten years in steps of an hour, with a leader that always carries the step out: never an expired or unbelieved certificate.
    @Test func overTenYearsAPIServersBelieveEveryCertificateThatIsShown() {
        var stored = CertificateRotation.Stored(authority: nil, serving: nil)
        var now = start
        var steps: [String: Int] = [:]
        var isThere = false
        while now < start + 3650 * day {
            var quiet = false
            while !quiet {
                let made = { (lasts: Duration) in CertificateRotation.Facts(notBefore: now - 3600, notAfter: now + Double(lasts.components.seconds)) }
                switch CertificateRotation.next(isThere ? stored : nil, isAuthorityTrusted: true, leads: true, policy, now: now) {
                case .nothing: quiet = true
                case .create, .replaceAll:
                    steps["all", default: 0] += 1
                    isThere = true
                    stored = .init(
                        authority: made(policy.authorityLifetime), serving: made(policy.servingLifetime), servingNames: policy.names, signer: .authority)
                case .introduceAuthority:
                    steps["introduce", default: 0] += 1
                    stored.oldAuthority = stored.authority
                    stored.holdsOldAuthority = true
                    stored.authority = made(policy.authorityLifetime)
                    stored.signer = .oldAuthority
                case .renewServing:
                    steps["renew", default: 0] += 1
                    stored.serving = made(policy.servingLifetime)
                    stored.signer = .authority
                case .dropOldAuthority:
                    steps["drop", default: 0] += 1
                    stored.oldAuthority = nil
                    stored.holdsOldAuthority = false
                }
            }
            let signer = stored.signer == .authority ? stored.authority : stored.oldAuthority
            #expect(signer.map { $0.notAfter > now } ?? false)
            #expect(stored.serving.map { $0.notBefore <= now && now < $0.notAfter } ?? false)
            now += 3600
        }
        #expect(steps["all"] == 1)
        #expect((14...16).contains(steps["introduce"] ?? 0), "\(steps)")
        #expect(steps["drop"] == steps["introduce"])
        #expect((50...90).contains(steps["renew"] ?? 0), "\(steps)")
    }
}
