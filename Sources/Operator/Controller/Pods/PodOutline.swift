public import Kubernetes

/// A pod's metadata and phase: what tells whether the webhook saw it.
public typealias PodOutline = Outline<Pod, PodPhase>

/// Of a pod's status.
public struct PodPhase: Codable, Sendable, Hashable {
    public var phase: String?

    public init(phase: String? = nil) { self.phase = phase }
}
