public import FoundationEssentials

/// The address of an API server, and the identity to use there.
///
/// It holds names of files, commands and addresses. ``KubernetesClient`` reads and runs them, again when they change.
/// Printing it shows no secret.
public struct ClientConfiguration: Sendable, Hashable {
    /// "https://host:port", possibly with a path, without a slash at the end.
    public var server: String
    /// The namespace of the context, or of the pod.
    public var namespace: String
    public var tls: TLSSettings
    public var authentication: Authentication
    public var impersonation: Impersonation?
    /// "http://host:port" of a proxy that supports CONNECT.
    public var proxyURL: String?
    /// The environment's proxy, where a kubeconfig has no `proxy-url`; a pod's own API server has none.
    public internal(set) var environmentProxy: NamedProxy?
    /// The origin of the configuration, for messages: a context and its file, or "in-cluster".
    public var origin: String

    public init(
        server: String, namespace: String = "default", tls: TLSSettings = TLSSettings(),
        authentication: Authentication = Authentication(), impersonation: Impersonation? = nil,
        proxyURL: String? = nil, origin: String = "code"
    ) {
        self.server = server
        self.namespace = namespace
        self.tls = tls
        self.authentication = authentication
        self.impersonation = impersonation
        self.proxyURL = proxyURL
        self.origin = origin
    }

    /// Loads the first of these, the order that users of kubectl and controller-runtime expect: the kubeconfig named by
    /// `kubeconfig`, those of $KUBECONFIG, the pod's own service account, `$HOME/.kube/config`.
    ///
    /// The environment's `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY` count for a kubeconfig's server, as for kubectl.
    ///
    /// - Parameter context: another context than the file's current one.
    /// - Throws: ``ConfigurationError``, which names the file, the field and the remedy.
    public static func load(
        kubeconfig: String? = nil, context: String? = nil,
        environment: [String: String] = ProcessInfo.processInfo.environment
    ) throws -> ClientConfiguration {
        func proxied(_ configuration: ClientConfiguration) -> ClientConfiguration {
            var configuration = configuration
            configuration.environmentProxy = NamedProxy(for: configuration.server, in: environment)
            return configuration
        }
        if let kubeconfig, !kubeconfig.isEmpty {
            return proxied(try Self.kubeconfig(paths: [kubeconfig], context: context, required: true))
        }
        if let list = environment["KUBECONFIG"], !list.isEmpty {
            let paths = list.split(separator: ":", omittingEmptySubsequences: true).map(String.init)
            return proxied(try Self.kubeconfig(paths: paths, context: context))
        }
        if context == nil, environment["KUBERNETES_SERVICE_HOST"] != nil {
            return try inCluster(environment: environment)
        }
        guard let home = environment["HOME"], !home.isEmpty else {
            throw ConfigurationError(
                source: "environment", field: "HOME", problem: "no kubeconfig is named and there is no home directory",
                remedy: "set KUBECONFIG or pass --kubeconfig")
        }
        return proxied(try Self.kubeconfig(paths: ["\(home)/.kube/config"], context: context))
    }
}

/// The rules for the server's certificate, and our own certificate.
public struct TLSSettings: Sendable, Hashable {
    /// Authorities that may have signed the server's certificate; nil: the system's.
    public var certificateAuthority: Material?
    /// The name in the server's certificate, when the address has another one. The TLS library also accepts a
    /// certificate that names the IP address of the connection.
    public var serverName: String?
    /// Accept any certificate. Any server that responds gets our credentials.
    public var insecureSkipVerify: Bool

    public init(
        certificateAuthority: Material? = nil, serverName: String? = nil, insecureSkipVerify: Bool = false
    ) {
        self.certificateAuthority = certificateAuthority
        self.serverName = serverName
        self.insecureSkipVerify = insecureSkipVerify
    }
}

/// PEM text, inline or in a file that is read again when it changes. Never printed.
public enum Material: Sendable, Hashable, CustomStringConvertible, CustomReflectable {
    case inline([UInt8])
    case file(String)

    public var description: String {
        switch self {
        case .inline: "<inline>"
        case .file(let path): path
        }
    }

    public var customMirror: Mirror { Mirror(self, children: ["source": description]) }
}

/// How we authenticate. All parts that are set are used together, a token before a password; a plugin supplies the
/// missing ones.
public struct Authentication: Sendable, Hashable, CustomStringConvertible, CustomReflectable {
    public var clientCertificate: Material?
    public var clientKey: Material?
    public var token: String?
    /// Read again each minute and after a 401. Preferred to ``token``.
    public var tokenFile: String?
    public var username: String?
    public var password: String?
    public var exec: ExecPlugin?

    public init(
        clientCertificate: Material? = nil, clientKey: Material? = nil, token: String? = nil,
        tokenFile: String? = nil, username: String? = nil, password: String? = nil, exec: ExecPlugin? = nil
    ) {
        self.clientCertificate = clientCertificate
        self.clientKey = clientKey
        self.token = token
        self.tokenFile = tokenFile
        self.username = username
        self.password = password
        self.exec = exec
    }

    public var description: String {
        var parts: [String] = []
        if let clientCertificate { parts.append("client certificate \(clientCertificate)") }
        if let tokenFile { parts.append("token file \(tokenFile)") } else if token != nil { parts.append("token") }
        if username != nil { parts.append("user name and password") }
        if let exec { parts.append("plugin \(exec.command)") }
        return parts.isEmpty ? "anonymous" : parts.joined(separator: ", ")
    }

    public var customMirror: Mirror { Mirror(self, children: ["description": description]) }
}

/// A program that prints credentials
/// (https://kubernetes.io/docs/reference/access-authn-authz/authentication/#client-go-credential-plugins). It runs
/// directly, never through a shell.
public struct ExecPlugin: Sendable, Hashable, CustomStringConvertible, CustomReflectable {
    /// "client.authentication.k8s.io/v1" or ".../v1beta1".
    public var apiVersion: String
    public var command: String
    public var arguments: [String]
    /// Added to our own environment.
    public var environment: [String: String]
    public var installHint: String?
    public var provideClusterInfo: Bool

    public init(
        apiVersion: String, command: String, arguments: [String] = [], environment: [String: String] = [:],
        installHint: String? = nil, provideClusterInfo: Bool = false
    ) {
        self.apiVersion = apiVersion
        self.command = command
        self.arguments = arguments
        self.environment = environment
        self.installHint = installHint
        self.provideClusterInfo = provideClusterInfo
    }

    /// Without arguments and environment, because they may have secrets.
    public var description: String { command }

    public var customMirror: Mirror { Mirror(self, children: ["command": command]) }
}

/// The user to act as; needs the right to impersonate.
public struct Impersonation: Sendable, Hashable {
    public var user: String
    public var groups: [String]
    public var uid: String?
    public var extra: [String: [String]]

    public init(user: String, groups: [String] = [], uid: String? = nil, extra: [String: [String]] = [:]) {
        self.user = user
        self.groups = groups
        self.uid = uid
        self.extra = extra
    }
}
