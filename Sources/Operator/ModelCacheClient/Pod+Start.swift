public import CRD
public import Kubernetes

extension Pod {
    /// How long it took to be ready, from its status.
    ///
    /// - Parameters:
    ///   - now: ends the phase of a pod that is not ready.
    ///   - reading: of the agent on its node; cuts the phase in which it loads its model.
    /// - Returns: nil for one that is over: it is not ready, and nothing of it goes on.
    public func start(now: Timestamp, _ reading: PodReading?) -> PodStart? {
        guard let created = metadata.creationTimestamp, status?.phase != "Succeeded", status?.phase != "Failed" else {
            return nil
        }
        let containers = status?.containerStatuses ?? []
        let starts = containers.compactMap { $0.state?.running?.startedAt }
        // Before every container runs, or while one is made again, none of these moments is the last.
        let allRun = !starts.isEmpty && starts.count == spec?.containers.count
        let hasInitContainers = !(spec?.initContainers ?? []).isEmpty
        var start = PodStart(
            pod: objectKey.name, node: spec?.nodeName, created: created.secondsSinceEpoch,
            ends: [
                .scheduling: end("PodScheduled", absent: .ahead),
                .volumesAndSandbox: end("PodReadyToStartContainers", absent: .untold),
                .initContainers: hasInitContainers ? end("Initialized", absent: .ahead) : .untold,
                .containers: allRun ? starts.max().map { .at($0.secondsSinceEpoch) } ?? .ahead : .ahead,
                .loading: end("Ready", absent: .ahead),
            ],
            now: now.secondsSinceEpoch,
            restarts: (containers + (status?.initContainerStatuses ?? [])).reduce(0) { $0 + Int($1.restartCount ?? 0) })
        if let reading {
            start.cut(InjectionMark.waits(metadata.annotations ?? [:]) ? .initContainers : .loading, by: reading)
        }
        return start
    }

    private func end(_ type: String, absent: PodStart.Moment) -> PodStart.Moment {
        guard let condition = status?.conditions?.first(where: { $0.type == type }) else { return absent }
        guard condition.status == "True", let moment = condition.lastTransitionTime else { return .ahead }
        return .at(moment.secondsSinceEpoch)
    }
}
