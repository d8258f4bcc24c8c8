import Admission
import AgentAPI
import CRD
import Controller
import Foundation
import Kubernetes

/// What the API server and people tell the operator: pods, ModelCaches and other objects, key sets, settings.
let operatorTargets: [Target] = [
    Target(name: "pod-patch") { bytes in
        guard let review = try? AdmissionReview(json: bytes), let pod = review.request.createdPod else { return }
        patched(pod)
    },
    Target(name: "pod-injection") { bytes in
        // The pod alone, so that every byte of the input is the pod's.
        let pod = bytes.withUnsafeBytes { try? JSONText.parse($0) }
        if let pod, case .object = pod { patched(pod) }
    },
    Target(name: "modelcache") { bytes in
        let document = text(bytes)
        let verdict = Validation.check(json: document, replacing: document)
        precondition(verdict.valid == verdict.problems.isEmpty, "a verdict that contradicts itself")
        for problem in verdict.problems { precondition("\(problem)".utf8.count < 65_536, "a problem without a bound") }
        guard verdict.valid else { return }
        roundTrip(ModelCache.self, bytes)
    },
    Target(name: "resources") { bytes in
        roundTrip(Pod.self, bytes)
        roundTrip(Node.self, bytes)
        roundTrip(Job.self, bytes)
        roundTrip(Event.self, bytes)
        roundTrip(PersistentVolumeClaim.self, bytes)
        roundTrip(PersistentVolume.self, bytes)
        roundTrip(Lease.self, bytes)
        roundTrip(Kubernetes.Secret.self, bytes)
    },
    Target(name: "quantity") { bytes in
        let words = text(bytes)
        let quantity = Kubernetes.Quantity(words)
        if let value = quantity.value, value > 0 { precondition((quantity.milliValue ?? 0) >= value, "\(words)") }
        if let size = CRD.Quantity(words).bytes { precondition(size >= 0, "a negative size") }
        if let duration = GoDuration.parse(words) {
            precondition(duration >= .zero && duration <= .seconds(1_000_000_000), "a duration out of bounds")
        }
    },
    Target(name: "pod-template") { bytes in
        guard let template = try? PodTemplate.parse(text(bytes)) else { return }
        let again = (try? JSONEncoder().encode(template)).flatMap { try? PodTemplate.parse(text($0)) }
        precondition(again == template, "a template that is another when written")
        precondition(template.overlaid(by: template) == template, "a template that changes itself")
        precondition(PodTemplate().overlaid(by: template).overlaid(by: template) == template.overlaid(by: template))
    },
    Target(name: "operator-settings") { bytes in
        let halves = parts(bytes, 2)
        do {
            let settings = try OperatorSettings.resolve(
                flags: environment(halves[0]), environment: environment(halves[1]))
            precondition((1...65535).contains(settings.agentPort), "a port out of bounds")
            precondition((1...1000).contains(settings.reconciles), "reconciles out of bounds")
            precondition(settings.diskPath.hasPrefix("/"), "a folder that is not absolute")
        } catch {
            precondition(error is OperatorFailure, "an error that is not for people: \(error)")
        }
    },
    Target(name: "agent-report") { bytes in
        let decoder = JSONDecoder()
        if let report = try? decoder.decode(AgentReport.self, from: Data(bytes)) {
            // What the operator adds up; a sum that overflows traps.
            for medium in [report.memory, report.disk].compactMap({ $0 }) {
                precondition(medium.budgetBytes - (medium.heldBytes ?? 0) <= medium.budgetBytes, "negative bytes")
            }
            _ = report.caches.reduce(0) { $0 + $1.bytesCached + $1.originBytes + $1.peerBytes + $1.copiedBytes }
        }
        if let error = try? decoder.decode(AgentError.self, from: Data(bytes)), let highest = error.highestOrder {
            var numbers = OrderNumbers()
            numbers.learned(highest, for: "n")
            precondition(numbers.next(for: "n").number >= highest.number, "an order's number that goes back")
        }
        if let report = try? decoder.decode(ReadersReport.self, from: Data(bytes)) {
            _ = report.readers.reduce(0) { $0 + $1.storeBytes + $1.peerBytes + $1.copiedBytes + $1.cacheBytes }
        }
    },
    Target(name: "annotations") { bytes in
        let words = text(bytes)
        let attempt = Attempt(text: words)
        precondition(Attempt(text: attempt.text) == attempt, "circumstances that are others when written")
        precondition(attempt.failureBackoff <= .seconds(3600) && attempt.lossBackoff <= .seconds(600), "a long wait")
        if let order = OrderNumber(query: words) {
            precondition(OrderNumber(query: order.query) == order, "an order's number that is another when written")
        }
        if let request = EvictionRequest(annotation: words) {
            precondition(EvictionRequest(annotation: request.annotation) == request, "another request when written")
        }
    },
    Target(name: "exec-credential") { bytes in
        let plugin = ExecPlugin(apiVersion: "client.authentication.k8s.io/v1", command: "p")
        guard let found = try? ExecCredential.parse(bytes, of: plugin) else { return }
        precondition((found.certificate == nil) == (found.key == nil), "a certificate without its key")
        precondition((found.token ?? found.certificate) != nil, "a credential without any")
    },
    Target(name: "issuer-documents") { bytes in
        if let issuer = try? IssuerDocuments.issuer(Data(bytes)) {
            precondition(
                !issuer.isEmpty && issuer.utf8.count <= CallerPolicy.maximumNameBytes, "an issuer out of bounds")
        }
        guard let keys = try? IssuerDocuments.keys(Data(bytes)) else { return }
        precondition(keys.utf8.count <= CallerPolicy.maximumKeysBytes, "keys without a bound")
        precondition((try? IssuerDocuments.keys(Data(keys.utf8))) == keys, "keys that are others when read again")
        let set = try? JSONDecoder().decode(JSONWebKeySet.self, from: Data(keys.utf8))
        let reversed = try? JSONEncoder().encode(JSONWebKeySet(set?.keys.compactMap { $0 }.reversed() ?? []))
        precondition(reversed.flatMap { try? IssuerDocuments.keys($0) } == keys, "keys that depend on their order")
    },
]

