internal import StoreHost

/// The reasons why a ModelCache is not ready, in plain words, the likeliest first.
public struct Why: Sendable, Equatable {
    public struct Finding: Sendable, Equatable {
        /// A sentence without its full stop.
        public var text: String
        /// The remedy; nil where waiting is right.
        public var remedy: String?
    }

    /// One line that answers the question.
    public var answer: String
    public var findings: [Finding]
    public var isReady: Bool

    public init(_ seen: WhyObservation) {
        let model = seen.model
        var findings = Self.deletion(model)
        findings += Self.spec(model)
        findings += Self.operatorFindings(seen)
        findings += Self.source(seen)
        findings += Self.progress(model)
        findings += WhyNodes.findings(seen)
        findings += WhyPods.findings(seen)
        let ready =
            model.status?.condition(.ready)?.status == .true && Self.isCurrent(model)
            && model.metadata.deletionTimestamp == nil
        if ready {
            // Former failures do not matter any more; problems of the spec or of a condition do.
            findings = findings.filter { $0.remedy != nil }
        } else {
            findings += Self.warnings(seen, known: findings)
        }
        self.findings = Self.unique(findings)
        self.isReady = ready
        self.answer = Self.answer(model, ready: ready, findings: self.findings)
    }

    /// The page for a terminal or a pipe.
    public func lines(blindSpots: [String] = []) -> [String] {
        var lines = [answer]
        for finding in findings {
            lines.append("  - \(Texts.plain(finding.text)).")
            if let remedy = finding.remedy { lines.append("    To do: \(Texts.plain(remedy)).") }
        }
        return lines + blindSpots.map { "  (not looked at: \(Texts.plain($0)))" }
    }

    private static func isCurrent(_ model: ModelCache) -> Bool {
        guard let generation = model.metadata.generation else { return true }
        return model.status?.observedGeneration.map { $0 >= generation } ?? false
    }

    private static func answer(_ model: ModelCache, ready: Bool, findings: [Finding]) -> String {
        let name = model.metadata.name
        if model.metadata.deletionTimestamp != nil {
            return "\(name) is being deleted" + (findings.isEmpty ? "." : ":")
        }
        if ready {
            let nodes = model.status?.nodes?.ready ?? 0
            return "\(name) is ready on \(nodes) \(nodes == 1 ? "node" : "nodes")" + (findings.isEmpty ? "." : ", but:")
        }
        return findings.isEmpty
            ? "\(name) is not ready, and nothing that can be seen from here holds it back."
            : "\(name) is not ready:"
    }

    private static func deletion(_ model: ModelCache) -> [Finding] {
        guard model.metadata.deletionTimestamp != nil else { return [] }
        let own = "modelcache.io/evict"
        let others = model.metadata.finalizers.filter { $0 != own }
        var findings: [Finding] = []
        if model.metadata.finalizers.contains(own) {
            let detail = model.status?.condition(.ready).map { $0.message.isEmpty ? "" : ": \($0.message)" } ?? ""
            findings.append(Finding(text: "The operator is dropping the copies on its nodes\(detail)", remedy: nil))
        }
        if !others.isEmpty {
            findings.append(
                Finding(
                    text: "Others hold it with the finalizers \(Texts.list(others))", remedy: "ask whoever set them"))
        }
        return findings
    }

    private static func spec(_ model: ModelCache) -> [Finding] {
        model.problems().prefix(5).map { problem in
            let value = problem.value.map { " (\($0))" } ?? ""
            return Finding(text: "\(problem.path)\(value) \(problem.problem)", remedy: problem.remedy)
        }
    }

    private static func operatorFindings(_ seen: WhyObservation) -> [Finding] {
        guard !isCurrent(seen.model) || seen.model.status == nil else { return [] }
        let waiting =
            seen.model.status == nil
            ? "The operator has not looked at it yet" : "The operator has not acted on the last change yet"
        guard let operators = seen.operators else { return [Finding(text: waiting, remedy: nil)] }
        if operators.contains(where: \.isReady) { return [Finding(text: waiting + "; it is running", remedy: nil)] }
        if operators.isEmpty {
            return [
                Finding(
                    text: "No operator runs in the namespace \(seen.systemNamespace)",
                    remedy:
                        "install it (kubectl apply -k config/default), or name its namespace with --system-namespace")
            ]
        }
        return operators.prefix(3).map { pod in
            Finding(
                text: "The operator's pod \(pod.name) is not ready\(WhyNodes.cause(pod))",
                remedy: "kubectl -n \(seen.systemNamespace) describe pod \(pod.name)")
        }
    }

    private static func source(_ seen: WhyObservation) -> [Finding] {
        var findings: [Finding] = []
        let name = seen.model.spec.source.credentials?.secretRef?.name ?? ""
        let namespace = seen.model.metadata.namespace ?? "default"
        switch seen.secret {
        case .missing:
            findings.append(
                Finding(
                    text: "The Secret \(name) is missing in the namespace \(namespace)",
                    remedy: "kubectl -n \(namespace) create secret generic \(name) "
                        + "--from-literal=OSS_ACCESS_KEY_ID=… --from-literal=OSS_ACCESS_KEY_SECRET=…"))
        case .keys(let keys):
            for (wanted, label) in [(SecretKeys.accessKeyID, "id"), (SecretKeys.accessKeySecret, "secret")]
            where wanted.allSatisfy({ !keys.contains($0) }) {
                findings.append(
                    Finding(
                        text: "The Secret \(name) has no access key \(label): none of \(Texts.list(wanted))",
                        remedy: "add the key \(wanted[0])"))
            }
        case .notNeeded, .hidden:
            break
        }
        guard let condition = seen.model.status?.condition(.sourceResolved), condition.status != .true else {
            return findings
        }
        switch ConditionReason(rawValue: condition.reason) {
        case .secretNotFound where !findings.isEmpty, .secretInvalid where !findings.isEmpty:
            break
        case .resolving:
            findings.append(Finding(text: "The operator is listing \(seen.model.spec.source.uri)", remedy: nil))
        case let reason:
            let remedy = reason.flatMap { sourceRemedy($0, seen.model.spec.source.credentials) }
            findings.append(
                Finding(
                    text: "The source cannot be read (\(condition.reason)): \(condition.message)",
                    remedy: remedy ?? "see the message; the operator tries again by itself"))
        }
        return findings
    }

