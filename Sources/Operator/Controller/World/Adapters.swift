internal import AgentAPI
package import CRD
internal import Kubernetes
internal import ModelCacheClient

extension ModelCache {
    /// The reference that an Event about it carries.
    var reference: Kubernetes.ObjectReference {
        ObjectReference(
            apiVersion: Owner.apiVersion, kind: Owner.kind, namespace: metadata.namespace, name: metadata.name,
            uid: metadata.uid,
            resourceVersion: metadata.resourceVersion)
    }

    func reading(_ policy: ValidationPolicy) -> Observed.SpecReading {
        let problems = problems(policy)
        guard problems.isEmpty else { return .invalid(FieldProblem.summary(of: problems)) }
        return .valid(CacheSpec(spec))
    }
}

extension CacheSpec {
    /// Of a spec without problems.
    init(_ spec: ModelCacheSpec) {
        self.init(
            source: CacheDefinition.Source(
                uri: spec.source.uri, endpoint: spec.source.endpoint, region: spec.source.region,
                include: spec.source.include,
                addressing: spec.source.addressing?.rawValue, requesterPays: spec.source.requesterPays,
                role: spec.source.credentials.flatMap { SourceRole($0) },
                needsKeys: spec.source.credentials.flatMap { $0.bringsKeys ? true : nil }),
            secretName: spec.source.credentials?.secretRef?.name, placement: PlacementRules(spec.placement),
            seeders: max(0, spec.placement.seeders), isEager: spec.effectiveMode == .eager,
            parallelism: max(1, spec.warmup.parallelism), backoffLimit: max(0, spec.warmup.backoffLimit),
            activeDeadlineSeconds: spec.warmup.activeDeadlineSeconds,
            maxBytesPerSecond: spec.warmup.maxBytesPerSecond?.bytes,
            medium: CacheDefinition.Medium(spec.cache.medium), idleSeconds: max(0, spec.cache.idleSeconds ?? 0),
            isSuspended: spec.suspend)
        podTemplate = spec.warmup.podTemplate ?? PodTemplate()
        pinnedDigest = spec.source.digest
        givenTo = spec.source.credentials.flatMap { $0.bringsKeys ? $0.serviceAccount?.name : nil }
    }
}

extension SourceCredentials {
    /// Jobs hand keys to the agents: those of a Secret, or of the role that the cluster gives their pods.
    fileprivate var bringsKeys: Bool { secretRef != nil || serviceAccount.map { $0.roleARN == nil } ?? false }
}

extension CacheDefinition.Medium {
    init(_ medium: Cache.Medium) {
        switch medium {
        case .memory: self = .memory
        case .disk: self = .disk
        }
    }
}

extension PlacementRules {
    init(_ placement: Placement) {
        self.init(
            nodeSelector: placement.nodeSelector,
            affinity: placement.affinity?.nodeAffinity.map { affinity in
                Kubernetes.NodeAffinity(
                    requiredDuringSchedulingIgnoredDuringExecution: affinity
                        .requiredDuringSchedulingIgnoredDuringExecution.map {
                            Kubernetes.NodeSelector(
                                nodeSelectorTerms: $0.nodeSelectorTerms.map { Kubernetes.NodeSelectorTerm($0) })
                        },
                    preferredDuringSchedulingIgnoredDuringExecution: affinity
                        .preferredDuringSchedulingIgnoredDuringExecution.map {
                            Kubernetes.PreferredSchedulingTerm(
                                weight: Int32(clamping: $0.weight),
                                preference: Kubernetes.NodeSelectorTerm($0.preference))
                        })
            },
            tolerations: placement.tolerations.map(Kubernetes.Toleration.init))
    }
}

extension Kubernetes.NodeSelectorTerm {
    fileprivate init(_ term: CRD.NodeSelectorTerm) {
        func requirements(_ all: [CRD.NodeSelectorRequirement]) -> [Kubernetes.NodeSelectorRequirement]? {
            all.isEmpty
                ? nil
                : all.map {
                    Kubernetes.NodeSelectorRequirement(
                        key: $0.key, operator: $0.operator.rawValue, values: $0.values.isEmpty ? nil : $0.values)
                }
        }
        self.init(
            matchExpressions: requirements(term.matchExpressions), matchFields: requirements(term.matchFields))
    }
}

extension Observed {
    /// The facts that a plan needs about a ModelCache itself; the caller fills in the rest of the observed state.
    init(_ cache: ModelCache, uid: String, spec: SpecReading, memory: Memory, image: String) {
        let status = cache.status
        var recorded = Recorded(generation: status?.observedGeneration, seeders: status?.seeders ?? [])
        if let source = status?.source, let digest = source.digest, let hash = source.fingerprint {
            recorded.fingerprint = hash
            recorded.source = ResolvedSource(totalBytes: max(0, source.totalBytes), files: source.files, digest: digest)
            recorded.region = source.region
        }
        recorded.medium = status?.medium.map { CacheDefinition.Medium($0) }
        recorded.setFailure(status)
        recorded.setCopies(status)
        self.init(
            owner: Owner(namespace: cache.metadata.namespace ?? "", name: cache.metadata.name, uid: uid),
            generation: cache.metadata.generation ?? 0,
            hasFinalizer: cache.metadata.finalizers.contains(Finalizer.name),
            deletedAt: cache.metadata.deletionTimestamp.map { WallTime(rfc3339: $0) ?? .now },
            evictionRequest: EvictionRequest.requested(on: cache), spec: spec, recorded: recorded, memory: memory,
            image: image)
        evictionBegun = cache.metadata.annotations[EvictionRequest.begunKey]
        forcesEviction = cache.metadata.annotations[EvictionRequest.forceKey] == "true"
    }
}

extension Observed.Recorded {
    package mutating func setFailure(_ status: ModelCacheStatus?) {
        failure = status?.condition(.sourceResolved).flatMap { told in
            guard told.status == .false else { return nil }
            return SourceFailure.Reason(rawValue: told.reason).map { SourceFailure($0, told.message) }
        }
    }

    /// A status of an earlier release names the ready nodes alone.
    package mutating func setCopies(_ status: ModelCacheStatus?) {
        copies = status?.copies ?? WarmNodes.recorded(status).sorted()
        departed = status?.departed
        namesAllCopies = status?.copies.map { $0.count < ModelCacheStatus.maximumCopies } ?? false
    }
}

extension EvictionRequest {
    /// A value that nobody understands is a request for nothing: it is cleared away.
    static func requested(on cache: ModelCache) -> RequestedEviction? {
        guard let text = cache.metadata.annotations[annotationKey] else { return nil }
        guard let request = EvictionRequest(annotation: text) else { return RequestedEviction(node: "", text: text) }
        return RequestedEviction(node: request.node, text: text)
    }
}

extension SourceRole {
    /// Nil: keys, or nobody.
    init?(_ credentials: SourceCredentials) {
        if let role = credentials.serviceAccount {
            // A role that the cluster gives is the Job's own affair.
            guard let arn = role.roleARN else { return nil }
            self.init(
                assumed: Assumed(
                    serviceAccount: role.name, roleARN: arn, providerARN: role.oidcProviderARN,
                    sessionSeconds: role.sessionSeconds))
        } else if credentials.node != nil {
            self = .ofNode
        } else {
            return nil
        }
    }
}