private let models: [String: InjectionTarget] = {
    func target(_ name: String, _ environment: [EnvVar]) -> InjectionTarget {
        let keys = EnvVar(
            name: "OSS_ACCESS_KEY_ID", valueFrom: EnvVarSource(secretKeyRef: KeySelector(name: "keys", key: "id")))
        return InjectionTarget(
            name: name, namespace: "n", uid: "uid-\(name)", claimName: "\(name)-claim", environment: environment,
            directKeys: [keys], ready: true, warmNodeHostnames: ["node-1", "node-2"], deleting: false,
            agentImage: "modelcache/agent")
    }
    let environment = [EnvVar(name: "OSS_PATH", value: "oss://b/m/"), EnvVar(name: "OSS_ENDPOINT", value: "https://h")]
    return ["m": target("m", environment), "d": target("d", environment)]
}()

/// The patch applies, and a pod that has it needs no other; a pod that is left alone keeps its spec.
private func patched(_ pod: JSONValue) {
    func patch(_ pod: JSONValue) -> PodPatch {
        PodPatch.make(pod: pod, namespace: "n", targets: models, names: ["m", "d"], seed: "s")
    }
    let first = patch(pod)
    guard let after = try? PatchApplier.apply(first.operations, to: pod) else {
        fatalError("a patch that does not apply: \(first.operations)")
    }
    let second = patch(after)
    precondition(second.operations.isEmpty, "a second patch: \(second.operations)")
    precondition(second.outcome == first.outcome, "another outcome the second time: \(second.outcome)")
    if case .injected = first.outcome { return }
    precondition(after["spec"] == pod["spec"], "a pod that is left alone and changed")
}

private func roundTrip<Value: Codable & Equatable>(_ type: Value.Type, _ bytes: [UInt8]) {
    guard let value = try? JSONDecoder().decode(type, from: Data(bytes)) else { return }
    let again = (try? JSONEncoder().encode(value)).flatMap { try? JSONDecoder().decode(type, from: $0) }
    precondition(again == value, "\(type): another value when written")
}
