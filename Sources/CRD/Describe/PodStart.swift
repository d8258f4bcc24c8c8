/// The time from a pod's creation until it is ready, cut into phases.
///
/// **Guarantees.** Phases follow each other without gap or overlap: their sum is ``seconds``, for any moments.
///
/// **Algorithm.** Each phase ends at a moment that the API tells. A moment that it does not tell ends no phase: its
/// time counts to the next one. API server, scheduler and kubelet write moments by their own clocks, in full seconds.
/// A moment that lies before the one that precedes it is moved up to that one, so no phase is negative; the largest
/// such move is ``skewSeconds``. The lead of a node's clock cannot be seen: it counts to the first phase that the
/// kubelet ends.
public struct PodStart: Encodable, Sendable, Equatable {
    /// In the order of a start. Conditions: https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/
    public enum Step: String, Encodable, Sendable, CaseIterable {
        /// Until the condition PodScheduled.
        case scheduling
        /// Volumes are mounted and the sandbox is made, until PodReadyToStartContainers (Kubernetes 1.29 and later).
        case volumesAndSandbox
        /// Init containers with their images, until Initialized. With `mode: Wait` the model is loaded here.
        case initContainers
        /// Images are pulled and containers made, until the last container runs.
        case containers
        /// The program starts and reads its model, until Ready.
        case loading
    }

    /// The end of a step, as the API tells it.
    public enum Moment: Sendable, Equatable {
        /// Seconds since 1970.
        case at(Int64)
        /// It will be told.
        case ahead
        /// This cluster or this pod has no such moment.
        case untold
    }

    public struct Phase: Encodable, Sendable, Equatable {
        public var step: Step
        public var seconds: Int64

        public init(step: Step, seconds: Int64) {
            self.step = step
            self.seconds = seconds
        }
    }

    public var pod: String
    public var node: String?
    /// From the creation until the pod was ready; until now when it is not.
    public var seconds: Int64
    public var phases: [Phase]
    /// The last of ``phases``, when the pod is not ready.
    public var underWay: Step?
    /// Of all containers. After a restart, ``Step/containers`` ends with the last start of a container.
    public var restarts: Int
    public var skewSeconds: Int64
    /// Nil: the agent has no record of this start.
    public var reading: Reading?
    /// In seconds since 1970.
    let created: Int64

    private enum CodingKeys: CodingKey {
        case pod, node, seconds, phases, underWay, restarts, skewSeconds, reading
    }

    /// - Parameters:
    ///   - created: the pod's creation, in seconds since 1970.
    ///   - ends: the moment at which each step ends; one that is left out is untold.
    ///   - now: ends the phase of a pod that is not ready.
    public init(
        pod: String, node: String?, created: Int64, ends: [Step: Moment], now: Int64, restarts: Int = 0
    ) {
        self.pod = pod
        self.node = node
        self.restarts = restarts
        self.created = created
        phases = []
        skewSeconds = 0
        var last = created
        for step in Step.allCases {
            let end: Int64
            switch ends[step] ?? .untold {
            case .untold: continue
            case .at(let moment): end = moment
            case .ahead:
                underWay = step
                end = now
            }
            skewSeconds = max(skewSeconds, last - end)
            phases.append(Phase(step: step, seconds: max(0, end - last)))
            last = max(last, end)
            if underWay != nil { break }
        }
        seconds = last - created
    }
}
