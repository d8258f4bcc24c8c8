import FoundationEssentials
import Yams

extension ClientConfiguration {
    /// From kubeconfig files, merged by kubectl's rules: the first file that sets the current context or has an entry
    /// of a name wins, missing files are skipped, and relative paths are relative to their own file.
    /// https://kubernetes.io/docs/concepts/configuration/organize-cluster-access-kubeconfig/#merging-kubeconfig-files
    ///
    /// - Parameter required: a missing file is an error.
    /// - Throws: ``ConfigurationError``.
    public static func kubeconfig(
        paths: [String], context: String? = nil, required: Bool = false
    ) throws -> ClientConfiguration {
        try MergedKubeconfig(paths: paths, required: required).configuration(context: context)
    }
}

/// Several kubeconfig files as one. Each entry keeps the path of its file.
private struct MergedKubeconfig {
    struct Entry<Value> {
        var value: Value
        var file: String
    }

    private var currentContext: String?
    private var clusters: [String: Entry<Kubeconfig.Cluster>] = [:]
    private var contexts: [String: Entry<Kubeconfig.Context>] = [:]
    private var users: [String: Entry<Kubeconfig.User>] = [:]
    private var files: [String] = []
    private let named: String

    init(paths: [String], required: Bool) throws {
        named = paths.joined(separator: ":")
        for path in paths {
            guard let bytes = FileManager.default.contents(atPath: path) else {
                if !required, !FileManager.default.fileExists(atPath: path) { continue }
                throw ConfigurationError(
                    source: path, problem: "the file cannot be read", remedy: "check its path and permissions")
            }
            let config: Kubeconfig
            do {
                config = try YAMLDecoder().decode(Kubeconfig.self, from: String(decoding: bytes, as: UTF8.self))
            } catch {
                throw Self.explain(error, path)
            }
            files.append(path)
            if currentContext?.isEmpty ?? true { currentContext = config.currentContext }
            Self.add(config.clusters, of: path, to: &clusters)
            Self.add(config.contexts, of: path, to: &contexts)
            Self.add(config.users, of: path, to: &users)
        }
    }

    private static func add<Value>(
        _ entries: [Kubeconfig.Named<Value>]?, of path: String, to table: inout [String: Entry<Value>]
    ) {
        for entry in entries ?? [] where table[entry.name] == nil {
            table[entry.name] = Entry(value: entry.value, file: path)
        }
    }

    /// A parser's own message may quote the file, so the error has only the line.
    private static func explain(_ error: any Error, _ path: String) -> ConfigurationError {
        var error = error
        // The decoder wraps the parser's error.
        if case DecodingError.dataCorrupted(let context) = error, let cause = context.underlyingError { error = cause }
        switch error {
        case DecodingError.typeMismatch(_, let context) where context.codingPath.isEmpty:
            return ConfigurationError(
                source: path, problem: "it is no kubeconfig", remedy: "name one with --kubeconfig or KUBECONFIG")
        case is DecodingError:
            return ConfigurationError(
                source: path, problem: ResourceCoding.explain(error), remedy: "compare it with kubectl config view")
        case let error as YamlError:
            var place = ""
            switch error {
            case .scanner(_, _, let mark, _), .parser(_, _, let mark, _), .composer(_, _, let mark, _):
                place = " at line \(mark.line)"
            default: break
            }
            return ConfigurationError(source: path, problem: "it is not YAML\(place)", remedy: "correct the file")
        default:
            return ConfigurationError(source: path, problem: "it is not YAML", remedy: "correct the file")
        }
    }

