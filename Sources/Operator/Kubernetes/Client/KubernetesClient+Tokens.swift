internal import TextCoding

extension KubernetesClient {
    /// Makes a token of a ServiceAccount that is good for one audience (TokenRequest,
    /// https://kubernetes.io/docs/reference/kubernetes-api/authentication-resources/token-request-v1/).
    ///
    /// - Parameter seconds: its lifetime; the server gives 600 at least.
    /// - Throws: ``KubernetesError``.
    public func token(of account: ObjectKey, audience: String, seconds: Int64) async throws -> String {
        func segment(_ name: String) -> String { PercentCoding.encode(name, keepingSlash: false) }
        var request = APIRequest(
            verb: .create, method: .POST,
            path: "/api/v1/namespaces/\(segment(account.namespace))/serviceaccounts/\(segment(account.name))/token",
            resource: "serviceaccounts/token")
        request.key = account
        let wanted = TokenRequest.Spec(audiences: [audience], expirationSeconds: seconds)
        request.body = try request.encode(TokenRequest(spec: wanted))
        return try await transport.decoded(TokenRequest.Answer.self, request).status.token
    }

    /// The user's name in a token that this cluster gave out for `audience`; nil: it is none, or no longer good
    /// (TokenReview, https://kubernetes.io/docs/reference/kubernetes-api/authentication-resources/token-review-v1/).
    ///
    /// - Throws: ``KubernetesError``.
    public func user(ofToken token: String, audience: String) async throws -> String? {
        var request = APIRequest(
            verb: .create, method: .POST, path: "/apis/authentication.k8s.io/v1/tokenreviews",
            resource: "tokenreviews.authentication.k8s.io")
        request.body = try request.encode(TokenReview(spec: TokenReview.Spec(token: token, audiences: [audience])))
        let status = try await transport.decoded(TokenReview.Answer.self, request).status
        // A server that knows no audiences names none, and has looked at its own.
        guard status.authenticated ?? false, status.audiences?.contains(audience) ?? false else { return nil }
        return status.user?.username
    }
}

private struct TokenRequest: Encodable, Sendable {
    struct Spec: Encodable, Sendable {
        var audiences: [String]
        var expirationSeconds: Int64
    }
    struct Answer: Decodable, Sendable {
        struct Status: Decodable, Sendable { var token: String }
        var status: Status
    }

    var apiVersion = "authentication.k8s.io/v1"
    var kind = "TokenRequest"
    var spec: Spec
}

private struct TokenReview: Encodable, Sendable {
    struct Spec: Encodable, Sendable {
        var token: String
        var audiences: [String]
    }
    struct Answer: Decodable, Sendable {
        struct User: Decodable, Sendable { var username: String? }
        struct Status: Decodable, Sendable {
            var authenticated: Bool?
            var audiences: [String]?
            var user: User?
        }
        var status: Status
    }

    var apiVersion = "authentication.k8s.io/v1"
    var kind = "TokenReview"
    var spec: Spec
}
