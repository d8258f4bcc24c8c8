extension Planner {
    /// A pod that has come since the last Job gets another one no sooner than this after it: pods of a Deployment that
    /// fails are made anew all the time.
    private static let newPodPause: Duration = .seconds(60)

    /// By so much the clocks of API server and operator may differ.
    private static let clockSkew: Duration = .seconds(60)

    /// Takes up which of the pods that wait had a Job at work for them.
    mutating func countTries() {
        let atWork = Set(observed.jobs.filter { $0.isUnfinished && !$0.isDeleting }.map(\.node))
        var tried: [String: Set<String>] = [:]
        for (node, pods) in waitingPods {
            let here = atWork.contains(node) ? pods : pods.filter { isTried($0) }
            if !here.isEmpty { tried[node] = Set(here.map(\.uid)) }
        }
        memory.triedPods = tried
    }

    private func isTried(_ pod: WaitingPod) -> Bool { memory.triedPods[pod.node]?.contains(pod.uid) ?? false }

    /// When a node is given the next Job after one that ended without success, or whose copy was lost. A person who
    /// mends the cause makes the pods anew, and these wait no longer than a minute.
    func nextTry(on node: String, _ spec: CacheSpec, after end: WallTime, backoff: Duration) -> WallTime {
        // Another operator's Jobs are no memory of this one's: pods from before them are not new either.
        let hasNewPod =
            spec.isReadByJobs
            && waitingPods[node]?.contains { pod in
                !isTried(pod) && pod.boundAt.map { end - $0 < Self.clockSkew } ?? true
            } ?? false
        return end + (hasNewPod ? min(backoff, Self.newPodPause) : backoff)
    }
}
