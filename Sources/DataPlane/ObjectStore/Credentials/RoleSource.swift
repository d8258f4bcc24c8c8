import Synchronization
public import TextCoding

/// A party that gives temporary credentials to whoever proves an identity: which one, and how to ask it.
///
/// A value without secrets; equal sources share one ``RoleCredentials``.
public enum RoleSource: Sendable, Hashable {
    /// A RAM role by the ServiceAccount's token (RRSA): STS `AssumeRoleWithOIDC`.
    /// https://www.alibabacloud.com/help/en/ram/developer-reference/api-sts-2015-04-01-assumerolewithoidc
    case ramRole(RAMRole)
    /// An IAM role by a web identity token (IRSA): STS `AssumeRoleWithWebIdentity`.
    /// https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html
    case iamRole(IAMRole)
    /// EKS Pod Identity's agent or the ECS task's endpoint.
    /// https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html
    case container(ContainerEndpoint)
    /// The role of an ECS instance, from Alibaba Cloud's metadata service.
    /// https://www.alibabacloud.com/help/en/ecs/user-guide/view-instance-metadata
    case ecsInstance(InstanceRole)
    /// The role of an EC2 instance, from IMDS version 2.
    /// https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/configuring-instance-metadata-service.html
    case ec2Instance(InstanceRole)

    public struct RAMRole: Sendable, Hashable {
        public var roleARN: String
        public var providerARN: String
        public var token: WebToken
        public var sessionName: String
        /// Seconds; STS allows 900 to the role's own maximum.
        public var sessionSeconds: Int
        public var endpoint: ServiceEndpoint

        public init(
            roleARN: String, providerARN: String, token: WebToken, sessionName: String = "modelcache",
            sessionSeconds: Int = 3600, endpoint: ServiceEndpoint
        ) {
            self.roleARN = roleARN
            self.providerARN = providerARN
            self.token = token
            self.sessionName = sessionName
            self.sessionSeconds = sessionSeconds
            self.endpoint = endpoint
        }
    }

    public struct IAMRole: Sendable, Hashable {
        public var roleARN: String
        public var token: WebToken
        public var sessionName: String
        /// Seconds; STS allows 900 to the role's own maximum.
        public var sessionSeconds: Int
        public var endpoint: ServiceEndpoint

        public init(
            roleARN: String, token: WebToken, sessionName: String = "modelcache", sessionSeconds: Int = 3600,
            endpoint: ServiceEndpoint
        ) {
            self.roleARN = roleARN
            self.token = token
            self.sessionName = sessionName
            self.sessionSeconds = sessionSeconds
            self.endpoint = endpoint
        }
    }

    public struct ContainerEndpoint: Sendable, Hashable {
        public var url: String
        /// A file with the content of `Authorization`; nil: none is sent.
        public var authorizationFile: String?
        public var authorityFile: String?

        public init(url: String, authorizationFile: String? = nil, authorityFile: String? = nil) {
            self.url = url
            self.authorizationFile = authorizationFile
            self.authorityFile = authorityFile
        }
    }

    public struct InstanceRole: Sendable, Hashable {
        /// Nil: the service names it.
        public var role: String?
        /// False: the machine looks like a cloud's, and nobody asked for its role. Without one, requests are anonymous.
        public var isRequired: Bool
        /// Whether the service must give a session token first. EC2 always must.
        public var isHardened: Bool

        public init(role: String? = nil, isRequired: Bool, isHardened: Bool = false) {
            self.role = role
            self.isRequired = isRequired
            self.isHardened = isHardened
        }
    }
}

/// The address of an STS: `https`, or `http` on this machine alone, since the token is in the request.
public struct ServiceEndpoint: Sendable, Hashable {
    /// Scheme, host and port, without a slash at the end.
    public let url: String
    /// PEM file of trusted authorities; nil: the process's.
    public let authorityFile: String?

