import CRD
import Kubernetes
import ModelCacheClient

/// Reads what `starts` and the page of `ui` tell of pods' starts.
struct StartsReading {
    let client: KubernetesClient
    let operators: OperatorReading

    /// The agents' records of the pods that read one ModelCache.
    struct Told {
        /// By pods' uids.
        var readings: [String: PodReading] = [:]
        /// Why some are missing.
        var untold: [String] = []
    }

    /// Those that were given a model, the oldest first.
    ///
    /// - Parameter namespace: nil: all.
    func pods(in namespace: String?) async throws -> [Pod] {
        let now = Timestamp.now
        return try await client.listAll(Pod.self, in: namespace, ListOptions(labelSelector: InjectionMark.label)).items
            .filter { !InjectionMark.cacheUIDs($0.metadata.annotations ?? [:]).isEmpty }
            .sorted { $0.age(now) == $1.age(now) ? $0.objectKey < $1.objectKey : $0.age(now) > $1.age(now) }
    }

    static func reads(_ pod: Pod, _ model: ModelCache) -> Bool {
        InjectionMark.cacheUIDs(pod.metadata.annotations ?? [:]).contains(model.uid)
    }

    /// The pods' phases are told without it.
    func told(of model: ModelCache) async -> Told {
        do {
            let report = try await operators.readings(ofCache: model.uid)
            let silent = report.silent.sorted { $0.key < $1.key }.map {
                Texts.plain("the agent on \($0.key) does not tell what its pods read: \($0.value)")
            }
            return Told(
                readings: Dictionary(
                    report.readings.map { ($0.podUID, $0) }, uniquingKeysWith: { _, last in last }), untold: silent)
        } catch {
            return Told(untold: ["no agent tells what its pods read: \(operators.reason(error))"])
        }
    }
}

extension Pod {
    /// In seconds.
    fileprivate func age(_ now: Timestamp) -> Int64 {
        now.secondsSinceEpoch - (metadata.creationTimestamp ?? now).secondsSinceEpoch
    }
}
