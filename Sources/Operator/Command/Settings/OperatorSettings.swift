import CRD
import Controller
import Kubernetes
import LogOutput
import Logging
import StoreHost
import TextCoding

/// The operator's settings, checked.
struct OperatorSettings: Equatable {
    var kubeconfig: String?
    var context: String?
    /// Nil: all.
    var namespace: String?
    /// Nil: the pod's own, or modelcache-system outside a pod.
    var systemNamespace: String?
    var agentImage: String
    var agentPort: Int
    /// Nil: no election.
    var election: LeaderElectionOptions?
    var metrics: BindAddress?
    var probes: BindAddress?
    var reconciles: Int
    var shutdownTimeout: Duration
    var logLevel: Logger.Level
    var logFormat: LogFormat
    var allowLoopbackEndpoints: Bool
    /// Nil: as the API server's discovery document says.
    var serviceAccountIssuer: String?
    var allowUnverifiedCallers: Bool
    /// Sources may be read with the nodes' own role.
    var allowNodeRole: Bool
    /// The nodes' folder for models on disk.
    var diskPath: String
    /// Nil: agents may run on all nodes.
    var agentNodeSelector: String?
    /// Nil: that of a source's region.
    var stsEndpoint: String?
    /// Where ModelCaches' credentials may be used.
    var credentialHosts: CredentialHosts
    /// Settings of warm-up pods, where a ModelCache does not say otherwise.
    var podTemplate: PodTemplate
    var warmupStartDeadline: Duration
    /// Nil: a source is listed only when something asks for it.
    var sourceCheckInterval: Duration?
    /// Nil: pods are not injected.
    var webhook: WebhookSettings?

    /// From flags by their names without dashes; the environment is asked for what they leave out.
    ///
    /// - Throws: ``OperatorFailure`` that names setting, value and remedy: code 64 for a flag, 78 for the environment.
    static func resolve(flags: [String: String], environment: [String: String]) throws -> OperatorSettings {
        let values = Values(flags: flags, environment: environment)
        let address = "write host:port, :port for every address, or 0 for none"
        return OperatorSettings(
            kubeconfig: values.text("kubeconfig"), context: values.text("context"),
            namespace: try values.optional("namespace", Self.namespaceRemedy, Self.namespace),
            systemNamespace: try values.optional("system-namespace", Self.namespaceRemedy, Self.namespace),
            agentImage: try values.get(
                "agent-image", "write an image such as modelcache/agent:1.0", otherwise: "modelcache/agent"
            ) { $0.contains(where: \.isWhitespace) ? nil : $0 },
            agentPort: try values.get("agent-port", "write a port from 1 to 65535", otherwise: 9417) {
                Int($0).flatMap { (1...65535).contains($0) ? $0 : nil }
            },
            election: try election(values),
            metrics: try values.get("metrics-bind-address", address, otherwise: BindAddress(":8080"), Self.address),
            probes: try values.get("health-probe-bind-address", address, otherwise: BindAddress(":8081"), Self.address),
            reconciles: try values.get("max-concurrent-reconciles", "write a number from 1 to 1000", otherwise: 8) {
                Int($0).flatMap { (1...1000).contains($0) ? $0 : nil }
            },
            shutdownTimeout: try values.get(
                "graceful-shutdown-timeout", GoDuration.remedy, otherwise: .seconds(10), GoDuration.parse),
            logLevel: try values.get(
                "log-level", "write trace, debug, info, notice, warning, error or critical", otherwise: .info
            ) { text in
                text == "warn" ? .warning : Logger.Level(rawValue: text)
            },
            logFormat: try values.get("log-format", "write text or json", otherwise: .text) {
                LogFormat(rawValue: $0)
            },
            allowLoopbackEndpoints: try values.get(
                "allow-loopback-endpoints", "write true or false", otherwise: false, BooleanWords.value),
            serviceAccountIssuer: try values.optional(
                "service-account-issuer", "write what the API server has as --service-account-issuer"
            ) { text in
                text.utf8.count <= 2048 && !text.contains(where: \.isWhitespace) ? text : nil
            },
            allowUnverifiedCallers: try values.get(
                "allow-unverified-callers", "write true or false", otherwise: false, BooleanWords.value),
            allowNodeRole: try values.get(
                "allow-node-role", "write true or false", otherwise: false, BooleanWords.value),
            diskPath: try values.get(
                "agent-disk-path", "write the agents' folder on the nodes, such as /mnt/nvme",
                otherwise: Names.standardDiskPath, Self.folder),
            agentNodeSelector: try values.optional(
                "agent-node-selector", "write a label selector such as modelcache.io/agent=true", Self.selector),
            stsEndpoint: try values.optional(
                "sts-endpoint", "write a URL such as https://sts-vpc.cn-hangzhou.aliyuncs.com"
            ) { text in
                text.hasPrefix("https://") || text.hasPrefix("http://") ? Self.withoutSpaces(text) : nil
            },
            credentialHosts: try values.optional("credential-hosts", CredentialHosts.form) {
                CredentialHosts(adding: $0)
            } ?? CredentialHosts(),
            podTemplate: try podTemplate(values),
            warmupStartDeadline: try values.get(
                "warmup-start-deadline", GoDuration.remedy, otherwise: .seconds(300), GoDuration.parse),
            sourceCheckInterval: try sourceCheckInterval(values),
            webhook: try WebhookSettings.resolve(values, address: address))
    }

