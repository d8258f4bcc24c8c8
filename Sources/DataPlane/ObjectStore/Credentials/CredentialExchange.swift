import FoundationEssentials
internal import TextCoding

/// The protocols of the parties that give credentials: requests out, keys or a reason in.
///
/// A value over a transport and a way to read files; it blocks as long as these do.
package struct CredentialExchange: Sendable {
    /// A projected token has about a kilobyte.
    static let maximumTokenBytes = 16 << 10
    /// How long a metadata service's session token is asked for; it is used within a second.
    private static let sessionSeconds = 60

    private let transport: any CredentialTransport
    private let now: Int64

    package init(transport: any CredentialTransport, now: Int64) {
        self.transport = transport
        self.now = now
    }

    /// Nil: the party has none, and nobody said that it must.
    package func fetch(_ source: RoleSource) throws(CredentialsProblem) -> StoreCredentials? {
        switch source {
        case .ramRole(let role): return try assume(role, source.principal)
        case .iamRole(let role): return try assume(role, source.principal)
        case .container(let endpoint): return try ask(endpoint, source.principal)
        case .ecsInstance(let instance): return try ask(.alibaba, instance, source.principal)
        case .ec2Instance(let instance): return try ask(.amazon, instance, source.principal)
        }
    }

    // MARK: STS

    private func assume(_ role: RoleSource.RAMRole, _ principal: Principal) throws(CredentialsProblem)
        -> StoreCredentials
    {
        let token = try token(role.token, principal, field: "ALIBABA_CLOUD_OIDC_TOKEN_FILE")
        let form = Self.form([
            ("Action", "AssumeRoleWithOIDC"), ("Format", "JSON"), ("Version", "2015-04-01"),
            ("Timestamp", UTCTime(seconds: now).iso8601), ("RoleArn", role.roleARN),
            ("OIDCProviderArn", role.providerARN), ("OIDCToken", token), ("RoleSessionName", role.sessionName),
            ("DurationSeconds", "\(role.sessionSeconds)"),
        ])
        let response = try send(
            CredentialRequest(
                method: "POST", url: role.endpoint.url + "/", form: form, reach: .service,
                authorityFile: role.endpoint.authorityFile), principal, service: "STS")
        guard response.status == 200 else {
            let said = try? JSONDecoder().decode(STSRefusal.self, from: Data(response.body))
            throw STSRefusal.problem(
                said?.Code, said?.Message, said?.RequestId, status: response.status, principal, hiding: token)
        }
        return try keys(response.body, principal, service: "STS", hiding: token) { body in
            struct Answer: Decodable { var Credentials: IssuedKeys }
            return try JSONDecoder().decode(Answer.self, from: Data(body)).Credentials
        }
    }

    private func assume(_ role: RoleSource.IAMRole, _ principal: Principal) throws(CredentialsProblem)
        -> StoreCredentials
    {
        let token = try token(role.token, principal, field: "AWS_WEB_IDENTITY_TOKEN_FILE")
        let form = Self.form([
            ("Action", "AssumeRoleWithWebIdentity"), ("Version", "2011-06-15"), ("RoleArn", role.roleARN),
            ("RoleSessionName", role.sessionName), ("WebIdentityToken", token),
            ("DurationSeconds", "\(role.sessionSeconds)"),
        ])
        let response = try send(
            CredentialRequest(
                method: "POST", url: role.endpoint.url + "/", headers: ["Accept: text/xml"], form: form,
                reach: .service, authorityFile: role.endpoint.authorityFile), principal, service: "STS")
        let xml = AnswerXML.parse(response.body)
        guard response.status == 200 else {
            let said = xml?.children.first { $0.name == "Error" }
            throw STSRefusal.problem(
                said?.child("Code"), said?.child("Message"), xml?.child("RequestId"), status: response.status,
                principal, hiding: token)
        }
        let result = xml?.children.first { $0.name == "AssumeRoleWithWebIdentityResult" }
        let given = result?.children.first { $0.name == "Credentials" }
        return try keys(response.body, principal, service: "STS", hiding: token) { _ in
            IssuedKeys(
                AccessKeyId: given?.child("AccessKeyId"), SecretAccessKey: given?.child("SecretAccessKey"),
                SessionToken: given?.child("SessionToken"), Expiration: given?.child("Expiration"))
        }
    }

    // MARK: Container

    private func ask(_ endpoint: RoleSource.ContainerEndpoint, _ principal: Principal) throws(CredentialsProblem)
        -> StoreCredentials
    {
        let isEncrypted = endpoint.url.lowercased().hasPrefix("https://")
        let host = MetadataAddress.host(of: endpoint.url.drop { $0 != "/" }.dropFirst(2).prefix { $0 != "/" })
        let isFixed = MetadataAddress.containerHosts.contains(host)
        let isNear = isFixed || MetadataAddress.isLoopback(host)
        guard isEncrypted && !isFixed || endpoint.url.lowercased().hasPrefix("http://") && isNear else {
            throw CredentialsProblem(
                .refused, principal,
                "AWS_CONTAINER_CREDENTIALS_FULL_URI names neither https nor this machine nor the container agents' addresses",
                remedy: "leave the variable as EKS or ECS sets it")
        }
        var headers = ["Accept: application/json"]
        var token = ""
        if let path = endpoint.authorizationFile {
            token = try text(of: path, principal, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE")
            headers.append("Authorization: \(token)")
        }
        let response = try send(
            CredentialRequest(
                method: "GET", url: endpoint.url, headers: headers, reach: isNear ? .metadata : .service,
                authorityFile: endpoint.authorityFile), principal, service: "the container's endpoint")
        guard response.status == 200 else {
            throw Self.unexpected(
                response.status, "the container's endpoint", principal,
                remedy: "check the pod's identity association, or the task's role")
        }
        return try keys(response.body, principal, service: "the container's endpoint", hiding: token) {
            try JSONDecoder().decode(IssuedKeys.self, from: Data($0))
        }
    }

    // MARK: Instances

    private func ask(_ service: InstanceService, _ instance: RoleSource.InstanceRole, _ principal: Principal)
        throws(CredentialsProblem) -> StoreCredentials?
    {
        do throws(CredentialsProblem) {
            let token = try session(service, instance, principal)
            let header = token.map { ["\(service.tokenHeader): \($0)"] } ?? []
            let role: String
            if let named = instance.role {
                role = named
            } else {
                guard let listed = try get(service, "", header, principal) else {
                    if !instance.isRequired { return nil }
                    throw CredentialsProblem(
                        .refused, principal, "the instance has no role", remedy: "attach a role to the instance")
                }
                role =
                    String(decoding: listed.prefix(256), as: UTF8.self).split(whereSeparator: \.isNewline)
                    .first.map(String.init) ?? ""
            }
            guard Self.isRoleName(role) else {
                throw CredentialsProblem(
                    .refused, principal, "'\(role)' is no role's name", remedy: "name the role that the instance has")
            }
            guard let body = try get(service, PercentCoding.encode(role, keepingSlash: false), header, principal) else {
                throw CredentialsProblem(
                    .refused, principal, "the instance has no role \(role)", remedy: "name the role that it has")
            }
            return try keys(body, principal, service: service.words, hiding: token ?? "") {
                try JSONDecoder().decode(IssuedKeys.self, from: Data($0))
            }
        } catch {
            // A machine that only looks like a cloud's, or whose metadata service is closed to this process.
            guard !instance.isRequired else { throw error }
            return nil
        }
    }

    /// The session token; nil: a service of the first version, where that is allowed.
    private func session(_ service: InstanceService, _ instance: RoleSource.InstanceRole, _ principal: Principal)
        throws(CredentialsProblem) -> String?
    {
        let response = try send(
            CredentialRequest(
                method: "PUT", url: "\(service.address)/latest/api/token",
                headers: ["\(service.lifetimeHeader): \(Self.sessionSeconds)"], reach: .metadata), principal,
            service: service.words)
        if response.status == 200 {
            let token = String(decoding: response.body, as: UTF8.self)
            guard !token.isEmpty, token.utf8.count <= 1024, token.utf8.allSatisfy({ (0x21...0x7e).contains($0) })
            else {
                throw CredentialsProblem(
                    .unavailable, principal, "\(service.words) gave a malformed session token",
                    remedy: "see what answers at \(service.address)")
            }
            return token
        }
        if service == .alibaba, !instance.isHardened, response.status < 500 { return nil }
        throw Self.unexpected(
            response.status, "\(service.words) (for a session token)", principal,
            remedy: "let the metadata service give session tokens (hop limit 2 for containers)")
    }

    /// Nil: 404.
    private func get(_ service: InstanceService, _ path: String, _ headers: [String], _ principal: Principal)
        throws(CredentialsProblem) -> [UInt8]?
    {
        let response = try send(
            CredentialRequest(
                method: "GET", url: service.address + service.path + path, headers: headers, reach: .metadata),
            principal, service: service.words)
        switch response.status {
        case 200: return response.body
        case 404: return nil
        default:
            throw Self.unexpected(
                response.status, service.words, principal,
                remedy: "see that the metadata service is on, and set ALIBABA_CLOUD_IMDSV1_DISABLED as it is hardened")
        }
    }

    // MARK: Shared

    private func send(_ request: CredentialRequest, _ principal: Principal, service: String)
        throws(CredentialsProblem) -> CredentialResponse
    {
        do throws(NoResponse) {
            return try transport.send(request)
        } catch {
            let host = request.url.drop { $0 != "/" }.dropFirst(2).prefix { $0 != "/" }
            throw CredentialsProblem(
                .unavailable, principal, "\(service) at \(host) does not answer: \(error.reason)",
                remedy: "check the network to it")
        }
    }

    private static func unexpected(_ status: Int, _ service: String, _ principal: Principal, remedy: String)
        -> CredentialsProblem
    {
        CredentialsProblem(
            status >= 500 || status == 429 ? .unavailable : .refused, principal,
            "\(service) responded with HTTP \(status)", remedy: remedy)
    }

    /// - Parameter token: the proof that was sent, which an answer may repeat.
    private func keys(
        _ body: [UInt8], _ principal: Principal, service: String, hiding token: String,
        _ decode: ([UInt8]) throws -> IssuedKeys
    ) throws(CredentialsProblem) -> StoreCredentials {
        func malformed(_ what: String) -> CredentialsProblem {
            CredentialsProblem(
                .unavailable, principal, "the answer of \(service) \(what)", remedy: "see what answers there")
        }
        guard let issued = try? decode(body) else { throw malformed("is not what was asked for") }
        if let code = issued.Code.map(TokenMask(token).hide), code != "Success" {
            throw CredentialsProblem(
                .refused, principal, "\(service) says \(code)", remedy: "see that the role exists", code: code)
        }
        guard let credentials = issued.credentials, let end = credentials.expiration,
            (try? credentials.checked()) != nil
        else { throw malformed("lacks key, secret, token or expiry") }
        guard end > now + RenewalMachine.shortestLeft else {
            throw malformed("holds credentials that have ended; compare this machine's clock")
        }
        return credentials
    }

    private func token(_ origin: WebToken, _ principal: Principal, field: String) throws(CredentialsProblem) -> String {
        let token: String
        switch origin {
        case .file(let path): token = try text(of: path, principal, field)
        case .handed(let box):
            guard let current = box.current(now: now) else {
                throw CredentialsProblem(
                    .unavailable, principal, "no connected client has handed over a token that is still valid",
                    remedy: "see that a warm-up Job of the ModelCache runs")
            }
            token = current
        }
        // Nothing but a signed token leaves: a caller may name any file of this machine.
        guard Self.isSignedToken(token) else {
            throw CredentialsProblem(
                .refused, principal, "\(field) holds no signed token",
                remedy: "mount a projected ServiceAccount token there")
        }
        return token
    }

    /// RFC 7515, compact: three parts of base64url.
    static func isSignedToken(_ text: String) -> Bool {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        return parts.count == 3 && parts.allSatisfy { !$0.isEmpty }
            && text.utf8.allSatisfy { byte in
                (0x30...0x39).contains(byte) || (0x41...0x5a).contains(byte) || (0x61...0x7a).contains(byte)
                    || "-_.".utf8.contains(byte)
            } && parts[0].hasPrefix("eyJ")
    }

    /// One line of text.
    private func text(of path: String, _ principal: Principal, _ field: String) throws(CredentialsProblem) -> String {
        let bytes: [UInt8]
        do throws(CredentialsFile.Problem) {
            bytes = try CredentialsFile.bytes(of: path, limit: Self.maximumTokenBytes)
        } catch {
            throw CredentialsProblem(
                .refused, principal, "\(field) \(path) \(error.text)", remedy: "mount the token there")
        }
        let text = String(decoding: bytes, as: UTF8.self)
        let line = text.split(whereSeparator: \.isNewline).first.map(String.init) ?? ""
        guard !line.isEmpty, HeaderText.isSafe(line) else {
            throw CredentialsProblem(
                .refused, principal, "\(field) \(path) holds no token", remedy: "mount the token there")
        }
        return line
    }

    private static func form(_ fields: [(String, String)]) -> String {
        fields.map { "\($0.0)=\(PercentCoding.encode($0.1, keepingSlash: false))" }.joined(separator: "&")
    }

    private static func isRoleName(_ text: String) -> Bool {
        (1...128).contains(text.utf8.count)
            && text.utf8.allSatisfy { byte in
                (0x30...0x39).contains(byte) || (0x41...0x5a).contains(byte) || (0x61...0x7a).contains(byte)
                    || "+=,.@-_".utf8.contains(byte)
            }
    }
}

/// The two metadata services, which differ in names alone.
private enum InstanceService {
    case alibaba, amazon

    var address: String { self == .alibaba ? MetadataAddress.ecs : MetadataAddress.ec2 }
    var path: String {
        self == .alibaba ? "/latest/meta-data/ram/security-credentials/" : "/latest/meta-data/iam/security-credentials/"
    }
    var tokenHeader: String { self == .alibaba ? "X-aliyun-ecs-metadata-token" : "X-aws-ec2-metadata-token" }
    var lifetimeHeader: String { "\(tokenHeader)-ttl-seconds" }
    var words: String { self == .alibaba ? "the ECS metadata service" : "the EC2 metadata service" }
}

/// The fields under which the services give keys.
private struct IssuedKeys: Decodable {
    var Code: String?
    var AccessKeyId: String?
    var AccessKeySecret: String?
    var SecretAccessKey: String?
    var SecurityToken: String?
    var SessionToken: String?
    var Token: String?
    var Expiration: String?

    var credentials: StoreCredentials? {
        guard let id = AccessKeyId, let secret = AccessKeySecret ?? SecretAccessKey,
            let token = SecurityToken ?? SessionToken ?? Token, !id.isEmpty, !secret.isEmpty, !token.isEmpty,
            let end = Expiration.flatMap({ UTCTime(iso8601: $0) })
        else { return nil }
        return StoreCredentials(keyID: id, secret: secret, token: token, expiration: end.seconds)
    }
}

/// Takes a token out of what a service says: some messages repeat parts of it.
private struct TokenMask {
    private let parts: [[UInt8]]

    init(_ token: String) {
        parts = token.utf8.split(separator: UInt8(ascii: ".")).map { Array($0) }.filter { $0.count > 8 }
    }

    /// Compared by bytes: a combining mark behind a part changes its last character, and no byte of it.
    func hide(_ text: String) -> String {
        let bytes = parts.reduce(Array(text.utf8)) { $0.replacing($1, with: Array("…".utf8)) }
        return String(decoding: bytes, as: UTF8.self)
    }
}

/// A refusal of STS, and its remedy.
private struct STSRefusal: Decodable {
    var Code: String?
    var Message: String?
    var RequestId: String?

    static func problem(
        _ code: String?, _ message: String?, _ requestID: String?, status: Int, _ principal: Principal,
        hiding token: String
    ) -> CredentialsProblem {
        let mask = TokenMask(token)
        let said = mask.hide(message ?? "")
        let code = mask.hide(code ?? "")
        let isTransient =
            status >= 500 || status == 429 || code.hasPrefix("Throttling") || code == "IDPCommunicationError"
        return CredentialsProblem(
            isTransient ? .unavailable : .refused, principal,
            "STS refused: \(said.isEmpty ? "HTTP \(status)" : said)",
            remedy: remedy(code, principal, isTransient), code: code.isEmpty ? nil : code,
            requestID: requestID.map(mask.hide))
    }

    /// The codes of https://api.aliyun.com/api/Sts/2015-04-01/AssumeRoleWithOIDC and
    /// https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html.
    private static func remedy(_ code: String, _ principal: Principal, _ isTransient: Bool) -> String {
        if isTransient { return "" }
        if code.hasPrefix("EntityNotExist.OIDCProvider") {
            return "check the OIDC provider's ARN, or make the provider in RAM"
        }
        if code.hasPrefix("EntityNotExist") || code == "NoSuchEntity" {
            return "check the role's ARN, or make the role again"
        }
        if code.contains("Expired") { return "see that the kubelet renews the token's file" }
        if code.hasPrefix("AuthenticationFail.OIDCToken") || code == "InvalidIdentityToken" {
            return "see that the OIDC provider knows the cluster's issuer and keys, and the token's audience"
        }
        if code.hasPrefix("InvalidParameter.DurationSeconds") || code == "ValidationError" {
            return "ask for a session within the role's longest session"
        }
        return "let the role's trust policy name this ServiceAccount, issuer and audience"
    }
}