    private static func accessRemedy(_ credentials: SourceCredentials?) -> String {
        let rights = "the rights to list and read the prefix (oss:ListObjects, oss:GetObject)"
        if let secret = credentials?.secretRef { return "give the key in the Secret \(secret.name) \(rights)" }
        if let role = credentials?.serviceAccount {
            guard let arn = role.roleARN else {
                return "give the role that the cluster gives the ServiceAccount \(role.name) \(rights)"
            }
            return "give the role \(arn) \(rights), and let its trust policy name the ServiceAccount \(role.name)"
        }
        if credentials?.node != nil { return "give the nodes' role \(rights)" }
        return "set spec.source.credentials, or let the bucket be read by anyone"
    }

    private static func sourceRemedy(_ reason: ConditionReason, _ credentials: SourceCredentials?) -> String? {
        switch reason {
        case .accessDenied: accessRemedy(credentials)
        case .noSuchBucket:
            "check spec.source.region and endpoint; for another bucket make a new ModelCache, since uri is immutable"
        case .sourceEmpty: "check the prefix and spec.source.include, or upload the model"
        case .endpointUnreachable:
            "check endpoint and region, and that the cluster reaches it (an -internal endpoint works only in its region)"
        case .objectsUnreadable:
            "restore the named objects, or leave them out with spec.source.include in a new ModelCache"
        case .clockSkewed: "set the clock of the node the operator runs on (chrony, NTP)"
        case .sourceImmutable: "put spec.source.uri and include back, or make a new ModelCache"
        case .digestMismatch:
            "put the objects back, or set spec.source.digest to what status.source.digest should become"
        case .mediumImmutable: "put spec.cache.medium back, or make a new ModelCache"
        default: nil
        }
    }

    /// Of `CapacityExceeded`: of nodes, or of the namespace's quota.
    private static func lack(_ condition: Condition) -> Finding {
        if condition.reason == ConditionReason.namespaceQuotaExceeded.rawValue {
            return Finding(
                text: "The quota of its namespace has no capacity for it: \(condition.message)",
                remedy: "compare kubectl get modelcaches with kubectl describe resourcequota")
        }
        return Finding(
            text: "The nodes have too little capacity for it: \(condition.message)",
            remedy:
                "delete a ModelCache that is not needed, give the agents more memory, or use spec.cache.medium: Disk")
    }

    private static func progress(_ model: ModelCache) -> [Finding] {
        guard let status = model.status, model.metadata.deletionTimestamp == nil else { return [] }
        var findings: [Finding] = []
        if model.spec.suspend {
            findings.append(
                Finding(
                    text: "It is suspended: no new node is warmed",
                    remedy:
                        "kubectl patch modelcache \(model.metadata.name) --type=merge -p '{\"spec\":{\"suspend\":false}}'"
                ))
        }
        if let condition = status.condition(.progressing), condition.reason == ConditionReason.noMatchingNodes.rawValue
        {
            findings.append(
                Finding(
                    text: "No node matches spec.placement: \(condition.message)",
                    remedy: "compare nodeSelector, affinity and tolerations with kubectl get nodes --show-labels"))
        }
        if let condition = status.condition(.capacityExceeded), condition.status == .true {
            findings.append(lack(condition))
        }
        if let condition = status.condition(.degraded), condition.status == .true {
            findings.append(Finding(text: "It is degraded (\(condition.reason)): \(condition.message)", remedy: nil))
        }
        if let nodes = status.nodes, nodes.ready < nodes.desired, let progress = status.progress,
            progress.bytesTotal > 0
        {
            let left = progress.remainingSeconds.map { ", about \(Texts.duration($0)) left" } ?? ""
            let speed = progress.bytesPerSecond > 0 ? " at \(Texts.bytes(progress.bytesPerSecond))/s" : ""
            findings.append(
                Finding(
                    text:
                        "\(nodes.ready) of \(nodes.desired) nodes have it, \(progress.percent)% of the bytes are there\(speed)\(left)",
                    remedy: nil))
        }
        return findings
    }

    private static func warnings(_ seen: WhyObservation, known: [Finding]) -> [Finding] {
        seen.warnings.filter { warning in !known.contains { $0.text.contains(warning.message) } }.prefix(5).map {
            warning in
            let times = warning.count > 1 ? ", \(warning.count) times" : ""
            let age = warning.age.map { ", \(Texts.duration($0)) ago" } ?? ""
            return Finding(text: "Event \(warning.reason)\(age)\(times): \(warning.message)", remedy: nil)
        }
    }

    private static func unique(_ findings: [Finding]) -> [Finding] {
        var seen: Set<String> = []
        return findings.filter { seen.insert($0.text).inserted }
    }
}
