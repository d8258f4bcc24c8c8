internal import Foundation
internal import Synchronization
internal import TextCoding

/// The parties that give temporary keys: STS of both clouds, the metadata services of ECS and EC2, a container's
/// endpoint. Knows no sockets. Safe from any thread.
///
/// Paths, fields, codes and texts are those of the services' references: Alibaba Cloud STS 2015-04-01, AWS STS
/// 2011-06-15, "View instance metadata" (ECS), "Use IMDS" (EC2), "Container credential provider" (AWS SDKs).
package final class IdentityService: Sendable {
    package struct Request: Sendable {
        package var method: String
        /// Path and query as sent.
        package var target: String
        /// Names in lower case.
        package var headers: [String: String]
        package var body: String

        package init(method: String, target: String, headers: [String: String] = [:], body: String = "") {
            self.method = method
            self.target = target
            self.headers = headers
            self.body = body
        }
    }

    package struct Response: Sendable, Equatable {
        package var status: Int
        package var type: String
        package var text: String
    }

    private struct State {
        var plan: IdentityPlan?
        var issued: [AccessKey] = []
        var sessions: Set<String> = []
        var counts: [String: Int] = [:]
        var serial = 0
    }

    private static let sessionHeaders = ["x-aliyun-ecs-metadata-token", "x-aws-ec2-metadata-token"]
    static let containerPath = "/v1/credentials"

    private let state = Mutex(State())

    package init() {}

    /// Nil: there are no roles, and the store knows its own keys alone.
    package var plan: IdentityPlan? {
        get { state.withLock { $0.plan } }
        set {
            state.withLock { state in
                state.plan = newValue
                if newValue?.revokes == true { state.issued = [] }
            }
        }
    }

    /// The temporary keys that were given, ended ones included: the store tells an ended token from an unknown one.
    package var issued: [AccessKey] { state.withLock { $0.issued } }

    /// How often each party gave keys or refused, such as `AssumeRoleWithOIDC` and `AssumeRoleWithOIDC refused`.
    package var counts: [String: Int] { state.withLock { $0.counts } }

    /// - Parameter now: seconds since 1970.
    package func respond(_ request: Request, now: Int64) -> Response {
        let halves = request.target.split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
        let path = String(halves[0])
        switch (request.method, path) {
        case ("PUT", "/latest/api/token"): return session(request)
        case ("GET", _) where path.hasPrefix("/latest/meta-data/"): return metadata(request, path, now)
        case ("GET", Self.containerPath): return container(request, now)
        case ("POST", "/"), ("GET", "/"):
            return sts(Self.fields(halves.count > 1 ? String(halves[1]) : "", request.body), now)
        default: return Response(status: 404, type: "text/plain", text: "not found\n")
        }
    }

    /// Nil where a field is malformed.
    private static func fields(_ texts: String...) -> [String: String] {
        var fields: [String: String] = [:]
        for pair in texts.flatMap({ $0.split(separator: "&") }) {
            let halves = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard let name = PercentCoding.decode(halves[0], plusIsSpace: true) else { continue }
            fields[name] = halves.count == 2 ? PercentCoding.decode(halves[1], plusIsSpace: true) : ""
        }
        return fields
    }

    private func count(_ what: String) { state.withLock { $0.counts[what, default: 0] += 1 } }

    private func issue(seconds: Int, now: Int64) -> AccessKey {
        state.withLock { state in
            state.serial += 1
            let random = (0..<4).map { _ in Hex.encode(UInt64.random(in: 0 ... .max)) }.joined()
            let key = AccessKey(
                id: "STS.\(state.serial)\(random.prefix(16))", secret: String(random.suffix(40)),
                token: "CAIS\(random)+/=\(state.serial)", expiry: now + Int64(seconds))
            // A revoked or long ended key is unknown to the store.
            state.issued.removeAll { ($0.expiry ?? .max) < now - 3600 }
            state.issued.append(key)
            return key
        }
    }

    // MARK: STS

    private struct Refusal: Error {
        var status: Int
        var oss: String
        var aws: String
        var message: String
    }

    private func sts(_ fields: [String: String], _ now: Int64) -> Response {
        let action = fields["Action"] ?? ""
        let isOIDC = action == "AssumeRoleWithOIDC"
        guard isOIDC || action == "AssumeRoleWithWebIdentity" else {
            return Self.refused(
                Refusal(status: 404, oss: "InvalidAction.NotFound", aws: "InvalidAction", message: "no such action"),
                isOIDC: fields["Version"] == "2015-04-01")
        }
        do throws(Refusal) {
            let (role, subject) = try admitted(fields, isOIDC, now)
            let asked = Int(fields["DurationSeconds"] ?? "3600") ?? 0
            guard asked >= 900, asked <= role.maximumSessionSeconds ?? 3600 else {
                throw Refusal(
                    status: 400, oss: "InvalidParameter.DurationSeconds", aws: "ValidationError",
                    message: "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.")
            }
            let key = issue(seconds: role.sessionSeconds ?? asked, now: now)
            count(action)
            return isOIDC
                ? Self.oidcAnswer(key, fields, subject) : Self.webIdentityAnswer(key, fields, subject)
        } catch {
            count("\(action) refused")
            return Self.refused(error, isOIDC: isOIDC)
        }
    }

    private func admitted(_ fields: [String: String], _ isOIDC: Bool, _ now: Int64) throws(Refusal)
        -> (IdentityPlan.Role, subject: String)
    {
        let plan = plan ?? IdentityPlan()
        let arn = fields["RoleArn"] ?? ""
        let keys = plan.keysFile.flatMap { FileManager.default.contents(atPath: $0) } ?? Data()
        let check = TokenCheck(keys: keys, issuer: plan.issuer, audiences: plan.audiences, now: now)
        let claims: TokenCheck.Claims
        do throws(TokenCheck.Problem) {
            claims = try check.verify(fields[isOIDC ? "OIDCToken" : "WebIdentityToken"] ?? "")
        } catch {
            throw Self.refusal(error)
        }
        guard let role = plan.roles?.first(where: { $0.arn == arn }) else {
            throw Refusal(
                status: isOIDC ? 404 : 403, oss: "EntityNotExist.Role", aws: "AccessDenied",
                message: isOIDC
                    ? "The role not exists: \(arn)." : "Not authorized to perform sts:AssumeRoleWithWebIdentity")
        }
        if isOIDC, let provider = role.provider, provider != fields["OIDCProviderArn"] {
            throw Refusal(
                status: 404, oss: "EntityNotExist.OIDCProvider", aws: "", message: "The OIDC provider not exists.")
        }
        guard role.subjects.contains(claims.sub) else {
            throw Refusal(
                status: 403, oss: "AuthenticationFail.NoPermission", aws: "AccessDenied",
                message: isOIDC
                    ? "This operation is not permitted by the trust policy of the role."
                    : "Not authorized to perform sts:AssumeRoleWithWebIdentity")
        }
        guard !(fields["RoleSessionName"] ?? "").isEmpty else {
            throw Refusal(
                status: 400, oss: "MissingRoleSessionName", aws: "ValidationError",
                message: "The parameter RoleSessionName is missing.")
        }
        return (role, claims.sub)
    }

    private static func refusal(_ problem: TokenCheck.Problem) -> Refusal {
        switch problem {
        case .malformed:
            Refusal(
                status: 400, oss: "AuthenticationFail.OIDCToken.Invalid", aws: "InvalidIdentityToken",
                message: "The OIDC token is not a valid JWT.")
        case .signature, .noKeys:
            Refusal(
                status: 400, oss: "AuthenticationFail.OIDCToken.SignatureInvalid", aws: "InvalidIdentityToken",
                message: "The signature of the OIDC token cannot be verified.")
        case .issuer:
            Refusal(
                status: 400, oss: "AuthenticationFail.OIDCToken.IssuerMismatch", aws: "InvalidIdentityToken",
                message: "The issuer of the OIDC token is not the provider's.")
        case .audience:
            Refusal(
                status: 400, oss: "AuthenticationFail.OIDCToken.AudienceNotMatch", aws: "InvalidIdentityToken",
                message: "Incorrect token audience.")
        case .expired:
            Refusal(
                status: 400, oss: "AuthenticationFail.OIDCToken.Expired", aws: "ExpiredTokenException",
                message: "The OIDC token has expired.")
        }
    }

    private static func refused(_ refusal: Refusal, isOIDC: Bool) -> Response {
        guard isOIDC else {
            var xml = XMLDocument()
            xml.open("ErrorResponse", attributes: " xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"")
            xml.open("Error")
            xml.element("Type", "Sender")
            xml.element("Code", refusal.aws)
            xml.element("Message", refusal.message)
            xml.close("Error")
            xml.element("RequestId", requestID)
            xml.close("ErrorResponse")
            return Response(status: refusal.status, type: "text/xml", text: xml.text)
        }
        return json(
            ["RequestId": requestID, "HostId": "sts.aliyuncs.com", "Code": refusal.oss, "Message": refusal.message],
            status: refusal.status)
    }

    private static var requestID: String { UUID().uuidString }

    private static func oidcAnswer(_ key: AccessKey, _ fields: [String: String], _ subject: String) -> Response {
        struct Answer: Encodable {
            struct User: Encodable {
                var AssumedRoleId: String
                var Arn: String
            }
            struct Info: Encodable { var Subject: String }
            var RequestId: String
            var AssumedRoleUser: User
            var OIDCTokenInfo: Info
            var Credentials: Keys
        }
        let session = fields["RoleSessionName"] ?? ""
        let arn = (fields["RoleArn"] ?? "").replacing(":role/", with: ":assumed-role/")
        return json(
            Answer(
                RequestId: requestID, AssumedRoleUser: .init(AssumedRoleId: "3:\(session)", Arn: "\(arn)/\(session)"),
                OIDCTokenInfo: .init(Subject: subject), Credentials: Keys(alibaba: key)))
    }

    private static func webIdentityAnswer(_ key: AccessKey, _ fields: [String: String], _ subject: String) -> Response {
        var xml = XMLDocument()
        xml.open(
            "AssumeRoleWithWebIdentityResponse", attributes: " xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"")
        xml.open("AssumeRoleWithWebIdentityResult")
        xml.element("SubjectFromWebIdentityToken", subject)
        xml.open("AssumedRoleUser")
        xml.element("Arn", "\(fields["RoleArn"] ?? "")/\(fields["RoleSessionName"] ?? "")")
        xml.element("AssumedRoleId", "AROAEXAMPLE:\(fields["RoleSessionName"] ?? "")")
        xml.close("AssumedRoleUser")
        xml.open("Credentials")
        xml.element("AccessKeyId", key.id)
        xml.element("SecretAccessKey", key.secret)
        xml.element("SessionToken", key.token ?? "")
        xml.element("Expiration", time(key.expiry ?? 0))
        xml.close("Credentials")
        xml.close("AssumeRoleWithWebIdentityResult")
        xml.open("ResponseMetadata")
        xml.element("RequestId", requestID)
        xml.close("ResponseMetadata")
        xml.close("AssumeRoleWithWebIdentityResponse")
        return Response(status: 200, type: "text/xml", text: xml.text)
    }

    // MARK: Metadata

    private func session(_ request: Request) -> Response {
        let lifetime = Self.sessionHeaders.compactMap { request.headers["\($0)-ttl-seconds"].flatMap { Int($0) } }.first
        guard let lifetime, (1...21_600).contains(lifetime) else {
            return Response(status: 400, type: "text/plain", text: "bad ttl\n")
        }
        let token = "AQ" + Hex.encode(UInt64.random(in: 0 ... .max))
        state.withLock { _ = $0.sessions.insert(token) }
        count("metadata session")
        return Response(status: 200, type: "text/plain", text: token)
    }

    private func metadata(_ request: Request, _ path: String, _ now: Int64) -> Response {
        let isAlibaba = path.hasPrefix("/latest/meta-data/ram/")
        let base = "/latest/meta-data/\(isAlibaba ? "ram" : "iam")/security-credentials/"
        let named = Self.sessionHeaders.compactMap { request.headers[$0] }.first
        let isKnown = named.map { token in state.withLock { $0.sessions.contains(token) } }
        guard let node = plan?.node else { return Response(status: 404, type: "text/plain", text: "not found\n") }
        // EC2 of today gives nothing without a session; ECS where it is hardened.
        guard isKnown ?? !(node.hardened ?? !isAlibaba) else {
            count("metadata refused")
            return Response(status: isAlibaba ? 403 : 401, type: "text/plain", text: "Forbidden\n")
        }
        if path == base { return Response(status: 200, type: "text/plain", text: node.role) }
        guard path == base + node.role else { return Response(status: 404, type: "text/plain", text: "not found\n") }
        let key = issue(seconds: node.sessionSeconds ?? 21_600, now: now)
        count(isAlibaba ? "ECS metadata" : "EC2 metadata")
        var keys = isAlibaba ? Keys(alibaba: key) : Keys(amazon: key)
        keys.Code = "Success"
        keys.LastUpdated = Self.time(now)
        return Self.json(keys)
    }

    private func container(_ request: Request, _ now: Int64) -> Response {
        guard let container = plan?.container, container.authorization == request.headers["authorization"] else {
            count("container refused")
            return Self.json(["code": "AccessDeniedException", "message": "Authorization is wrong"], status: 403)
        }
        count("container")
        return Self.json(Keys(amazon: issue(seconds: container.sessionSeconds ?? 3600, now: now)))
    }

    private struct Keys: Encodable {
        var Code: String?
        var LastUpdated: String?
        var AccessKeyId: String
        var AccessKeySecret: String?
        var SecretAccessKey: String?
        var SecurityToken: String?
        var Token: String?
        var Expiration: String

        init(alibaba key: AccessKey) {
            self.init(key)
            AccessKeySecret = key.secret
            SecurityToken = key.token
        }

        init(amazon key: AccessKey) {
            self.init(key)
            SecretAccessKey = key.secret
            Token = key.token
        }

        private init(_ key: AccessKey) {
            AccessKeyId = key.id
            Expiration = IdentityService.time(key.expiry ?? 0)
        }
    }

    /// `2026-11-21T05:00:00Z`: SDKs read no fraction here.
    private static func time(_ seconds: Int64) -> String {
        HTTPDate.iso8601(seconds).replacing(".000Z", with: "Z")
    }

    private static func json(_ value: some Encodable, status: Int = 200) -> Response {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        guard let data = try? encoder.encode(value) else { return Response(status: 500, type: "text/plain", text: "") }
        return Response(status: status, type: "application/json", text: String(decoding: data, as: UTF8.self))
    }
}
