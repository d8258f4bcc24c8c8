import CRD
import Foundation
import Kubernetes

/// Reads the objects that `Why` needs. Only the ModelCache itself must be readable.
struct Observation {
    let client: KubernetesClient
    let systemNamespace: String

    func look(_ key: ObjectKey) async throws -> WhyObservation {
        let model = try await client.get(ModelCache.self, key)
        var blindSpots: [String] = []
        var seen = WhyObservation(model: model, systemNamespace: systemNamespace)

        if let name = model.spec.source.credentials?.secretRef?.name {
            seen.secret = await secret(ObjectKey(namespace: key.namespace, name: name), &blindSpots)
        }
        seen.agents = await pods(in: systemNamespace, "app.kubernetes.io/name=modelcache-agent", "agents", &blindSpots)?
            .map { Self.state($0) }
        seen.operators = await pods(
            in: systemNamespace, "app.kubernetes.io/name=modelcache-operator", "the operator", &blindSpots)?
            .map { Self.state($0) }

        let selector = "modelcache.io/uid=\(model.uid)"
        let jobs = await list(Job.self, in: key.namespace, selector, "Jobs", &blindSpots) ?? []
        // The Job controller labels pods with their Job's name.
        let jobPods = jobs.isEmpty ? [] : await pods(in: key.namespace, "job-name", "the Jobs' pods", &blindSpots) ?? []
        let podsByJob = Dictionary(grouping: jobPods) { $0.metadata.labels?["job-name"] ?? "" }
        seen.warmups = jobs.map { Self.warmup($0, podsByJob[$0.objectKey.name] ?? []) }.sorted { $0.node < $1.node }
        seen.unservedPods = await unservedPods(key, &blindSpots)
        seen.warnings = await warnings(model, jobs: Set(jobs.map(\.uid)), &blindSpots)
        seen.blindSpots = blindSpots
        return seen
    }

    private func secret(_ key: ObjectKey, _ blindSpots: inout [String]) async -> WhyObservation.Secret {
        do {
            guard let secret = try await client.find(Secret.self, key) else { return .missing }
            // A key with an empty value counts as absent.
            return .keys((secret.data ?? [:]).filter { !$0.value.bytes.isEmpty }.keys.sorted())
        } catch {
            blindSpots.append("the Secret \(key.name): \(Self.reason(error))")
            return .hidden
        }
    }

    private func pods(in namespace: String, _ selector: String, _ what: String, _ blindSpots: inout [String]) async
        -> [Pod]?
    {
        await list(Pod.self, in: namespace, selector, what, &blindSpots)
    }

    private func list<Resource: KubernetesResource>(
        _ type: Resource.Type, in namespace: String, _ selector: String, _ what: String, _ blindSpots: inout [String]
    ) async -> [Resource]? {
        do {
            return try await client.listAll(type, in: namespace, ListOptions(labelSelector: selector)).items
        } catch {
            blindSpots.append("\(what): \(Self.reason(error))")
            return nil
        }
    }

    private func unservedPods(_ key: ObjectKey, _ blindSpots: inout [String]) async -> [WhyObservation.UnservedPod] {
        // A longer name does not fit into a label.
        guard key.name.utf8.count <= 63 else { return [] }
        let named =
            await pods(in: key.namespace, "\(InjectionMark.label)=\(key.name)", "pods that name it", &blindSpots) ?? []
        return named.compactMap { pod in
            let annotations = pod.metadata.annotations ?? [:]
            let isOver =
                pod.status?.phase == "Succeeded" || pod.status?.phase == "Failed"
                || pod.metadata.deletionTimestamp != nil
            guard !isOver, annotations[InjectionMark.injected] == nil else { return nil }
            let controller = pod.metadata.ownerReferences?.first { $0.controller == true }
            return WhyObservation.UnservedPod(
                name: pod.objectKey.name, status: annotations[InjectionMark.status],
                controller: controller.map { "\($0.kind) \($0.name)" })
        }
    }

    private func warnings(
        _ model: ModelCache, jobs: Set<String>, _ blindSpots: inout [String]
    ) async -> [WhyObservation.Warning] {
        do {
            let events = try await client.listAll(
                Event.self, in: model.metadata.namespace, ListOptions(fieldSelector: "type=Warning")
            ).items
            let now = Date().timeIntervalSince1970
            return events.filter { event in
                let uid = event.involvedObject.uid ?? ""
                return uid == model.uid || jobs.contains(uid)
            }.map { event in
                let seenLast =
                    event.series?.lastObservedTime.map { Double($0.date.timeIntervalSince1970) }
                    ?? event.lastTimestamp.map { Double($0.secondsSinceEpoch) }
                    ?? event.eventTime.map { $0.date.timeIntervalSince1970 }
                return WhyObservation.Warning(
                    reason: event.reason ?? "Warning", message: event.message ?? "",
                    count: Int(event.series?.count ?? event.count ?? 1), age: seenLast.map { max(0, Int64(now - $0)) })
            }.sorted { ($0.age ?? .max) < ($1.age ?? .max) }
        } catch {
            blindSpots.append("Events: \(Self.reason(error))")
            return []
        }
    }

    private static func reason(_ error: any Error) -> String {
        guard let error = error as? KubernetesError else { return "\(error)" }
        return error.isForbidden ? "you are not allowed to" : "\(error)"
    }

    private static func warmup(_ job: Job, _ pods: [Pod]) -> WhyObservation.Warmup {
        let newest = pods.max {
            ($0.metadata.creationTimestamp?.secondsSinceEpoch ?? 0)
                < ($1.metadata.creationTimestamp?.secondsSinceEpoch ?? 0)
        }
        let finished = job.finished
        var warmup = WhyObservation.Warmup(
            name: job.objectKey.name, node: job.metadata.annotations?["modelcache.io/node"] ?? "",
            failure: finished?.type == "Failed" ? (finished?.reason ?? "Failed", finished?.message ?? "") : nil,
            isComplete: finished?.type == "Complete", failedPods: Int(job.status?.failed ?? 0),
            pod: newest.map { state($0) })
        warmup.isSuspended =
            job.status?.conditions?.contains { $0.type == "Suspended" && $0.status == "True" } ?? false
        return warmup
    }

    /// The reason and the message that tell why a pod does not run.
    static func state(_ pod: Pod) -> WhyObservation.PodState {
        var state = WhyObservation.PodState(
            name: pod.objectKey.name, node: pod.spec?.nodeName, isReady: pod.isReady,
            phase: pod.status?.phase ?? "Pending",
            reason: pod.status?.reason, message: pod.status?.message)
        let containers = (pod.status?.initContainerStatuses ?? []) + (pod.status?.containerStatuses ?? [])
        state.restarts = containers.reduce(0) { $0 + Int($1.restartCount ?? 0) }
        if let condition = pod.status?.conditions?.first(where: { $0.type == "PodScheduled" && $0.status == "False" }) {
            state.reason = condition.reason ?? "Unschedulable"
            state.message = condition.message
        } else if let waiting = containers.compactMap({ $0.state?.waiting }).first(where: {
            $0.reason != "ContainerCreating" && $0.reason != "PodInitializing"
        }) {
            state.reason = waiting.reason
            // A crashed container has its message in its last state.
            state.message = containers.compactMap { $0.lastState?.terminated?.message }.first ?? waiting.message
        } else if let ended = containers.compactMap({ $0.state?.terminated }).first(where: { $0.exitCode != 0 }) {
            state.reason = "\(ended.reason ?? "Error"), exit code \(ended.exitCode)"
            state.message = ended.message.map { String($0.suffix(300)) }
        }
        return state
    }
}
