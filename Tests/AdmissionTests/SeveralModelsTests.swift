import Admission
import Kubernetes
import Testing

/// Pods that name several ModelCaches: the label's, and those of the annotation `modelcache.io/models`.
@Suite struct SeveralModelsTests {
    private func pod(
        _ models: String, _ annotations: [String: JSONValue] = [:], container: [String: JSONValue] = [:],
        spec: [String: JSONValue] = [:]
    ) -> JSONValue {
        PodFixtures.pod(
            annotations: .object(annotations.merging([PodLabels.models: .string(models)]) { $1 }), container: container,
            spec: spec)
    }

    private func lora(_ name: String, secret: Bool = false) -> InjectionTarget {
        var target = PodFixtures.target(secret: secret)
        target.name = name
        target.uid = "uid-\(name)"
        target.claimName = "\(name)-cache"
        return target
    }

    private func injected(_ pod: JSONValue, others: [InjectionTarget] = [PodFixtures.draft()]) throws -> (
        main: JSONValue, pod: JSONValue, warnings: [String]
    ) {
        let patch = PodPatch.make(pod, others: others)
        guard case .injected = patch.outcome else {
            Issue.record("left alone: \(patch.outcome)")
            return (.null, .null, [])
        }
        let after = try patch.applied(to: pod)
        #expect(PodPatch.make(after, others: others).operations.isEmpty, "a second patch changes the pod")
        return (try #require(after["spec"]?["containers"]?[0]), after, patch.warnings)
    }

    private func status(_ pod: JSONValue, others: [InjectionTarget] = [PodFixtures.draft()], names: [String] = [])
        -> String
    {
        let patch = PodPatch.make(pod, others: others, names: names)
        guard case .leftAlone(let reason) = patch.outcome else { return "injected" }
        return reason
    }

    @Test func `each model gets its volume, its directory and its own source`() throws {
        let (main, after, warnings) = try injected(
            pod("draft=/models/small, lora-a", [PodLabels.directCredentials: "true"]),
            others: [PodFixtures.draft(), lora("lora-a", secret: true)])
        #expect(warnings.isEmpty)
        let claims = after["spec"]?["volumes"]?.list.compactMap { $0["persistentVolumeClaim"]?["claimName"]?.string }
        #expect(claims == [PodFixtures.claim, "draft-cache-9876543210", "lora-a-cache"])
        let mounts = main["volumeMounts"]?.list.compactMap { $0["mountPath"]?.string }
        #expect(mounts == ["/models/gemma", "/models/small", "/models/lora-a", "/var/run/secrets/modelcache.io"])
        #expect(main.variable("MODEL_DIR")?["value"] == "/models/gemma")
        #expect(main.variable("MODELCACHE_SOCKET")?["value"] == "/models/gemma/.modelcache/agent.sock")
        #expect(main.variable("LD_PRELOAD")?["value"] == "/models/gemma/.modelcache/lib/libossc_preload.so")
        #expect(main.variable("MODELCACHE_MODELS")?["value"] == "/models/small;/models/lora-a")
        #expect(main.variable("MODELCACHE_MODEL_1_OSS_PATH")?["value"] == "s3://other/draft/")
        #expect(main.variable("MODELCACHE_MODEL_1_OSS_ACCESS_KEY_ID") == nil, "a public model gets nobody's key")
        #expect(
            main.variable("MODELCACHE_MODEL_2_OSS_ACCESS_KEY_ID")?["valueFrom"]?["secretKeyRef"]?["name"] == "oss-keys")
        #expect(
            after["metadata"]?["annotations"]?[PodLabels.injected]
                == .string("Stream/\(PodFixtures.uid),0a1b,uid-lora-a"))
    }

    @Test func `the label's own model may be in the list, to say its directory`() throws {
        let (main, _, _) = try injected(pod("draft , gemma=/m/base/"))
        #expect(main.variable("MODEL_DIR")?["value"] == "/m/base")
        #expect(main.variable("MODELCACHE_MODELS")?["value"] == "/models/draft")
        #expect(PodPatch.wantedNames(pod("draft , gemma=/m/base/")) == ["gemma", "draft"])
        #expect(PodPatch.wantedNames(pod("draft,draft")) == [])
        #expect(PodPatch.wantedNames(PodFixtures.pod(label: nil)) == nil)
    }

    @Test func `a pod gets all models or none, and is told each that is missing`() throws {
        let wanted = pod("drafts, lora-a, gone")
        var leaving = lora("gone")
        leaving.deleting = true
        let reason = status(wanted, others: [PodFixtures.draft(), leaving], names: ["gemma", "draft"])
        #expect(
            reason.contains("\"drafts\"") && reason.contains("did you mean \"draft\"?") && reason.contains("\"lora-a\"")
                && reason.contains("being deleted"))
        #expect(reason.contains("mend the annotation modelcache.io/models"))
        let patch = PodPatch.make(wanted, others: [])
        let after = try patch.applied(to: wanted)
        #expect(after["spec"] == wanted["spec"] && patch.warnings.count == 1)
    }

    @Test(arguments: [
        ("draft,draft", "twice"), ("draft=models", "not an absolute path"), ("=/x", "no name"),
        ("draft=/models/gemma", "lie in one another"),
        ("draft=/models", "lie in one another"), ("draft=/models/gemma/small", "lie in one another"),
        ((0..<20).map { "m\($0)" }.joined(separator: ","), "more than 16"),
    ])
    func `a list that cannot be meant leaves the pod alone`(models: String, words: String) {
        #expect(status(pod(models)).contains(words), "\(status(pod(models)))")
    }

    @Test func `two directories for one model leave the pod alone`() {
        #expect(status(pod("gemma=/a", [PodLabels.modelDir: "/b"])).contains("two directories"))
        #expect(status(pod("gemma=/a", [PodLabels.modelDir: "/a/"])) == "injected")
    }

    @Test func `chosen containers get all of them, init containers and native sidecars too`() throws {
        let spec: [String: JSONValue] = [
            "containers": [["name": "llama"], ["name": "other"], ["name": "proxy"]],
            "initContainers": [
                ["name": "convert"], ["name": "embed", "restartPolicy": "Always"], ["name": "istio-init"],
            ],
        ]
        let (_, after, _) = try injected(pod("draft", [PodLabels.container: "llama,embed, convert"], spec: spec))
        func readers(_ member: String) -> [String] {
            (after["spec"]?[member]?.list ?? []).filter {
                $0.variable("MODELCACHE_MODELS") != nil && $0["volumeMounts"]?.list.count == 3
            }
            .compactMap { $0["name"]?.string }
        }
        #expect(readers("containers") == ["llama"] && readers("initContainers") == ["convert", "embed"])
    }

    @Test func `waiting takes an init container for each, before all others`() throws {
        let (main, after, _) = try injected(
            pod("draft", [PodLabels.mode: "Wait"], spec: ["initContainers": [["name": "setup"]]]))
        let names = after["spec"]?["initContainers"]?.list.compactMap { $0["name"]?.string }
        #expect(names == ["modelcache-wait", "modelcache-wait-2", "setup"])
        let sources = after["spec"]?["initContainers"]?.list.compactMap { $0.variable("OSS_PATH")?["value"]?.string }
        #expect(sources == ["oss://models/gemma/", "s3://other/draft/"])
        // Each with the two mounts that hide its inner folders.
        #expect(main["volumeMounts"]?.list.count == 6 && main.variable("MODELCACHE_MODELS") == nil)
    }

    private func terms(_ base: Int64, _ draft: InjectionTarget, spec: [String: JSONValue] = [:]) throws -> [JSONValue:
        [String]]
    {
        var target = PodFixtures.target(warm: ["node-1", "node-2"])
        target.totalBytes = base
        let wanted = pod("draft", spec: spec)
        let after = try PodPatch.make(wanted, target, others: [draft]).applied(to: wanted)
        let all =
            after["spec"]?["affinity"]?["nodeAffinity"]?["preferredDuringSchedulingIgnoredDuringExecution"]?.list ?? []
        return Dictionary(
            all.map {
                (
                    $0["weight"] ?? .null,
                    $0["preference"]?["matchExpressions"]?[0]?["values"]?.list.compactMap(\.string) ?? []
                )
            }
        ) { $0 + $1 }
    }

    @Test func `nodes weigh as much as the bytes that they hold`() throws {
        #expect(try terms(90 << 30, PodFixtures.draft(bytes: 10 << 30)) == [90: ["node-1", "node-2"], 10: ["node-3"]])
        #expect(try terms(1 << 40, PodFixtures.draft(bytes: 1 << 20)) == [99: ["node-1", "node-2"], 1: ["node-3"]])
        #expect(try terms(0, PodFixtures.draft()) == [50: ["node-1", "node-2", "node-3"]])
        #expect(try terms(1, PodFixtures.draft(warm: [], bytes: 3)) == [25: ["node-1", "node-2"]])
        #expect(try terms(1, PodFixtures.draft(), spec: ["nodeName": "n"]) == [:])
    }

    @Test func `a container's own list wins, with a warning`() throws {
        let (main, _, warnings) = try injected(
            pod("draft", container: ["env": [["name": "MODELCACHE_MODELS", "value": "/mine"]]]))
        #expect(
            main.variable("MODELCACHE_MODELS")?["value"] == "/mine"
                && warnings.contains { $0.contains("MODELCACHE_MODELS") })
        #expect(main.variable("MODELCACHE_MODEL_1_OSS_PATH") == nil, "it would be of an entry that is not there")
    }
}
