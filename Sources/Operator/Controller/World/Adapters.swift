internal import AgentAPI
public import CRD
public import Kubernetes

extension ModelCache: KubernetesResource {
    public static var group: String { APIGroup.group }
    public static var version: String { APIGroup.version }
    public static var plural: String { APIGroup.plural }
    public static var kind: String { APIGroup.kind }
    public static var scope: ResourceScope { .namespaced }

    public var objectKey: ObjectKey { ObjectKey(namespace: metadata.namespace ?? "", name: metadata.name) }
    public var resourceVersion: String { metadata.resourceVersion ?? "" }
    public var uid: String { metadata.uid ?? "" }
}

extension ModelCache {
    /// The resource version as a number, 0 when it is none.
    var version: UInt64 { UInt64(resourceVersion) ?? 0 }

    /// What an Event about it refers to.
    var reference: Kubernetes.ObjectReference {
        ObjectReference(
            apiVersion: Owner.apiVersion, kind: Owner.kind, namespace: metadata.namespace, name: metadata.name, uid: metadata.uid,
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
                uri: spec.source.uri, endpoint: spec.source.endpoint, region: spec.source.region, include: spec.source.include),
            secretName: spec.source.credentialsSecretRef?.name, placement: PlacementRules(spec.placement),
            seeders: max(0, spec.placement.seeders), isEager: spec.warmup.mode == .eager,
            parallelism: max(1, spec.warmup.parallelism), backoffLimit: max(0, spec.warmup.backoffLimit),
            activeDeadlineSeconds: spec.warmup.activeDeadlineSeconds, bandwidthLimit: spec.warmup.bandwidthLimit?.bytes,
            medium: CacheDefinition.Medium(spec.cache.medium), idleSeconds: max(0, spec.cache.idleSeconds),
            isSuspended: spec.suspend, fingerprint: SourceFingerprint.of(spec.source))
    }
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
                    requiredDuringSchedulingIgnoredDuringExecution: affinity.requiredDuringSchedulingIgnoredDuringExecution.map {
                        Kubernetes.NodeSelector(nodeSelectorTerms: $0.nodeSelectorTerms.map { Kubernetes.NodeSelectorTerm($0) })
                    },
                    preferredDuringSchedulingIgnoredDuringExecution: affinity.preferredDuringSchedulingIgnoredDuringExecution.map {
                        Kubernetes.PreferredSchedulingTerm(
                            weight: Int32(clamping: $0.weight), preference: Kubernetes.NodeSelectorTerm($0.preference))
                    })
            },
            tolerations: placement.tolerations.map {
                Kubernetes.Toleration(
                    key: $0.key, operator: $0.operator?.rawValue, value: $0.value, effect: $0.effect?.rawValue,
                    tolerationSeconds: $0.tolerationSeconds)
            })
    }
}

extension Kubernetes.NodeSelectorTerm {
    fileprivate init(_ term: CRD.NodeSelectorTerm) {
        func requirements(_ all: [CRD.NodeSelectorRequirement]) -> [Kubernetes.NodeSelectorRequirement]? {
            all.isEmpty ? nil : all.map {
                Kubernetes.NodeSelectorRequirement(
                    key: $0.key, operator: $0.operator.rawValue, values: $0.values.isEmpty ? nil : $0.values)
            }
        }
        self.init(
            matchExpressions: requirements(term.matchExpressions), matchFields: requirements(term.matchFields))
    }
}

extension Observed {
    /// What a plan needs of a ModelCache itself; the world is filled in by the caller.
    init(_ cache: ModelCache, uid: String, spec: SpecReading, memory: Memory, image: String) {
        let status = cache.status
        var recorded = Recorded(generation: status?.observedGeneration, seeders: status?.seeders ?? [])
        if let source = status?.source, let digest = source.digest, let hash = source.resolvedSpecHash {
            recorded.sourceHash = hash
            recorded.source = ResolvedSource(totalBytes: max(0, source.totalBytes), files: source.files, digest: digest)
            recorded.region = source.region
        }
        recorded.medium = status?.medium.map { CacheDefinition.Medium($0) }
        self.init(
            owner: Owner(namespace: cache.metadata.namespace ?? "", name: cache.metadata.name, uid: uid),
            generation: cache.metadata.generation ?? 0, hasFinalizer: cache.metadata.finalizers.contains(Names.finalizer),
            deletedAt: cache.metadata.deletionTimestamp.map { WallTime(rfc3339: $0) ?? .now },
            evictionRequest: EvictionRequest.wish(on: cache), spec: spec, recorded: recorded, memory: memory, image: image)
    }
}

extension EvictionRequest {
    /// A value that nobody understands is a request for nothing: it is cleared away.
    static func wish(on cache: ModelCache) -> EvictionWish? {
        guard let text = cache.metadata.annotations[annotationKey] else { return nil }
        guard let request = EvictionRequest(annotation: text) else { return EvictionWish(node: "", text: text) }
        return EvictionWish(node: request.node, text: text)
    }
}
