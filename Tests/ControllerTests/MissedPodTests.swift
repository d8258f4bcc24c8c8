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
        #expect(MissedPod(pod(annotations: ["modelcache.io/inject-status": "no"])) == nil)
        #expect(MissedPod(pod(phase: "Succeeded")) == nil)
        #expect(MissedPod(pod(phase: "Failed")) == nil)
        #expect(MissedPod(pod(deleting: true)) == nil)
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
