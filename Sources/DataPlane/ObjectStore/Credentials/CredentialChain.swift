internal import Glibc
internal import StoreHost
public import TextCoding

/// Chooses where credentials come from, in the order of the official SDKs: a pure value over an environment.
///
/// `docs/stores.md` has the order as a table. The first party that is named wins, also when it refuses later: a role
/// that was withdrawn must not turn into another principal. Only the instance's role that nobody named may be absent.
public struct CredentialChain: Sendable {
    /// The party that was chosen.
    public enum Choice: Sendable, Hashable {
        case anonymous
        case key(StoreCredentials)
        case file(String)
        case role(RoleSource)
    }

    /// A party that is partly named, and why it was passed over.
    public struct PassedOver: Sendable, Hashable {
        public let party: String
        public let reason: String
    }

    /// The cloud whose machine this is, by its firmware's word; nil: another, or none.
    public enum Cloud: Sendable, Hashable {
        case alibaba, amazon

        /// From `/sys/class/dmi/id`.
        public static let ofThisMachine: Cloud? = of { name in
            (try? CredentialsFile.bytes(of: "/sys/class/dmi/id/\(name)", limit: 4096)).map {
                String(decoding: $0, as: UTF8.self)
            } ?? ""
        }

        static func of(_ read: (String) -> String) -> Cloud? {
            if read("product_name").hasPrefix("Alibaba Cloud ECS") { return .alibaba }
            if read("sys_vendor").hasPrefix("Amazon EC2") || read("bios_version").contains("amazon") { return .amazon }
            return nil
        }
    }

    public let choice: Choice
    public let passedOver: [PassedOver]
    /// The value of ``originVariable``.
    private let origin: String?

    /// The variables that name keys.
    public static let keyVariables: Set<String> = [
        "OSS_ACCESS_KEY_ID", "OSS_ACCESS_KEY_SECRET", "OSS_SESSION_TOKEN", "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "ALIBABA_CLOUD_ACCESS_KEY_ID",
        "ALIBABA_CLOUD_ACCESS_KEY_SECRET", "ALIBABA_CLOUD_SECURITY_TOKEN", expirationVariable, originVariable,
    ]

    /// When the keys of the other variables end, as RFC 3339. Nothing depends on it but what people are told.
    public static let expirationVariable = SecretKeys.expiration
    /// The role that gave the keys of the other variables, in words: by the word of who hands them over.
    public static let originVariable = "MODELCACHE_KEY_ORIGIN"

    /// The variables that name a file or a role, which the process that reads them opens or assumes with its own
    /// rights.
    public static let partyVariables: Set<String> = [
        "OSS_CREDENTIALS_FILE", "MODELCACHE_CREDENTIALS", "MODELCACHE_SESSION_SECONDS", "ALIBABA_CLOUD_ROLE_ARN",
        "ALIBABA_CLOUD_OIDC_PROVIDER_ARN", "ALIBABA_CLOUD_OIDC_TOKEN_FILE", "ALIBABA_CLOUD_ROLE_SESSION_NAME",
        "ALIBABA_CLOUD_STS_ENDPOINT", "ALIBABA_CLOUD_STS_REGION", "ALIBABA_CLOUD_VPC_ENDPOINT_ENABLED",
        "ALIBABA_CLOUD_ECS_METADATA", "ALIBABA_CLOUD_ECS_METADATA_DISABLED", "ALIBABA_CLOUD_IMDSV1_DISABLED",
        "AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_SESSION_NAME", "AWS_ENDPOINT_URL_STS",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "AWS_EC2_METADATA_DISABLED", "AWS_DEFAULT_REGION",
    ]

    /// - Parameters:
    ///   - variables: an environment; empty values count as unset.
    ///   - endpointHost: the store's, from which STS's region and network follow where no variable names them.
    ///   - cloud: whose machine this is.
    /// - Throws: ``SettingError`` for half a key pair and for values that cannot be meant.
    public init(
        _ variables: [String: String], scheme: StoreScheme, endpointHost: String? = nil,
        cloud: Cloud? = Cloud.ofThisMachine
    ) throws(SettingError) {
        var reader = Reader(
            variables: variables.filter { !$0.value.isEmpty }, scheme: scheme, endpointHost: endpointHost, cloud: cloud)
        choice = try reader.choose()
        passedOver = reader.passedOver
        origin = reader.variables[Self.originVariable]
    }