    func configuration(context wanted: String?) throws -> ClientConfiguration {
        guard !files.isEmpty else {
            throw ConfigurationError(
                source: named, problem: "there is no such kubeconfig",
                remedy: "set KUBECONFIG or pass --kubeconfig")
        }
        let source = files.joined(separator: ":")
        guard let name = wanted ?? currentContext, !name.isEmpty else {
            throw ConfigurationError(
                source: source, field: "current-context", problem: "no context is chosen",
                remedy: "run kubectl config use-context")
        }
        guard let context = contexts[name] else {
            throw ConfigurationError(
                source: source, field: "contexts[\(name)]", problem: "there is no such context",
                remedy: "choose one of: \(contexts.keys.sorted().joined(separator: ", "))")
        }
        guard let cluster = clusters[context.value.cluster] else {
            throw ConfigurationError(
                source: context.file, field: "contexts[\(name)].context.cluster",
                problem: "there is no cluster \"\(context.value.cluster)\"", remedy: "add it under clusters")
        }
        var user: Entry<Kubeconfig.User>?
        if let userName = context.value.user, !userName.isEmpty {
            user = users[userName]
            guard user != nil else {
                throw ConfigurationError(
                    source: context.file, field: "contexts[\(name)].context.user",
                    problem: "there is no user \"\(userName)\"", remedy: "add it under users")
            }
        }
        let clusterField = "clusters[\(context.value.cluster)].cluster"
        guard let server = cluster.value.server, !server.isEmpty else {
            throw ConfigurationError(
                source: cluster.file, field: "\(clusterField).server", problem: "it is missing",
                remedy: "write the API server's address, https://host:port")
        }
        let userField = "users[\(context.value.user ?? "")].user"
        var configuration = ClientConfiguration(
            server: server,
            namespace: context.value.namespace.flatMap { $0.isEmpty ? nil : $0 } ?? "default",
            tls: TLSSettings(
                certificateAuthority: try Self.material(
                    cluster.value.certificateAuthorityData, cluster.value.certificateAuthority, cluster.file,
                    "\(clusterField).certificate-authority"),
                serverName: cluster.value.tlsServerName,
                insecureSkipVerify: cluster.value.insecureSkipTLSVerify ?? false),
            proxyURL: cluster.value.proxyURL.flatMap { $0.isEmpty ? nil : $0 },
            origin: "context \(name) of \(source)")
        if let user {
            configuration.authentication = try Self.authentication(user, userField)
            if let impersonate = user.value.impersonate, !impersonate.isEmpty {
                configuration.impersonation = Impersonation(
                    user: impersonate, groups: user.value.impersonateGroups ?? [], uid: user.value.impersonateUID,
                    extra: user.value.impersonateExtra ?? [:])
            }
        }
        return configuration
    }

    private static func authentication(_ entry: Entry<Kubeconfig.User>, _ field: String) throws -> Authentication {
        let (user, file) = (entry.value, entry.file)
        guard user.authProvider == nil else {
            throw ConfigurationError(
                source: file, field: "\(field).auth-provider", problem: "it was removed from Kubernetes in 1.26",
                remedy: "use exec with the provider's credential plugin")
        }
        var authentication = Authentication(
            clientCertificate: try material(
                user.clientCertificateData, user.clientCertificate, file, "\(field).client-certificate"),
            clientKey: try material(user.clientKeyData, user.clientKey, file, "\(field).client-key"),
            token: user.token.flatMap { $0.isEmpty ? nil : $0 },
            tokenFile: user.tokenFile.flatMap { $0.isEmpty ? nil : path($0, besides: file) },
            username: user.username.flatMap { $0.isEmpty ? nil : $0 }, password: user.password)
        if (authentication.clientCertificate == nil) != (authentication.clientKey == nil) {
            throw ConfigurationError(
                source: file, field: "\(field).client-certificate",
                problem: "certificate and key are needed together", remedy: "give both or neither")
        }
        if let exec = user.exec { authentication.exec = try plugin(exec, file, "\(field).exec") }
        return authentication
    }

    private static func plugin(_ exec: Kubeconfig.Exec, _ file: String, _ field: String) throws -> ExecPlugin {
        guard let version = exec.apiVersion, ExecPlugin.supportedVersions.contains(version) else {
            throw ConfigurationError(
                source: file, field: "\(field).apiVersion",
                problem: "\"\(exec.apiVersion ?? "")\" is not supported",
                remedy: "use one of: \(ExecPlugin.supportedVersions.joined(separator: ", "))")
        }
        guard exec.interactiveMode != "Always" else {
            throw ConfigurationError(
                source: file, field: "\(field).interactiveMode", problem: "the plugin needs a terminal",
                remedy: "use a plugin that can run without one")
        }
        guard !exec.command.isEmpty else {
            throw ConfigurationError(
                source: file, field: "\(field).command", problem: "it is empty", remedy: "name the plugin's program")
        }
        return ExecPlugin(
            apiVersion: version,
            // A bare name is looked up in PATH; a path is relative to its file.
            command: exec.command.contains("/") ? path(exec.command, besides: file) : exec.command,
            arguments: exec.args ?? [],
            environment: Dictionary(
                (exec.env ?? []).map { ($0.name, $0.value) }, uniquingKeysWith: { _, last in last }),
            installHint: exec.installHint, provideClusterInfo: exec.provideClusterInfo ?? false)
    }

    /// Inline data wins over a file.
    private static func material(
        _ data: String?, _ file: String?, _ config: String, _ field: String
    ) throws -> Material? {
        if let data, !data.isEmpty {
            guard let bytes = Data(base64Encoded: data, options: .ignoreUnknownCharacters), !bytes.isEmpty else {
                throw ConfigurationError(
                    source: config, field: "\(field)-data", problem: "it is not base64",
                    remedy: "write the PEM file's base64 on one line")
            }
            return .inline(Array(bytes))
        }
        guard let file, !file.isEmpty else { return nil }
        return .file(path(file, besides: config))
    }

    private static func path(_ path: String, besides config: String) -> String {
        guard !path.hasPrefix("/") else { return path }
        guard let slash = config.lastIndex(of: "/") else { return path.contains("/") ? path : "./\(path)" }
        return config[...slash] + path
    }
}
