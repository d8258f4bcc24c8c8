import Admission
import Kubernetes
import TestSupport
import Testing

@Suite struct PatchPropertyTests {
    private static let rounds = 600

    /// Runs `body` on random pods; a failure names the seed.
    private func onRandomPods(_ body: (JSONValue) throws -> Void) throws {
        let seed = SeededRandom.seed
        var pods = RandomPods(seed: seed)
        for round in 0..<Self.rounds {
            let pod = pods.next()
            do { try body(pod) } catch { Issue.record("seed \(seed), pod \(round): \(error)\n\(String(decoding: JSONText.write(pod), as: UTF8.self))") }
        }
    }

    private struct Broken: Error, CustomStringConvertible { var description: String }
    private func require(_ holds: Bool, _ what: @autoclosure () -> String) throws { if !holds { throw Broken(description: what()) } }

    @Test func everyPatchAppliesAndASecondOneAddsNothing() throws {
        try onRandomPods { pod in
            let patch = PodPatch.make(pod)
            let after = try patch.applied(to: pod)
            let again = PodPatch.make(after)
            try require(again.operations.isEmpty, "a second patch: \(again.operations)")
            try require(again.outcome == patch.outcome, "\(again.outcome) after \(patch.outcome)")
            let defaulted = PodPatch.make(PodFixtures.defaulted(after))
            try require(defaulted.operations.isEmpty, "after defaults: \(defaulted.operations)")
        }
    }

    @Test func asPutBetweenOtherWebhooksASecondPatchAddsNothing() throws {
        try onRandomPods { pod in
            let after = try PodPatch.make(pod).applied(to: pod)
            // A mesh's sidecar in front of all others, and an init container of its own before ours.
            let meshed = try PatchApplier.apply(
                [
                    .add("/spec/containers/0", ["name": "istio-proxy", "image": "proxy", "env": [["name": "A", "value": "b"]]]),
                    after["spec"]?["initContainers"]?.list.isEmpty == false
                        ? .add("/spec/initContainers/0", ["name": "istio-init", "image": "proxy"])
                        : .add("/spec/terminationGracePeriodSeconds", 30),
                ], to: after)
            let again = PodPatch.make(PodFixtures.defaulted(meshed), PodFixtures.target(warm: ["node-7"]))
            try require(again.operations.isEmpty || after["metadata"]?["annotations"]?[PodLabels.injected] == nil, "\(again.operations)")
        }
    }

    @Test func whatThePodSaysSurvives() throws {
        try onRandomPods { pod in
            let after = try PodPatch.make(pod).applied(to: pod)
            try survives(pod, after, "")
        }
    }

    @Test func aPodLeftAloneGetsAnnotationsAlone() throws {
        try onRandomPods { pod in
            let patch = PodPatch.make(pod)
            guard case .leftAlone(let reason) = patch.outcome else { return }
            let after = try patch.applied(to: pod)
            try require(after["spec"] == pod["spec"], "the spec changed")
            try require(after["metadata"]?["annotations"]?[PodLabels.injectStatus] == .string(reason), "no status")
            try require(after["metadata"]?["annotations"]?[PodLabels.injected] == nil, "says injected")
            try require(!patch.warnings.isEmpty, "no warning")
        }
    }

    @Test func aPodThatPassesTheRestrictedStandardPassesItAfterwards() throws {
        var restricted = 0
        try onRandomPods { pod in
            guard RestrictedStandard.violations(pod).isEmpty else { return }
            restricted += 1
            let after = try PodPatch.make(pod).applied(to: pod)
            let violations = RestrictedStandard.violations(after)
            try require(violations.isEmpty, "\(violations)")
        }
        #expect(restricted > Self.rounds / 5, "the pods test nothing")
    }

    @Test func anInjectedContainerHasTheMountTheTokenAndEveryVariable() throws {
        var injected = 0
        try onRandomPods { pod in
            let patch = PodPatch.make(pod)
            guard case .injected(.stream) = patch.outcome else { return }
            injected += 1
            let after = try patch.applied(to: pod)
            let volumes = after["spec"]?["volumes"]?.list ?? []
            try require(Set(volumes.map { $0["name"]! }).count == volumes.count, "two volumes of one name")
            let claim = volumes.first { $0["persistentVolumeClaim"] == ["claimName": .string(PodFixtures.claim), "readOnly": true] }
            let model = claim?["name"] ?? .null
            let all = (after["spec"]?["containers"]?.list ?? []) + (after["spec"]?["initContainers"]?.list ?? [])
            let reading = all.filter { $0.variable("MODELCACHE_SOCKET") != nil }
            try require(!reading.isEmpty, "no container has the socket")
            for container in reading {
                try require(container["volumeMounts"]?.list.contains { $0["name"] == model } == true, "no mount")
                for name in ["LD_PRELOAD", "ENABLE_CONNECTOR", "MODEL_DIR", "MODELCACHE_TOKEN_FILE", "OSS_PATH", "OSS_ENDPOINT", "OSS_REGION", "MODELCACHE_INCLUDE"] {
                    try require(container.variable(name) != nil, "no \(name)")
                }
                let paths = container["volumeMounts"]?.list.compactMap { $0["mountPath"] } ?? []
                try require(Set(paths).count == paths.count, "two mounts at one path")
            }
        }
        #expect(injected > Self.rounds / 5, "the pods test nothing")
    }

    /// Everything in `before` stands in `after`, at the same place; after it there may be more.
    private func survives(_ before: JSONValue, _ after: JSONValue?, _ path: String) throws {
        guard let after else { throw Broken(description: "\(path) is gone") }
        switch (before, after) {
        case (.object(let old), .object(let new)):
            for (name, value) in old {
                if path == "/metadata/annotations", name == PodLabels.injected || name == PodLabels.injectStatus { continue }
                if name == "value", old["name"] == "LD_PRELOAD", case .string(let text)? = new["value"], case .string(let own) = value {
                    try require(text == own || text.hasSuffix("libossc_preload.so:\(own)") || own.isEmpty, "\(path): LD_PRELOAD \(text)")
                    continue
                }
                try survives(value, new[name], "\(path)/\(name)")
            }
        case (.array(let old), .array(var new)):
            // Those that wait, one for each model.
            while path == "/spec/initContainers", new.count > old.count, new[0]["command"] == ["/modelcache", "warm", "--json"] { new.removeFirst() }
            try require(new.count >= old.count, "\(path) is shorter")
            if path == "/spec/initContainers" || path == "/spec/containers" { try require(new.count == old.count, "\(path) is longer") }
            for (index, element) in old.enumerated() { try survives(element, new[index], "\(path)/\(index)") }
        case (.null, _): break
        default: try require(before == after, "\(path) changed")
        }
    }
}
