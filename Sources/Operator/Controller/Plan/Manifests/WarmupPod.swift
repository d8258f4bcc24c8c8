internal import CRD
internal import Kubernetes

/// The parts of a warm-up pod that a ``PodTemplate`` decides.
enum WarmupPod {
    private static let standardUser: Int64 = 65532

    /// A pod that only waits for the node's agent needs no proxy, and a sidecar that never ends would keep its Job from
    /// ending. Each injector has its own way to be told; a template may say otherwise.
    static let injectorLabels = [
        // https://istio.io/latest/docs/setup/additional-setup/sidecar-injection/
        "sidecar.istio.io/inject": "false",
        // https://kuma.io/docs/latest/production/dp-config/dpp-on-kubernetes/
        "kuma.io/sidecar-injection": "disabled",
        // https://docs.datadoghq.com/containers/cluster_agent/admission_controller/
        "admission.datadoghq.com/enabled": "false",
    ]
    static let injectorAnnotations = [
        // The label's former name.
        "sidecar.istio.io/inject": "false",
        // https://linkerd.io/2/features/proxy-injection/
        "linkerd.io/inject": "disabled",
        // https://developer.hashicorp.com/consul/docs/k8s/annotations-and-labels
        "consul.hashicorp.com/connect-inject": "false",
        // https://docs.aws.amazon.com/app-mesh/latest/userguide/getting-started-kubernetes.html
        "appmesh.k8s.aws/sidecarInjectorWebhook": "disabled",
    ]

    /// The labels by which the operator finds its own win over a template's.
    static func labels(_ pods: PodTemplate, owner: Owner) -> [String: String] {
        injectorLabels.merging(pods.labels) { $1 }.merging(owner.labels) { $1 }
    }

    static func annotations(_ pods: PodTemplate, owner: Owner, node: String) -> [String: String] {
        injectorAnnotations.merging(pods.annotations) { $1 }
            .merging([Names.nameAnnotation: owner.name, Names.nodeAnnotation: node]) { $1 }
    }

    static func user(_ pods: PodTemplate) -> Int64? { pods.securityContext.map(\.runAsUser) ?? standardUser }

    static func group(_ pods: PodTemplate) -> Int64? { pods.securityContext.map(\.runAsGroup) ?? standardUser }

    static func securityContext(_ pods: PodTemplate) -> PodSecurityContext {
        PodSecurityContext(
            runAsNonRoot: true, runAsUser: user(pods), runAsGroup: group(pods), fsGroup: pods.securityContext?.fsGroup,
            supplementalGroups: pods.securityContext?.supplementalGroups,
            seccompProfile: SeccompProfile(type: "RuntimeDefault"))
    }

    static func resources(_ pods: PodTemplate) -> ResourceRequirements {
        guard let resources = pods.resources else {
            return ResourceRequirements(requests: ["cpu": "10m", "memory": "32Mi"], limits: ["memory": "128Mi"])
        }
        func amounts(_ all: [String: CRD.Quantity]) -> [String: Kubernetes.Quantity]? {
            all.isEmpty ? nil : all.mapValues { Kubernetes.Quantity(stringLiteral: $0.text) }
        }
        return ResourceRequirements(requests: amounts(resources.requests), limits: amounts(resources.limits))
    }

    static func pullSecrets(_ pods: PodTemplate) -> [LocalObjectReference]? {
        pods.imagePullSecrets.isEmpty ? nil : pods.imagePullSecrets.map { LocalObjectReference(name: $0.name) }
    }

    static func tolerations(
        _ pods: PodTemplate, placement: PlacementRules, ofNode own: [Kubernetes.Toleration] = []
    ) -> [Kubernetes.Toleration]? {
        let all = placement.tolerations + pods.tolerations.map(Kubernetes.Toleration.init) + own
        return all.isEmpty ? nil : all
    }
}

extension Kubernetes.Toleration {
    init(_ toleration: CRD.Toleration) {
        self.init(
            key: toleration.key, operator: toleration.operator?.rawValue, value: toleration.value,
            effect: toleration.effect?.rawValue,
            tolerationSeconds: toleration.tolerationSeconds)
    }
}