    /// In words that hold no secret.
    public var principal: Principal {
        switch choice {
        case .anonymous: Principal(.anonymous)
        case .key(let credentials):
            Principal(.key, name: "\(credentials.keyID.prefix(4))…\(origin.map { " (by its client's word of \($0))" } ?? "")")
        case .file(let path): Principal(.file, name: path)
        case .role(let source): source.principal
        }
    }
}

private struct Reader {
    let variables: [String: String]
    let scheme: StoreScheme
    let endpointHost: String?
    let cloud: CredentialChain.Cloud?
    var passedOver: [CredentialChain.PassedOver] = []

    private func isTrue(_ name: String) -> Bool { variables[name]?.lowercased() == "true" }

    mutating func choose() throws(SettingError) -> CredentialChain.Choice {
        let setting = variables["MODELCACHE_CREDENTIALS"]
        switch setting?.lowercased() {
        case nil, "auto", "keys": break
        case "anonymous": return .anonymous
        case "node": return .role(scheme == .oss ? ecs(isRequired: true) : ec2(isRequired: true))
        case "pod": return try pod()
        default:
            throw SettingError(
                field: "MODELCACHE_CREDENTIALS", value: setting, problem: "is not known",
                remedy: "set auto, keys, node, pod or anonymous")
        }
        if let path = variables["OSS_CREDENTIALS_FILE"] { return .file(path) }
        if let pair = try pair("OSS_ACCESS_KEY_ID", "OSS_ACCESS_KEY_SECRET", "OSS_SESSION_TOKEN") { return .key(pair) }
        let key = scheme == .oss ? Key.alibaba : Key.amazon
        if let pair = try pair(key.id, key.secret, key.token) { return .key(pair) }
        if setting?.lowercased() == "keys" { return .anonymous }
        return scheme == .oss ? try alibaba() : try amazon()
    }

    /// The role that the cluster gives the pod, and no other: the node's own is nobody's who may make pods.
    private mutating func pod() throws(SettingError) -> CredentialChain.Choice {
        if let role = scheme == .oss ? try ramRole() : try iamRole() { return .role(role) }
        let missing = passedOver.first.map { " (\($0.party): \($0.reason))" } ?? ""
        let remedy =
            scheme == .oss
            ? "annotate the ServiceAccount with pod-identity.alibabacloud.com/role-name, and label the namespace "
                + "pod-identity.alibabacloud.com/injection=on"
            : "associate the ServiceAccount with a role (EKS Pod Identity), or annotate it with eks.amazonaws.com/role-arn"
        throw SettingError(
            field: "MODELCACHE_CREDENTIALS", value: "pod", problem: "but the cluster gives this pod no role\(missing)",
            remedy: remedy)
    }

    private enum Key {
        static let alibaba = (
            id: "ALIBABA_CLOUD_ACCESS_KEY_ID", secret: "ALIBABA_CLOUD_ACCESS_KEY_SECRET",
            token: "ALIBABA_CLOUD_SECURITY_TOKEN"
        )
        static let amazon = (id: "AWS_ACCESS_KEY_ID", secret: "AWS_SECRET_ACCESS_KEY", token: "AWS_SESSION_TOKEN")
    }

    private mutating func alibaba() throws(SettingError) -> CredentialChain.Choice {
        if let role = try ramRole() { return .role(role) }
        if isTrue("ALIBABA_CLOUD_ECS_METADATA_DISABLED") {
            pass("ECS instance role", "ALIBABA_CLOUD_ECS_METADATA_DISABLED is true")
        } else if variables["ALIBABA_CLOUD_ECS_METADATA"] != nil || cloud == .alibaba {
            return .role(ecs(isRequired: variables["ALIBABA_CLOUD_ECS_METADATA"] != nil))
        }
        return .anonymous
    }

    /// RRSA; nil: the variables do not name it.
    private mutating func ramRole() throws(SettingError) -> RoleSource? {
        let names = ["ALIBABA_CLOUD_ROLE_ARN", "ALIBABA_CLOUD_OIDC_PROVIDER_ARN", "ALIBABA_CLOUD_OIDC_TOKEN_FILE"]
        guard let values = all(names, of: "RAM role (RRSA)") else { return nil }
        return .ramRole(
            .init(
                roleARN: values[0], providerARN: values[1], token: .file(values[2]),
                sessionName: try sessionName("ALIBABA_CLOUD_ROLE_SESSION_NAME"), sessionSeconds: try sessionSeconds(),
                endpoint: try alibabaSTS()))
    }

    private mutating func amazon() throws(SettingError) -> CredentialChain.Choice {
        if let role = try iamRole() { return .role(role) }
        if isTrue("AWS_EC2_METADATA_DISABLED") {
            pass("EC2 instance role", "AWS_EC2_METADATA_DISABLED is true")
        } else if cloud == .amazon {
            return .role(ec2(isRequired: false))
        }
        return .anonymous
    }

    /// Web identity, else the container's endpoint; nil: the variables name neither.
    private mutating func iamRole() throws(SettingError) -> RoleSource? {
        if let values = all(["AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE"], of: "IAM role (web identity)") {
            return .iamRole(
                .init(
                    roleARN: values[0], token: .file(values[1]), sessionName: try sessionName("AWS_ROLE_SESSION_NAME"),
                    sessionSeconds: try sessionSeconds(), endpoint: try amazonSTS()))
        }
        let relative = variables["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"]
        if let relative, !relative.hasPrefix("/") {
            throw SettingError(
                field: "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", value: relative, problem: "is no path",
                remedy: "leave it as ECS sets it")
        }
        guard
            let url = relative.map({ MetadataAddress.container + $0 })
                ?? variables["AWS_CONTAINER_CREDENTIALS_FULL_URI"]
        else { return nil }
        return .container(
            .init(
                url: url, authorizationFile: variables["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"],
                authorityFile: variables["SSL_CERT_FILE"]))
    }

    private func ecs(isRequired: Bool) -> RoleSource {
        .ecsInstance(
            .init(
                role: variables["ALIBABA_CLOUD_ECS_METADATA"], isRequired: isRequired,
                isHardened: isTrue("ALIBABA_CLOUD_IMDSV1_DISABLED")))
    }

    private func ec2(isRequired: Bool) -> RoleSource { .ec2Instance(.init(isRequired: isRequired, isHardened: true)) }

    // MARK: STS

    private func alibabaSTS() throws(SettingError) -> ServiceEndpoint {
        let authority = variables["SSL_CERT_FILE"]
        if let named = variables["ALIBABA_CLOUD_STS_ENDPOINT"] {
            return try ServiceEndpoint(parsing: named, field: "ALIBABA_CLOUD_STS_ENDPOINT", authorityFile: authority)
        }
        return try ServiceEndpoint.ofRegion(
            variables["ALIBABA_CLOUD_STS_REGION"] ?? variables["OSS_REGION"], scheme: .oss, endpointHost: endpointHost,
            usesVPC: variables["ALIBABA_CLOUD_VPC_ENDPOINT_ENABLED"].map { $0.lowercased() == "true" },
            authorityFile: authority)
    }

    private func amazonSTS() throws(SettingError) -> ServiceEndpoint {
        let authority = variables["SSL_CERT_FILE"]
        if let named = variables["AWS_ENDPOINT_URL_STS"] {
            return try ServiceEndpoint(parsing: named, field: "AWS_ENDPOINT_URL_STS", authorityFile: authority)
        }
        return try ServiceEndpoint.ofRegion(
            variables["AWS_REGION"] ?? variables["AWS_DEFAULT_REGION"] ?? variables["OSS_REGION"], scheme: .s3,
            endpointHost: endpointHost, authorityFile: authority)
    }

    // MARK: Values

    private mutating func pass(_ party: String, _ reason: String) {
        passedOver.append(.init(party: party, reason: reason))
    }

    /// The values of all names, or nil. Where some are set, the party was meant and is recorded.
    private mutating func all(_ names: [String], of party: String) -> [String]? {
        let missing = names.filter { variables[$0] == nil }
        if missing.isEmpty { return names.compactMap { variables[$0] } }
        if missing.count < names.count { pass(party, "\(missing.joined(separator: " and ")) not set") }
        return nil
    }

    private func pair(_ idName: String, _ secretName: String, _ tokenName: String) throws(SettingError)
        -> StoreCredentials?
    {
        switch (variables[idName], variables[secretName]) {
        case (nil, nil): return nil
        case (let id?, let secret?):
            let end = variables[CredentialChain.expirationVariable].flatMap { UTCTime(iso8601: $0) }
            return try StoreCredentials(
                keyID: id, secret: secret, token: variables[tokenName], expiration: end?.seconds
            )
                .checked(idName, secretName, tokenName)
        case (nil, _?):
            throw SettingError(
                field: idName, value: nil, problem: "is not set, but \(secretName) is",
                remedy: "set both, or neither for a public bucket")
        case (_?, nil):
            throw SettingError(
                field: secretName, value: nil, problem: "is not set, but \(idName) is",
                remedy: "set both, or neither for a public bucket")
        }
    }

    /// STS: 2 to 64 letters, digits and `=,.@-_`.
    private func sessionName(_ field: String) throws(SettingError) -> String {
        guard let name = variables[field] else { return "modelcache" }
        let allowed = name.utf8.allSatisfy { byte in
            (0x30...0x39).contains(byte) || (0x41...0x5a).contains(byte) || (0x61...0x7a).contains(byte)
                || "=,.@-_+".utf8.contains(byte)
        }
        guard allowed, (2...64).contains(name.utf8.count) else {
            throw SettingError(
                field: field, value: name, problem: "is no session's name",
                remedy: "write 2 to 64 letters, digits or =,.@-_")
        }
        return name
    }

    private func sessionSeconds() throws(SettingError) -> Int {
        guard let text = variables["MODELCACHE_SESSION_SECONDS"] else { return 3600 }
        guard let seconds = Int(text), (900...43_200).contains(seconds) else {
            throw SettingError(
                field: "MODELCACHE_SESSION_SECONDS", value: text, problem: "is not from 900 to 43200",
                remedy: "set seconds within the role's longest session")
        }
        return seconds
    }
}