    /// - Throws: ``SettingError`` for another scheme, a path, or plain HTTP to another machine.
    public init(parsing text: String, field: String, authorityFile: String? = nil) throws(SettingError) {
        func wrong(_ problem: String, _ remedy: String) -> SettingError {
            SettingError(field: field, value: text, problem: problem, remedy: remedy)
        }
        let hasScheme = text.contains("://")
        let whole = hasScheme ? text : "https://\(text)"
        let isPlain = whole.lowercased().hasPrefix("http://")
        guard isPlain || whole.lowercased().hasPrefix("https://") else {
            throw wrong("has another scheme than https", "write the host alone, such as sts.cn-hangzhou.aliyuncs.com")
        }
        var rest = whole.drop { $0 != "/" }.dropFirst(2)
        if rest.hasSuffix("/") { rest = rest.dropLast() }
        let allowed = rest.utf8.allSatisfy { byte in
            (0x30...0x39).contains(byte) || (0x41...0x5a).contains(byte) || (0x61...0x7a).contains(byte)
                || "-._:[]".utf8.contains(byte)
        }
        guard !rest.isEmpty, allowed, rest.utf8.count <= 300 else {
            throw wrong("is no host", "write the host alone, such as sts.cn-hangzhou.aliyuncs.com")
        }
        guard !isPlain || MetadataAddress.isLoopback(rest) else {
            throw wrong("would send the token in plain text", "write https://, or the host alone")
        }
        url = "\(isPlain ? "http" : "https")://\(rest)"
        self.authorityFile = authorityFile
    }
}

extension ServiceEndpoint {
    /// The STS of a region:
    /// https://www.alibabacloud.com/help/en/ram/developer-reference/api-sts-2015-04-01-endpoint and
    /// https://docs.aws.amazon.com/general/latest/gr/sts.html.
    ///
    /// - Parameters:
    ///   - region: nil: the one that an OSS endpoint names, else the service of all regions.
    ///   - endpointHost: of the store.
    ///   - usesVPC: nil: as the store's endpoint does.
    /// - Throws: ``SettingError`` for a region that is no name.
    public static func ofRegion(
        _ region: String?, scheme: StoreScheme, endpointHost: String?, usesVPC: Bool? = nil,
        authorityFile: String? = nil
    ) throws(SettingError) -> ServiceEndpoint {
        let host: String
        switch (scheme, region ?? (scheme == .oss ? ossRegion(of: endpointHost) : nil)) {
        case (.oss, nil): host = "sts.aliyuncs.com"
        case (.s3, nil): host = "sts.amazonaws.com"
        case (.oss, let region?):
            let isInternal = usesVPC ?? (endpointHost?.contains("-internal.") ?? false)
            let name = region.hasPrefix("oss-") ? String(region.dropFirst(4)) : region
            host = "\(isInternal ? "sts-vpc" : "sts").\(name).aliyuncs.com"
        case (.s3, let region?): host = "sts.\(region).amazonaws.com\(region.hasPrefix("cn-") ? ".cn" : "")"
        }
        return try ServiceEndpoint(parsing: host, field: "OSS_REGION", authorityFile: authorityFile)
    }

    /// Of an OSS endpoint's first label, `oss-cn-hangzhou-internal`.
    private static func ossRegion(of host: String?) -> String? {
        guard let label = host?.lowercased().split(separator: ".").first, label.hasPrefix("oss-"),
            !label.contains("accelerate")
        else { return nil }
        let name = label.dropFirst(4)
        return String(name.hasSuffix("-internal") ? name.dropLast(9) : name)
    }
}

/// Where the token comes from that proves a ServiceAccount.
public enum WebToken: Sendable, Hashable {
    /// A file that the kubelet renews; read for each exchange.
    case file(String)
    /// The newest one that a connected client handed over.
    case handed(HandedToken)
}

/// The newest token that a connected client handed over, kept in memory alone, and no longer than it is valid.
public final class HandedToken: Sendable, Hashable {
    private let value = Mutex<(token: String, expiry: Int64?)?>(nil)

    public init() {}

