import Admission
import Kubernetes
import Testing

@Suite struct DeletionVerdictTests {
    private func request(
        _ kind: String, group: String = "", name: String, operation: String = "DELETE", subResource: String = ""
    ) -> AdmissionRequest {
        AdmissionRequest(
            uid: "1", operation: operation, kind: .init(group: group, version: "v1", kind: kind),
            subResource: subResource, namespace: "", name: name, object: .null)
    }

    private let definition = "modelcaches.modelcache.io"

    @Test func `the definition and namespaces are judged when they are deleted, and nothing else`() {
        let group = "apiextensions.k8s.io", kind = "CustomResourceDefinition"
        #expect(DeletionVerdict(request(kind, group: group, name: definition))?.prerequisite == .definition)
        #expect(DeletionVerdict(request("Namespace", name: "a"))?.prerequisite == .namespace("a"))
        #expect(DeletionVerdict(request(kind, group: group, name: "others.example.com")) == nil)
        #expect(DeletionVerdict(request(kind, group: group, name: definition, operation: "UPDATE")) == nil)
        #expect(DeletionVerdict(request("Namespace", name: "a", subResource: "finalize")) == nil)
        #expect(DeletionVerdict(request("Pod", name: definition)) == nil)
    }

    @Test func `a refusal names what is in the way and the command that comes first`() throws {
        let verdict = try #require(DeletionVerdict(request("Namespace", name: "modelcache-system")))
        #expect(verdict.denial(dependents: []) == nil)
        let keys = (1...20).map { ObjectKey(namespace: "team", name: "model-\($0)") }
        let text = try #require(verdict.denial(dependents: keys))
        #expect(text.contains("modelcache-system") && text.contains("team/model-1") && text.contains("17 more"))
        #expect(text.contains("kubectl delete modelcaches --all --all-namespaces") && text.utf8.count < 500)
    }
}
