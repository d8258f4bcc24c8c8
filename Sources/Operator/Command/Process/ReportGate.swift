import CRD
import Hummingbird
import Kubernetes
import Logging
import Synchronization

/// Lets callers read the operator's reports who have a token of ``ReportAccess``.
///
/// The metrics port is open to every pod of the cluster: a request without a token costs nothing but its answer, and
/// those with one are looked up at the API server at a bounded rate.
final class ReportGate: Sendable {
    /// The user's name in a token.
    private let allowed: String
    private let client: KubernetesClient
    private let logger: Logger
    /// People ask now and then.
    private let lookups = Mutex(TokenBucket(perSecond: 20, burst: 40))

    private static let longestToken = 16 << 10

    init(systemNamespace: String, client: KubernetesClient, logger: Logger) {
        allowed = "system:serviceaccount:\(systemNamespace):\(ReportAccess.account)"
        self.client = client
        self.logger = logger
    }

    struct Refusal: Error {
        let status: HTTPResponse.Status
        let message: String
    }

    /// Returns for a caller who may read the reports.
    func admit(_ request: Request) async throws(Refusal) {
        let header = ReportAccess.header.lowercased()
        let token = request.headers.first { $0.name.canonicalName == header }?.value ?? ""
        guard !token.isEmpty, token.utf8.count <= Self.longestToken else {
            throw Refusal(
                status: .unauthorized,
                message: "this needs a token of the ServiceAccount \(ReportAccess.account); kubectl modelcache of this "
                    + "release sends one")
        }
        guard lookups.withLock({ $0.take(now: .now) }) else {
            throw Refusal(status: .tooManyRequests, message: "too many ask; try again in a second")
        }
        let found: String?
        do {
            found = try await client.user(ofToken: token, audience: ReportAccess.audience)
        } catch {
            logger.warning("a caller's token cannot be looked up", metadata: ["reason": "\(error)"])
            throw Refusal(status: .serviceUnavailable, message: "the token cannot be looked up; see the operator's log")
        }
        guard let name = found else { throw Refusal(status: .unauthorized, message: "the token is not good here") }
        guard name == allowed else {
            throw Refusal(status: .forbidden, message: "only tokens of \(allowed) are taken")
        }
    }
}