    /// - Parameter expiry: in seconds since 1970; nil: unknown.
    /// - Returns: whether it is another token than the one before.
    @discardableResult
    public func hand(_ token: String, until expiry: Int64? = nil) -> Bool {
        value.withLock { value in
            defer { value = (token, expiry) }
            return value?.token != token
        }
    }

    public func forget() { value.withLock { $0 = nil } }

    /// - Parameter now: seconds since 1970.
    func current(now: Int64) -> String? {
        value.withLock { value in
            if let expiry = value?.expiry, expiry <= now { value = nil }
            return value?.token
        }
    }

    public static func == (lhs: HandedToken, rhs: HandedToken) -> Bool { lhs === rhs }
    public func hash(into hasher: inout Hasher) { hasher.combine(ObjectIdentifier(self)) }
}

/// The party whose rights a request has, in words that hold no secret.
public struct Principal: Sendable, Hashable, CustomStringConvertible {
    /// The kinds, as the metrics' label `provider` has them.
    public enum Kind: String, Sendable, Hashable, CaseIterable {
        case anonymous, key, file, ramRole = "ram-role", iamRole = "iam-role", container
        case ecsInstance = "ecs-instance", ec2Instance = "ec2-instance"
    }

    public let kind: Kind
    /// Such as the role's ARN; empty when nothing more is known.
    public let name: String

    public init(_ kind: Kind, name: String = "") {
        self.kind = kind
        self.name = name.prefix(bytes: 300).oneLine
    }

    public var description: String {
        let named = name.isEmpty ? "" : " \(name)"
        return switch kind {
        case .anonymous: "no credentials (anonymous)"
        case .key: "access key\(named)"
        case .file: "credentials file\(named)"
        case .ramRole: "RAM role\(named)"
        case .iamRole: "IAM role\(named)"
        case .container: "container credentials of\(named)"
        case .ecsInstance: name.isEmpty ? "the ECS instance's role" : "ECS instance role\(named)"
        case .ec2Instance: name.isEmpty ? "the EC2 instance's role" : "EC2 instance role\(named)"
        }
    }

    /// Whether its credentials come from a service that renews them.
    public var isRole: Bool {
        switch kind {
        case .anonymous, .key, .file: false
        case .ramRole, .iamRole, .container, .ecsInstance, .ec2Instance: true
        }
    }
}

extension RoleSource {
    public var principal: Principal {
        switch self {
        case .ramRole(let role): Principal(.ramRole, name: role.roleARN)
        case .iamRole(let role): Principal(.iamRole, name: role.roleARN)
        case .container(let endpoint): Principal(.container, name: endpoint.url)
        case .ecsInstance(let instance): Principal(.ecsInstance, name: instance.role ?? "")
        case .ec2Instance(let instance): Principal(.ec2Instance, name: instance.role ?? "")
        }
    }
}

/// The fixed addresses that the instances' and containers' services have. No setting names another one.
enum MetadataAddress {
    static let ecs = "http://100.100.100.200"
    static let ec2 = "http://169.254.169.254"
    /// Of the ECS task's relative address.
    static let container = "http://169.254.170.2"

    /// Hosts that a container's credentials may come from by plain HTTP: this machine, and the addresses of the ECS
    /// task's and EKS Pod Identity's agents (AWS SDK reference, "Container credential provider").
    static let containerHosts: Set<String> = ["169.254.170.2", "169.254.170.23", "[fd00:ec2::23]"]

    /// - Parameter authority: host with or without a port.
    static func isLoopback(_ authority: some StringProtocol) -> Bool {
        let host = host(of: authority)
        if host == "localhost" || host == "[::1]" { return true }
        let parts = host.split(separator: ".", omittingEmptySubsequences: false)
        return parts.count == 4 && parts[0] == "127" && parts.allSatisfy { UInt8($0) != nil }
    }

    static func host(of authority: some StringProtocol) -> String {
        let lower = authority.lowercased()
        if lower.hasPrefix("["), let end = lower.firstIndex(of: "]") { return String(lower[...end]) }
        return String(lower.prefix { $0 != ":" })
    }
}
