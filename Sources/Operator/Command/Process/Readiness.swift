import Synchronization

/// The checks behind a probe.
final class Readiness: Sendable {
    typealias Check = @Sendable () -> Bool

    private let checks = Mutex<[(name: String, isPassed: Check)]>([])

    func add(_ name: String, _ check: @escaping Check) {
        checks.withLock { $0.append((name, check)) }
    }

    /// - Returns: whether all pass, and a line for each as the API server and controller-runtime write them.
    func evaluate(_ probe: String) -> (isPassed: Bool, report: String) {
        let results = checks.withLock { $0 }.map { ($0.name, $0.isPassed()) }
        let isPassed = results.allSatisfy(\.1)
        let lines = results.map { $0.1 ? "[+]\($0.0) ok" : "[-]\($0.0) failed" }
        return (isPassed, (lines + ["\(probe) check \(isPassed ? "passed" : "failed")"]).joined(separator: "\n") + "\n")
    }
}
