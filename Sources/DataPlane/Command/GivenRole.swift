import Foundation
import Glibc
internal import Models
import ObjectStore
internal import TextCoding

/// The role that a cluster gives a pod (RRSA, IRSA, EKS Pod Identity), which is asked for keys in the pod itself: the
/// agent gets temporary keys, and neither a token nor a role.
struct GivenRole {
    private let provider: CredentialsProvider

    /// How long a service that does not answer is waited for.
    private static let patience: Duration = .seconds(60)

    /// Nil: `MODELCACHE_CREDENTIALS` is not `pod`.
    ///
    /// - Parameter settings: of a source.
    /// - Throws: ``SettingError`` for a pod that is given none.
    init?(_ settings: [String: String]) throws {
        guard settings["MODELCACHE_CREDENTIALS"]?.lowercased() == "pod" else { return nil }
        provider = try SourceSettings(settings).configuration.credentials
    }

    /// The settings with the first keys; waits for them.
    ///
    /// - Throws: ``StoreError``.
    func first() throws(StoreError) -> [String: String] {
        let begun = ContinuousClock.now
        while true {
            do throws(StoreError) {
                return self.settings(try provider.current())
            } catch {
                // They are being fetched, or the service did not answer.
                guard error.kind == .credentialsUnavailable, begun.duration(to: .now) < Self.patience else {
                    throw error
                }
                usleep(100_000)
            }
        }
    }

    /// The settings with the newest keys; nil: none can be had now, and those before serve until they end. A renewal
    /// that is due begins.
    func renewed() -> [String: String]? { (try? provider.current()).map { self.settings($0) } }

    private func settings(_ keys: StoreCredentials?) -> [String: String] {
        guard let keys else { return [:] }
        var settings = [
            "OSS_ACCESS_KEY_ID": keys.keyID, "OSS_ACCESS_KEY_SECRET": keys.secret,
            CredentialChain.originVariable: "\(provider.principal)",
        ]
        settings["OSS_SESSION_TOKEN"] = keys.token
        settings[CredentialChain.expirationVariable] = keys.expiration.map { UTCTime(seconds: $0).iso8601 }
        return settings
    }
}
