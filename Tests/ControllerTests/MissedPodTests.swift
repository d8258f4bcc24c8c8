import Controller
import Foundation
import Kubernetes
import Testing

@Suite struct MissedPodTests {
    private func pod(
        labels: [String: String]? = ["modelcache.io/inject": "gemma"], annotations: [String: String]? = nil, phase: String? = "Pending",
        deleting: Bool = false, owners: [OwnerReference]? = nil, uid: String = "u-1"
    ) -> PodOutline {
        var metadata = PodOutline.Metadata()
        metadata.name = "llama-x"
        metadata.namespace = "models"
        metadata.uid = uid
        metadata.labels = labels
        metadata.annotations = annotations
        metadata.deletionTimestamp = deleting ? .now : nil
        metadata.ownerReferences = owners
        return PodOutline(metadata: metadata, status: .init(phase: phase))
    }

    @Test func aLabelledPodWithoutAMarkOfTheWebhookWasMissed() throws {
        let missed = try #require(MissedPod(pod()))
        #expect(missed.modelCache == "gemma" && missed.key == ObjectKey(namespace: "models", name: "llama-x"))
    }

    @Test func markedFinishedLeavingAndUnlabelledPodsWereNot() {
        #expect(MissedPod(pod(labels: ["app": "x"])) == nil)
        #expect(MissedPod(pod(annotations: ["modelcache.io/injected": "Stream/1"])) == nil)
        #expect(MissedPod(pod(phase: "Succeeded")) == nil)
        #expect(MissedPod(pod(phase: "Failed")) == nil)
        #expect(MissedPod(pod(deleting: true)) == nil)
    }

    @Test func `a pod that the webhook left alone is told why`() throws {
        let left = try #require(MissedPod(pod(annotations: ["modelcache.io/inject-status": "there is no ModelCache \"draft\""])))
        let event = left.event(now: Timestamp(secondsSinceEpoch: 1))
        #expect(event.reason == "NotInjected" && event.type == "Warning")
        #expect(event.message == "The webhook left the pod without its models: there is no ModelCache \"draft\".")
    }

    @Test func `a pod with several ModelCaches waits for each`() throws {
        var waits = pod(annotations: ["modelcache.io/injected": "Stream/u-a,u-b"])
        waits.spec = .init(nodeName: "node-1")
        guard case .waiting(let waiting, let cacheUIDs, true)? = LabelledPod(waits) else { Issue.record("does not wait"); return }
        #expect(waiting.node == "node-1" && cacheUIDs == ["u-a", "u-b"])
    }

    @Test(arguments: [("Pending", nil, true), ("Running", "False", true), ("Running", "True", false), ("Running", nil, false)] as [(String, String?, Bool)])
    func `a pod waits until it is ready`(phase: String, ready: String?, waits: Bool) {
        var bound = pod(annotations: ["modelcache.io/injected": "Stream/u-a"], phase: phase)
        bound.spec = .init(nodeName: "node-1")
        bound.status?.conditions = ready.map { [Condition(type: "Ready", status: $0)] }
        #expect((LabelledPod(bound) != nil) == waits)
    }

    @Test(arguments: [(nil, true), (50, true), (100, true), (150, false)] as [(Int64?, Bool)])
    func `a pod that was ready before waits, and does not start`(unreadySince: Int64?, isStart: Bool) {
        var bound = pod(annotations: ["modelcache.io/injected": "Stream/u-a"], phase: "Running")
        bound.spec = .init(nodeName: "node-1")
        func condition(_ type: String, _ status: String, _ seconds: Int64?) -> Condition {
            Condition(type: type, status: status, lastTransitionTime: seconds.map { Timestamp(secondsSinceEpoch: $0) })
        }
        bound.status?.conditions = [condition("PodScheduled", "True", 20), condition("Ready", "False", unreadySince)]
        bound.status?.containerStatuses = [30, 100].map { .init(startedAt: Timestamp(secondsSinceEpoch: $0)) }
        guard case .waiting(let waiting, _, isStart)? = LabelledPod(bound) else {
            Issue.record("\(LabelledPod(bound).map { "\($0)" } ?? "does not wait")")
            return
        }
        #expect(waiting.boundAt == WallTime(seconds: 20) && waiting.isStart == isStart)
    }

    @Test func theRemedyDependsOnWhoMakesThePodAgain() throws {
        #expect(try #require(MissedPod(pod())).message.contains("create it again"))
        let owner = OwnerReference(apiVersion: "apps/v1", kind: "ReplicaSet", name: "llama", uid: "r", controller: true)
        #expect(try #require(MissedPod(pod(owners: [owner]))).message.contains("its ReplicaSet llama makes it again"))
    }

    @Test func whoeverTellsItTellsItUnderOneName() throws {
        let first = try #require(MissedPod(pod())).event(now: Timestamp(secondsSinceEpoch: 1))
        let second = try #require(MissedPod(pod())).event(now: Timestamp(secondsSinceEpoch: 2))
        let another = try #require(MissedPod(pod(uid: "u-2"))).event(now: Timestamp(secondsSinceEpoch: 1))
        #expect(first.metadata.name == second.metadata.name && first.metadata.name != another.metadata.name)
        #expect(first.involvedObject.uid == "u-1" && first.type == "Warning" && first.reason == "InjectionMissed")
        #expect((first.message ?? "").utf8.count <= 1024)
    }

    @Test func ofAPodOnlyMetadataAndPhaseAreRead() throws {
        let text = #"{"metadata":{"name":"a","managedFields":[{"x":1}]},"spec":{"containers":"anything"},"status":{"phase":"Running","x":[]}}"#
        let pod = try JSONDecoder().decode(PodOutline.self, from: Data(text.utf8))
        #expect(pod.status?.phase == "Running" && pod.metadata.name == "a")
    }
}
