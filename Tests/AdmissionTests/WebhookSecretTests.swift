import Admission
import Foundation
import Kubernetes
import Testing

/// What the steps make of the Secret, judged by the facts read back from it.
@Suite struct WebhookSecretTests {
    private let now = Date(timeIntervalSince1970: 1_800_000_000)
    private let policy = CertificateRotation.Policy(names: ["webhook.test.svc", "webhook.test.svc.cluster.local", "127.0.0.1"])

    private func made() throws -> WebhookSecret { try #require(try WebhookSecret().after(.create, policy, now: now)) }

    @Test func aCreatedSecretNeedsNothing() throws {
        let secret = try made()
        #expect(Set(secret.data.keys) == ["ca.crt", "ca.key", "tls.crt", "tls.key"])
        let stored = secret.stored
        #expect(stored.signer == .authority && stored.servingNames == policy.names && !stored.holdsOldAuthority)
        #expect(CertificateRotation.next(stored, isAuthorityTrusted: true, leads: true, policy, now: now) == .nothing(until: now + 60 * 86400))
    }

    @Test func validityBeginsAnHourAgoAndNoCertificateOutlivesItsCA() throws {
        var policy = policy
        policy.authorityLifetime = .seconds(100)
        let stored = try #require(try WebhookSecret().after(.create, policy, now: now)).stored
        #expect(stored.authority == .init(notBefore: now - 3600, notAfter: now + 100))
        #expect(stored.serving == .init(notBefore: now - 3600, notAfter: now + 100))
    }

    @Test func aNewCALeavesTheCertificateANewCertificateLeavesTheCA() throws {
        let first = try made()
        let introduced = try #require(try first.after(.introduceAuthority(""), policy, now: now))
        #expect(introduced.data["old-ca.crt"] == first.data["ca.crt"] && introduced.data["ca.crt"] != first.data["ca.crt"])
        #expect(introduced.data["tls.crt"] == first.data["tls.crt"] && introduced.stored.signer == .oldAuthority)
        #expect(introduced.trusted.count == 2)
        let renewed = try #require(try introduced.after(.renewServing(""), policy, now: now))
        #expect(renewed.stored.signer == .authority && renewed.data["ca.crt"] == introduced.data["ca.crt"])
        let alone = try #require(try renewed.after(.dropOldAuthority(""), policy, now: now))
        #expect(alone.trusted.count == 1 && alone.data["old-ca.crt"] == nil)
    }

    @Test func aReplacedCAIsBelievedOnWhileItsCertificateIsStillShown() throws {
        var damaged = try made().data
        damaged["ca.key"] = nil
        let replaced = try #require(try WebhookSecret(damaged).after(.replaceAll(""), policy, now: now))
        #expect(replaced.data["old-ca.crt"]?.text == damaged["ca.crt"]?.text && replaced.stored.signer == .authority)
        let late = try #require(try WebhookSecret(damaged).after(.replaceAll(""), policy, now: now + 400 * 86400))
        #expect(late.data["old-ca.crt"] == nil, "an expired one is of no use")
    }

    @Test(arguments: ["ca.crt", "ca.key", "tls.crt", "tls.key"])
    func garbageUnderAnyNameIsSeenAndMendedWithoutACrash(_ entry: String) throws {
        for garbage in ["", "garbage", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "\u{0}\u{0}"] {
            var data = try made().data
            data[entry] = Base64Data(text: garbage)
            let secret = WebhookSecret(data)
            let step = CertificateRotation.next(secret.stored, isAuthorityTrusted: true, leads: true, policy, now: now)
            let mended = try #require(try secret.after(step, policy, now: now))
            guard case .nothing = CertificateRotation.next(mended.stored, isAuthorityTrusted: true, leads: true, policy, now: now) else {
                Issue.record("\(entry) = \(garbage) is not mended by \(step)")
                return
            }
        }
    }

    @Test func aKeyOfAnotherCertificateIsSeen() throws {
        var data = try made().data
        data["tls.key"] = try made().data["tls.key"]
        #expect(WebhookSecret(data).stored.serving == nil)
    }

    @Test func nothingPrintsAKey() throws {
        let secret = try made()
        let key = try #require(secret.data["tls.key"]?.text).split(separator: "\n")[1]
        for text in ["\(secret)", String(reflecting: secret), String(describing: secret.data)] { #expect(!text.contains(key)) }
    }

    @Test func aCertificateIsServedWhenItsKeyFitsAndTheOneBeforeStaysWhenNot() throws {
        let one = try made()
        let serving = ServingCertificate()
        #expect(!serving.isLoaded)
        #expect(try serving.load(chain: one.servingPEM, key: one.servingKeyPEM))
        #expect(try !serving.load(chain: one.servingPEM, key: one.servingKeyPEM), "the same is not loaded twice")
        let expires = serving.notAfter
        #expect(throws: UnusableCertificate.self) { try serving.load(chain: one.servingPEM, key: try made().servingKeyPEM) }
        #expect(throws: UnusableCertificate.self) { try serving.load(chain: Array("garbage".utf8), key: one.servingKeyPEM) }
        #expect(serving.isLoaded && serving.notAfter == expires)
    }
}
