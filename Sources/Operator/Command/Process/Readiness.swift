import Synchronization

/// The checks behind a probe.
final class Readiness: Sendable {
    /// Why it fails; nil: it passes.
    typealias Check = @Sendable () -> String?

    private let checks = Mutex<[(name: String, failure: Check)]>([])

    func add(_ name: String, _ check: @escaping Check) { checks.withLock { $0.append((name, check)) } }

    /// - Returns: whether all pass, and a line for each as the API server and controller-runtime write them.
    func evaluate(_ probe: String) -> (isPassed: Bool, report: String) {
        let results = checks.withLock { $0 }.map { ($0.name, $0.failure()) }
        let isPassed = results.allSatisfy { $0.1 == nil }
        let lines = results.map { name, failure in
            failure.map { "[-]\(name) failed: \($0)" } ?? "[+]\(name) ok"
        }
        return (isPassed, (lines + ["\(probe) check \(isPassed ? "passed" : "failed")"]).joined(separator: "\n") + "\n")
    }
}
