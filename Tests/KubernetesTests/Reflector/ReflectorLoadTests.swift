import Foundation
import Kubernetes
import Synchronization
import Testing

/// Resident memory of this process in bytes.
private func residentBytes() -> Int {
    let fields = (try? String(contentsOfFile: "/proc/self/statm", encoding: .utf8))?.split(separator: " ") ?? []
    return fields.count > 1 ? (Int(fields[1]) ?? 0) * 4_096 : 0
}

private struct Summary: Sendable {
    var finished: Bool
    var uid: String
}

@Suite(.serialized) struct ReflectorLoadTests {
    /// A Job of about 3 KB with a pod template, conditions and managed fields: text before its number, between number and version, and after.
    private static let job: (String, String, String) = {
        let environment = (0..<8).map { #"{"name":"VARIABLE_\#($0)","value":"some value of ordinary length \#($0)"}"# }.joined(separator: ",")
        let fields = (0..<40).map { #""f:field\#($0)":{}"# }.joined(separator: ",")
        let head = #"{"metadata":{"name":"llama-warm-"#
        let middle = #"-0123456789","namespace":"models","uid":"6b1a2c9e-7d7f-4f0e-9a55-0123456789ab","resourceVersion":""#
        let tail = #"","creationTimestamp":"2026-01-01T00:00:00Z","labels":{"modelcache.io/uid":"u","app.kubernetes.io/managed-by":"modelcache-operator"},"annotations":{"modelcache.io/node":"node-1"},"managedFields":[{"manager":"modelcache-operator","operation":"Apply","fieldsType":"FieldsV1","fieldsV1":{"f:metadata":{\#(fields)}}},{"manager":"kube-controller-manager","fieldsV1":{"f:status":{\#(fields)}}}]},"spec":{"parallelism":1,"completions":1,"backoffLimit":6,"selector":{"matchLabels":{"controller-uid":"x"}},"template":{"metadata":{"creationTimestamp":null,"labels":{"job-name":"x"}},"spec":{"containers":[{"name":"warm","image":"modelcache:dev","command":["/modelcache","warm"],"env":[\#(environment)],"resources":{"requests":{"cpu":"10m","memory":"32Mi"}},"volumeMounts":[{"name":"cache","mountPath":"/cache","readOnly":true}]}],"volumes":[{"name":"cache","persistentVolumeClaim":{"claimName":"c"}}],"restartPolicy":"Never"}}},"status":{"conditions":[{"type":"Complete","status":"True","lastProbeTime":"2026-01-01T00:00:00Z","lastTransitionTime":"2026-01-01T00:00:00Z"}],"startTime":"2026-01-01T00:00:00Z","completionTime":"2026-01-01T00:01:00Z","succeeded":1}}"#
        return (head, middle, tail)
    }()

    private static func job(_ number: Int, version: Int) -> String {
        "\(job.0)\(number)\(job.1)\(version)\(job.2)"
    }

    @Test func `10,000 Jobs are listed and 40,000 events leave memory flat`() async throws {
        let pages = (0..<20).map { page in
            #"{"metadata":{"resourceVersion":"10","continue":"\#(page < 19 ? "\(page + 1)" : "")"},"items":["#
                + (0..<500).map { Self.job(page * 500 + $0, version: 1) }.joined(separator: ",") + "]}"
        }
        let total = 40_000
        try await withServer({ request, answer in
            guard request.query["watch"] != nil else {
                return await answer.json(pages[Int(request.query["continue"] ?? "") ?? 0])
            }
            await answer.head()
            for batch in 0..<(total / 100) {
                let events = (0..<100).map { index in
                    #"{"type":"MODIFIED","object":"# + Self.job((batch * 100 + index) % 10_000, version: 100 + batch * 100 + index) + "}\n"
                }
                await answer.write(events.joined())
            }
            await answer.hang()
        }) { _, client in
            let reflector = Reflector<Job, Summary>(client: client) { job in
                Summary(finished: job.finished != nil, uid: job.uid)
            }
            let before = residentBytes()
            let started = ContinuousClock.now
            let running = Task { try await reflector.run() }
            defer { running.cancel() }
            try await reflector.waitUntilSynced()
            let listed = started.duration(to: .now)
            #expect(reflector.store.count == 10_000)
            let size = pages.reduce(0) { $0 + $1.utf8.count }
            while reflector.status.events < 10_000 { try await Task.sleep(for: .milliseconds(10)) }
            let early = residentBytes()
            while reflector.status.events < total { try await Task.sleep(for: .milliseconds(10)) }
            let late = residentBytes()
            let all = started.duration(to: .now)
            print(
                "list of 10,000 Jobs (\(size >> 20) MB): \(listed); \(total) events: \(all - listed); memory MB before \(before >> 20), after list and 10,000 events \(early >> 20), after \(total) \(late >> 20)")
            // Other tests of the process take memory meanwhile; what arrived is far more than they do.
            let arrived = (total - 10_000) * size / 10_000
            #expect(late - early < arrived / 2)
        }
    }
}