    private static func sourceCheckInterval(_ values: Values) throws -> Duration? {
        let interval = try values.get(
            "source-check-interval", "\(GoDuration.remedy), 1s at least, or 0 for never", otherwise: .seconds(3600)
        ) { text -> Duration? in
            if text == "0" { return Duration.zero }
            guard let interval = GoDuration.parse(text) else { return nil }
            return interval == .zero || interval >= .seconds(1) ? interval : nil
        }
        return interval == .zero ? nil : interval
    }

    /// Nil: one replica alone.
    private static func election(_ values: Values) throws -> LeaderElectionOptions? {
        let isElected = try values.get("leader-elect", "write true or false", otherwise: false, BooleanWords.value)
        var election = LeaderElectionOptions(
            leaseDuration: try values.get(
                "leader-elect-lease-duration", GoDuration.remedy, otherwise: .seconds(15), GoDuration.parse),
            renewDeadline: try values.get(
                "leader-elect-renew-deadline", GoDuration.remedy, otherwise: .seconds(10), GoDuration.parse),
            retryPeriod: try values.get(
                "leader-elect-retry-period", GoDuration.remedy, otherwise: .seconds(2), GoDuration.parse))
        // The Lease's field counts whole seconds.
        election.leaseDuration = .seconds(
            Int64(
                (Double(election.leaseDuration.components.seconds)
                    + (election.leaseDuration.components.attoseconds > 0 ? 1 : 0))))
        if let problem = election.problem {
            throw values.failure(
                "leader-elect-lease-duration",
                "--leader-elect-lease-duration, -renew-deadline and -retry-period do not fit: \(problem); 15s, 10s and 2s do"
            )
        }
        return isElected ? election : nil
    }

    /// Of ModelCaches.
    var validation: ValidationPolicy {
        ValidationPolicy(
            allowsLoopbackEndpoints: allowLoopbackEndpoints, credentialHosts: credentialHosts,
            allowsNodeRole: allowNodeRole)
    }

    private static func withoutSpaces(_ text: String) -> String? {
        text.utf8.count <= 300 && !text.contains(where: \.isWhitespace) ? text : nil
    }

    /// Absolute and in its shortest form: it becomes the path of volumes.
    private static func folder(_ text: String) -> String? {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        let isShort = !parts.dropFirst().contains { ["", ".", ".."].contains($0) }
        return text.hasPrefix("/") && text.utf8.count <= 512 && isShort ? text : nil
    }

    /// The API server reads it; here only what cannot be one is refused.
    private static func selector(_ text: String) -> String? {
        let others = Set("._/=!,()- ".utf8)
        let isOne =
            text.utf8.count <= 4096
            && text.utf8.allSatisfy { byte in
                switch byte {
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                    UInt8(ascii: "0")...UInt8(ascii: "9"):
                    true
                default: others.contains(byte)
                }
            }
        return isOne ? text : nil
    }

    private static func podTemplate(_ values: Values) throws -> PodTemplate {
        guard let text = values.text("warmup-pod-template") else { return PodTemplate() }
        do {
            return try PodTemplate.parse(text)
        } catch {
            throw values.failure("warmup-pod-template", "--warmup-pod-template: \(error)")
        }
    }

    private static let namespaceRemedy = "write a namespace's name: lower case letters, digits and dashes, at most 63"

    private static func namespace(_ text: String) -> String? {
        let isLabel = text.utf8.allSatisfy {
            (UInt8(ascii: "a")...UInt8(ascii: "z")).contains($0) || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0)
                || $0 == UInt8(ascii: "-")
        }
        return isLabel && text.utf8.count <= 63 && !text.hasPrefix("-") && !text.hasSuffix("-") ? text : nil
    }

    /// The outer nil: not an address. The inner: none wanted, written as in controller-runtime.
    static func address(_ text: String) -> BindAddress?? {
        if text == "0" { return .some(nil) }
        return BindAddress(text).map { .some($0) }
    }
}

/// Settings by name, from flags and the environment.
struct Values {
    let flags: [String: String]
    let environment: [String: String]

    static func variable(_ name: String) -> String { "MODELCACHE_" + name.uppercased().replacing("-", with: "_") }

    /// Nil when unset or empty.
    func text(_ name: String) -> String? {
        if let flag = flags[name] { return flag.isEmpty ? nil : flag }
        return environment[Self.variable(name)].flatMap { $0.isEmpty ? nil : $0 }
    }

    func get<T>(_ name: String, _ remedy: String, otherwise: T, _ parse: (String) -> T?) throws -> T {
        try optional(name, remedy, parse) ?? otherwise
    }

    func optional<T>(_ name: String, _ remedy: String, _ parse: (String) -> T?) throws -> T? {
        guard let text = text(name) else { return nil }
        guard let value = parse(text) else {
            throw failure(
                name,
                "\(flags[name] != nil ? "--\(name)" : Self.variable(name)): \"\(text)\" is not understood; \(remedy)")
        }
        return value
    }

    func failure(_ name: String, _ text: String) -> OperatorFailure {
        flags[name] != nil ? .wrongFlag(text) : .wrongSetting(text)
    }
}
