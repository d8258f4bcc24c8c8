import Admission
import CRD
import Foundation
import Kubernetes
import TestSupport
import Testing

@Suite struct PatchTests {
    private func injected(_ pod: JSONValue, _ target: InjectionTarget = PodFixtures.target()) throws -> (main: JSONValue, pod: JSONValue, warnings: [String]) {
        let patch = PodPatch.make(pod, target)
        guard case .injected = patch.outcome else {
            Issue.record("left alone: \(patch.outcome)")
            return (.null, .null, [])
        }
        let after = try patch.applied(to: pod)
        return (try #require(after["spec"]?["containers"]?[0]), after, patch.warnings)
    }

    private func status(_ pod: JSONValue, _ target: InjectionTarget? = PodFixtures.target(), names: [String] = []) -> String {
        let patch = PodPatch.make(pod, target, names: names)
        guard case .leftAlone(let reason) = patch.outcome else { return "injected" }
        return reason
    }

    @Test func aPodWithoutTheLabelIsNoneOfItsBusiness() {
        let patch = PodPatch.make(PodFixtures.pod(label: nil))
        #expect(patch.operations.isEmpty && patch.warnings.isEmpty && patch.outcome == .notAsked)
    }

    @Test func thePreloadListGetsTheLibraryInFront() throws {
        let (main, _, warnings) = try injected(PodFixtures.pod(container: ["env": [["name": "LD_PRELOAD", "value": "/a.so /b.so"]]]))
        #expect(main.variable("LD_PRELOAD")?["value"] == "/models/gemma/.modelcache/lib/libossc_preload.so:/a.so /b.so")
        #expect(warnings.isEmpty)
    }

    @Test func aPreloadFromElsewhereLeavesTheContainerAloneAndSaysSo() throws {
        let env: JSONValue = ["env": [["name": "LD_PRELOAD", "valueFrom": ["configMapKeyRef": ["name": "c", "key": "k"]]]]]
        #expect(status(PodFixtures.pod(container: ["env": env["env"]!])).contains("valueFrom"))
        // Wait preloads nothing.
        let (main, _, _) = try injected(PodFixtures.pod(annotations: [PodLabels.mode: "Wait"], container: ["env": env["env"]!]))
        #expect(main.variable("MODEL_DIR")?["value"] == "/models/gemma")
    }

    @Test func aLibraryOfTheImagesOwnIsNotLoadedTwice() throws {
        let (main, _, warnings) = try injected(PodFixtures.pod(container: ["env": [["name": "LD_PRELOAD", "value": "/opt/libossc_preload.so"]]]))
        #expect(main.variable("LD_PRELOAD")?["value"] == "/opt/libossc_preload.so")
        #expect(warnings.contains { $0.contains("/opt/libossc_preload.so") })
    }

    @Test func whatTheContainerSetsItselfWinsAndKeysAreNeverMixed() throws {
        let (main, _, warnings) = try injected(PodFixtures.pod(
            annotations: [PodLabels.directCredentials: "true"],
            container: ["env": [["name": "OSS_REGION", "value": "cn-beijing"], ["name": "OSS_ACCESS_KEY_ID", "value": "mine"]]]))
        #expect(main.variable("OSS_REGION")?["value"] == "cn-beijing")
        #expect(main.variable("OSS_ACCESS_KEY_ID")?["value"] == "mine")
        #expect(main.variable("OSS_ACCESS_KEY_SECRET") == nil)
        #expect(main.variable("AWS_ACCESS_KEY_ID") == nil)
        #expect(main.variable("OSS_PATH")?["value"] == "oss://models/gemma/")
        #expect(warnings.contains { $0.contains("OSS_REGION") } && warnings.contains { $0.contains("OSS_ACCESS_KEY_ID") })
        #expect(!warnings.contains { $0.contains("mine") || $0.contains("cn-beijing") }, "values do not belong in warnings")
    }

    @Test(arguments: ["Stream", "Wait"], [nil, "false", "true"] as [String?])
    func `no container has a key unless the pod asks, and then by an optional reference`(mode: String, wish: String?) throws {
        let asked = wish == "true" && mode == "Stream"
        var annotations: [String: JSONValue] = [PodLabels.mode: .string(mode)]
        if let wish { annotations[PodLabels.directCredentials] = .string(wish) }
        let (main, after, warnings) = try injected(PodFixtures.pod(annotations: .object(annotations)))
        #expect(warnings.isEmpty)
        #expect("\(after)".contains("oss-keys") == asked && "\(after)".contains("ACCESS_KEY") == asked)
        guard asked else { return }
        let reference = main.variable("AWS_ACCESS_KEY_ID")?["valueFrom"]?["secretKeyRef"]
        #expect(reference == ["name": "oss-keys", "key": "AWS_ACCESS_KEY_ID", "optional": true])
    }

    @Test func `a wish for keys that means nothing leaves the pod alone`() {
        let patch = PodPatch.make(PodFixtures.pod(annotations: [PodLabels.directCredentials: "yes"]))
        guard case .leftAlone(let reason) = patch.outcome else { Issue.record("injected"); return }
        #expect(reason.contains(PodLabels.directCredentials) && reason.contains("true or false"))
    }

    @Test func aContainersOwnModelDirectoryIsWhereTheModelGoes() throws {
        let (main, _, warnings) = try injected(PodFixtures.pod(container: ["env": [["name": "MODEL_DIR", "value": "/own/"]]]))
        #expect(main.variable("LD_PRELOAD")?["value"] == "/own/.modelcache/lib/libossc_preload.so")
        #expect(main["volumeMounts"]?[0]?["mountPath"] == "/own")
        #expect(main.variable("MODEL_DIR")?["value"] == "/own/")
        #expect(warnings.contains { $0.contains("/own") })
    }

    @Test func aDollarInASourceIsNoVariable() throws {
        var target = PodFixtures.target()
        target.environment = [EnvVar(name: "OSS_PATH", value: "oss://b/$(HOME)/$x/"), EnvVar(name: "LD_PRELOAD", value: "/evil.so")]
        let (main, _, _) = try injected(PodFixtures.pod(), target)
        #expect(main.variable("OSS_PATH")?["value"] == "oss://b/$$(HOME)/$x/")
        #expect(main.variable("LD_PRELOAD")?["value"] == "/models/gemma/.modelcache/lib/libossc_preload.so")
    }

    private static let mountsInTheWay: [(JSONValue, String)] = [
        (["name": "d", "mountPath": "/models/gemma/"], "already"), (["name": "d", "mountPath": "/models/gemma/x"], "inside"),
        (["name": "d", "mountPath": "/models", "readOnly": true], "read-only"), (["name": "c", "mountPath": "/models"], "read-only"),
        (["name": "d", "mountPath": "/var/run/secrets/modelcache.io"], "move that mount"),
    ]

    @Test(arguments: mountsInTheWay)
    func aMountInTheWayLeavesTheContainerAlone(mount: JSONValue, reason: String) {
        let pod = PodFixtures.pod(
            container: ["volumeMounts": [mount]],
            spec: ["volumes": [["name": "d", "emptyDir": [:]], ["name": "c", "configMap": ["name": "c"]]]])
        #expect(status(pod).contains(reason))
    }

    @Test func aMountBesideOrAboveIsInNobodysWay() throws {
        let mounts: JSONValue = [["name": "d", "mountPath": "/models"], ["name": "d", "mountPath": "/models/gemma-2"]]
        let (main, _, warnings) = try injected(PodFixtures.pod(container: ["volumeMounts": mounts], spec: ["volumes": [["name": "d", "emptyDir": [:]]]]))
        #expect(main["volumeMounts"]?.list.count == 4)
        #expect(warnings.isEmpty)
    }

    @Test func ofTwoContainersOneInTheWayTheOtherIsInjected() throws {
        let pod = PodFixtures.pod(
            annotations: [PodLabels.container: "a,b"],
            spec: ["containers": [["name": "a", "volumeMounts": [["name": "d", "mountPath": "/models/gemma"]]], ["name": "b"]], "volumes": [["name": "d", "emptyDir": [:]]]])
        let (_, after, warnings) = try injected(pod)
        #expect(after["spec"]?["containers"]?[0] == pod["spec"]?["containers"]?[0])
        #expect(after["spec"]?["containers"]?[1]?.variable("LD_PRELOAD") != nil)
        #expect(warnings.contains { $0.contains("\"a\"") })
    }

    @Test func theDefaultContainerIsKubectlsElseTheFirst() throws {
        let containers: JSONValue = [["name": "a"], ["name": "b"]]
        let named = try injected(PodFixtures.pod(annotations: ["kubectl.kubernetes.io/default-container": "b"], spec: ["containers": containers])).pod
        #expect(named["spec"]?["containers"]?[0] == ["name": "a"])
        #expect(named["spec"]?["containers"]?[1]?.variable("MODEL_DIR") != nil)
        let first = try injected(PodFixtures.pod(annotations: ["kubectl.kubernetes.io/default-container": "gone"], spec: ["containers": containers])).pod
        #expect(first["spec"]?["containers"]?[1] == ["name": "b"])
    }

    @Test(arguments: [
        ("stream", "\"stream\""), ("Wait,Stream", "use Stream or Wait"), ("", "use Stream or Wait"),
    ])
    func aModeThatIsNoneLeavesThePodAlone(mode: String, reason: String) {
        #expect(status(PodFixtures.pod(annotations: [PodLabels.mode: .string(mode)])).contains(reason))
    }

    @Test(arguments: [
        ("models", "absolute"), ("/a/../etc", ".."), ("/", "root"), ("/usr/lib/", "system"), ("/proc/self", "system"), ("/a:b", "character"),
        ("/a b", "character"), ("/$(X)", "character"), ("/" + String(repeating: "x", count: 84), "84 bytes"), ("", "absolute"), ("/modèle", "character"),
    ])
    func aDirectoryThatCannotBeLeavesThePodAlone(directory: String, reason: String) {
        #expect(status(PodFixtures.pod(annotations: [PodLabels.modelDir: .string(directory)])).contains(reason))
    }

    @Test func theLongestDirectoryStillHasASocketThatCanBeReached() throws {
        let (main, _, _) = try injected(PodFixtures.pod(annotations: [PodLabels.modelDir: .string("/" + String(repeating: "x", count: 83))]))
        guard case .string(let socket)? = main.variable("MODELCACHE_SOCKET")?["value"] else { Issue.record("no socket"); return }
        #expect(socket.utf8.count == 107)
    }

    @Test func anUnknownContainerNamesThoseThereAre() {
        let pod = PodFixtures.pod(
            annotations: [PodLabels.container: "set"], spec: ["containers": [["name": "a"], ["name": "b"]], "initContainers": [["name": "setup"]]])
        #expect(status(pod) == "the annotation modelcache.io/container names no container of the pod (\"set\"); the pod has \"a\", \"b\", \"setup\"")
    }

    @Test(arguments: [("gema", ["gemma", "llama"], "did you mean \"gemma\"?"), ("gmema", ["gemma"], "did you mean \"gemma\"?"), ("qwen", ["gemma"], "there are \"gemma\""), ("qwen", [], "there is none")])
    func aWrongNameSuggestsTheNearOne(name: String, names: [String], words: String) {
        let patch = PodPatch.make(PodFixtures.pod(label: name), nil, names: names)
        #expect(patch.warnings.count == 1 && patch.warnings[0].contains(words), "\(patch.warnings)")
    }

    @Test func whatCannotBeServedIsSaidInTheAnnotation() throws {
        #expect(status(PodFixtures.pod(), PodFixtures.target(deleting: true)).contains("being deleted"))
        #expect(status(PodFixtures.pod(), PodFixtures.target(unresolved: "no region")).contains("no region"))
        #expect(status(PodFixtures.pod(label: "")).contains("empty"))
        #expect(status(PodFixtures.pod(spec: ["os": ["name": "windows"]])).contains("Windows"))
        #expect(status(PodFixtures.pod(spec: ["nodeSelector": ["kubernetes.io/os": "windows"]])).contains("Windows"))
        let unready = try injected(PodFixtures.pod(), PodFixtures.target(ready: false))
        #expect(unready.warnings.contains { $0.contains("not on all its nodes") })
    }

    @Test func aMarkPutOnByHandIsNotTrusted() throws {
        let mark: JSONValue = [PodLabels.injected: .string("Stream/\(PodFixtures.uid)"), PodLabels.injectStatus: "old"]
        let (main, after, _) = try injected(PodFixtures.pod(annotations: mark))
        #expect(main.variable("LD_PRELOAD") != nil)
        #expect(after["metadata"]?["annotations"] == [PodLabels.injected: .string("Stream/\(PodFixtures.uid)"), PodLabels.container: "llama"])
        let patch = PodPatch.make(PodFixtures.pod(annotations: mark), nil)
        #expect(try patch.applied(to: PodFixtures.pod(annotations: mark))["metadata"]?["annotations"]?[PodLabels.injected] == nil)
    }

    @Test(arguments: [
        ["containers": [["image": "i"]]], ["containers": [["name": "A b"]]], ["containers": [["name": "a"], ["name": "a"]]],
        ["initContainers": [["name": "a"]], "containers": [["name": "a"]]],
        ["containers": [["name": "a"]], "volumes": [["persistentVolumeClaim": ["claimName": "c", "readOnly": true]]]],
    ] as [JSONValue])
    func `a pod with names that the API server refuses is left alone`(spec: JSONValue) throws {
        guard case .object(let members) = spec else { Issue.record("no object"); return }
        let pod = PodFixtures.pod(spec: members)
        let patch = PodPatch.make(pod)
        guard case .leftAlone = patch.outcome else { Issue.record("\(patch.outcome)"); return }
        let after = try patch.applied(to: pod)
        #expect(after["spec"] == pod["spec"] && PodPatch.make(after).operations.isEmpty)
    }

    @Test func `a name of the annotation that no container has does not come to mean the waiting one`() throws {
        let pod = PodFixtures.pod(
            annotations: [PodLabels.mode: "Wait", PodLabels.container: "main,modelcache-wait"],
            spec: ["containers": [["name": "main"]]])
        let after = try injected(pod).pod
        #expect(after["spec"]?["initContainers"]?[0]?["name"] == "modelcache-wait-2")
        #expect(PodPatch.make(after).operations.isEmpty)
    }

    @Test func `LD_PRELOAD is split as the linker does, by bytes`() throws {
        let mark: JSONValue = .string("\u{301}x.so")
        let pod = PodFixtures.pod(spec: ["containers": [["name": "main", "env": [["name": "LD_PRELOAD", "value": mark]]]]])
        #expect(PodPatch.make(try injected(pod).pod).operations.isEmpty)
    }

    @Test func namesOfVolumesThatOthersHaveAreNotTaken() throws {
        let volumes: JSONValue = [["name": "modelcache", "emptyDir": [:]], ["name": "modelcache-2", "emptyDir": [:]], ["name": "modelcache-token", "emptyDir": [:]]]
        let (main, after, _) = try injected(PodFixtures.pod(spec: ["volumes": volumes]))
        #expect(after["spec"]?["volumes"]?.list.map { $0["name"] } == ["modelcache", "modelcache-2", "modelcache-token", "modelcache-3", "modelcache-token-2"])
        #expect(main["volumeMounts"]?.list.map { $0["name"] } == ["modelcache-3", "modelcache-token-2"])
    }

    private func preferredNodes(_ pod: JSONValue, warm: [String], seed: String = "") throws -> [String] {
        let after = try PodPatch.make(pod, PodFixtures.target(warm: warm), seed: seed).applied(to: pod)
        let terms = after["spec"]?["affinity"]?["nodeAffinity"]?["preferredDuringSchedulingIgnoredDuringExecution"]
        return terms?[0]?["preference"]?["matchExpressions"]?[0]?["values"]?.list.compactMap(\.string) ?? []
    }

    @Test func `a few warm nodes are all preferred, and none is no wish`() throws {
        #expect(try preferredNodes(PodFixtures.pod(), warm: ["b", "a", "", "b"]) == ["a", "b"])
        #expect(try preferredNodes(PodFixtures.pod(), warm: []) == [])
        #expect(try preferredNodes(PodFixtures.pod(spec: ["nodeName": "n"]), warm: ["a"]) == [])
    }

    @Test(arguments: SeededRandom.seeds(3))
    func `of many warm nodes each pod prefers a few others, and together they cover all`(seed: UInt64) throws {
        let warm = (0..<200).map { "node-\(1000 + $0)" }
        var times: [String: Int] = [:]
        for pod in 0..<300 {
            let nodes = try preferredNodes(PodFixtures.pod(), warm: warm, seed: "\(seed)-\(pod)")
            #expect(nodes.count == 16 && Set(nodes).count == 16 && Set(nodes).isSubset(of: warm))
            #expect(try preferredNodes(PodFixtures.pod(), warm: warm.reversed(), seed: "\(seed)-\(pod)") == nodes)
            for node in nodes { times[node, default: 0] += 1 }
        }
        // Each node 24 times on average.
        #expect(times.count == 200 && times.values.allSatisfy { (4...60).contains($0) }, "\(times.values.sorted())")
    }

    @Test func `a patch stays small on the largest cluster`() throws {
        let warm = (0..<5000).map { "node-\($0)-" + String(repeating: "x", count: 50) }
        let operations = PodPatch.make(PodFixtures.pod(), PodFixtures.target(warm: warm)).operations
        #expect(try JSONEncoder().encode(operations).count < 8192)
    }

    @Test(arguments: [
        ["istio-proxy"], ["gke-gcsfuse-sidecar"], ["linkerd-proxy"], ["vault-agent"], ["datadog"], ["fluent-bit"], ["log-sidecar"],
        ["istio-proxy", "gke-gcsfuse-sidecar", "fluent-bit"],
    ])
    func `a known sidecar in front is not taken for the program`(sidecars: [String]) throws {
        let containers = sidecars.map { JSONValue.object(["name": .string($0)]) } + [["name": "llama"], ["name": "other"]]
        for annotations in [nil, ["kubectl.kubernetes.io/default-container": .string(sidecars[0])]] as [JSONValue?] {
            let after = try injected(PodFixtures.pod(annotations: annotations, spec: ["containers": .array(containers)])).pod
            let changed = after["spec"]?["containers"]?.list.filter { $0.variable("MODEL_DIR") != nil }.compactMap { $0["name"]?.string }
            #expect(changed == ["llama"])
            #expect(after["metadata"]?["annotations"]?[PodLabels.container] == "llama")
        }
    }

    @Test(arguments: [
        "registry:5000/istio/proxyv2:1.20", "docker.io/fluent/fluent-bit@sha256:0123", "istio/proxyv2", "gcr.io/datadoghq/x/datadog/agent:7",
    ])
    func `a sidecar is known by its image as well`(image: String) throws {
        let containers: JSONValue = [["name": "x", "image": .string(image)], ["name": "llama"]]
        let after = try injected(PodFixtures.pod(spec: ["containers": containers])).pod
        #expect(after["spec"]?["containers"]?[0]?.variable("MODEL_DIR") == nil)
    }

    @Test func `a pod of sidecars alone is left alone, unless it says who reads the model`() throws {
        let containers: JSONValue = [["name": "istio-proxy"], ["name": "fluent-bit"]]
        #expect(status(PodFixtures.pod(spec: ["containers": containers])).contains("name the one that reads the model"))
        let named = try injected(PodFixtures.pod(annotations: [PodLabels.container: "fluent-bit"], spec: ["containers": containers])).pod
        #expect(named["spec"]?["containers"]?[1]?.variable("MODEL_DIR") != nil)
    }

    @Test func `a native sidecar is not injected unasked, and waiting comes before it`() throws {
        let sidecar: JSONValue = ["name": "istio-proxy", "restartPolicy": "Always"]
        let pod = PodFixtures.pod(annotations: [PodLabels.mode: "Wait"], spec: ["initContainers": [sidecar]])
        let after = try injected(pod).pod
        #expect(after["spec"]?["initContainers"]?[0]?["name"] == "modelcache-wait")
        #expect(after["spec"]?["initContainers"]?[1] == sidecar)
        let stream = try injected(PodFixtures.pod(spec: ["initContainers": [sidecar]])).pod
        #expect(stream["spec"]?["initContainers"]?[0] == sidecar)
    }

    @Test func `more containers than a patch may grow for are refused, quickly`() {
        let names = (0..<200_000).map { "c\($0)" }.joined(separator: ",")
        #expect(status(PodFixtures.pod(annotations: [PodLabels.container: .string(names)])).contains("more than 32 containers"))
    }

    @Test func `the waiting container and its pod get what the template says of them`() throws {
        var target = PodFixtures.target()
        target.podTemplate = PodTemplate(
            labels: ["team": "a"], imagePullSecrets: [.init(name: "registry"), .init(name: "mine")], serviceAccountName: "other",
            resources: .init(requests: ["cpu": CRD.Quantity("1m")], limits: ["memory": CRD.Quantity("1Gi")]), securityContext: .init(runAsUser: 1000))
        let pod = PodFixtures.pod(
            annotations: [PodLabels.mode: "Wait"], container: ["resources": ["requests": ["cpu": "1"]]],
            spec: ["imagePullSecrets": [["name": "mine"]]])
        let after = try injected(pod, target).pod
        let waits = after["spec"]?["initContainers"]?[0]
        #expect(after["spec"]?["imagePullSecrets"] == [["name": "mine"], ["name": "registry"]])
        #expect(waits?["resources"] == ["requests": ["cpu": "1m"], "limits": ["memory": "1Gi"]])
        #expect(waits?["securityContext"]?["runAsUser"] == 1000 && waits?["securityContext"]?["runAsGroup"] == nil)
        #expect(after["spec"]?["serviceAccountName"] == nil && after["metadata"]?["labels"]?["team"] == nil, "the pod is its author's")
        #expect(PodPatch.make(after, target).operations.isEmpty)
        // Without the wait nothing of it is needed.
        let stream = try injected(PodFixtures.pod(), target).pod
        #expect(stream["spec"]?["imagePullSecrets"] == nil)
    }

    @Test func `an empty volume lies over the cache's inner folders where a pod waits`() throws {
        let (main, pod, _) = try injected(PodFixtures.pod(annotations: [PodLabels.mode: "Wait"]))
        for folder in [".partial", ".presence"] {
            let wanted: JSONValue = [
                "name": "modelcache-empty", "mountPath": .string("/models/gemma/\(folder)"), "readOnly": true,
            ]
            #expect(main["volumeMounts"]?.list.contains(wanted) == true)
        }
        let empty: JSONValue = ["name": "modelcache-empty", "emptyDir": ["sizeLimit": "1Mi"]]
        #expect(pod["spec"]?["volumes"]?.list.contains(empty) == true)
        // The library reads those folders.
        let (streams, stream, _) = try injected(PodFixtures.pod())
        #expect(streams["volumeMounts"]?.list.count == 2 && stream["spec"]?["volumes"]?.list.count == 2)
        // Under another name where the pod has one of this name.
        let own: JSONValue = ["name": "modelcache-empty", "emptyDir": [:]]
        let (second, _, _) = try injected(PodFixtures.pod(annotations: [PodLabels.mode: "Wait"], spec: ["volumes": [own]]))
        #expect(second["volumeMounts"]?.list.contains { $0["name"] == "modelcache-empty-2" } == true)
    }

    @Test func aWaitingPodKeepsItsQualityOfService() throws {
        let wait: JSONValue = [PodLabels.mode: "Wait"]
        let best = try injected(PodFixtures.pod(annotations: wait)).pod
        #expect(best["spec"]?["initContainers"]?[0]?["resources"] == nil)
        let amount: JSONValue = ["cpu": "1", "memory": "1Gi"]
        let guaranteed = try injected(PodFixtures.pod(annotations: wait, container: ["resources": ["requests": amount, "limits": amount]])).pod
        let resources = guaranteed["spec"]?["initContainers"]?[0]?["resources"]
        #expect(resources?["requests"] != nil && resources?["requests"] == resources?["limits"])
    }

    private static let noPods: [JSONValue] = [
        ["metadata": ["labels": ["modelcache.io/inject": "gemma"]]],
        ["metadata": ["labels": ["modelcache.io/inject": "gemma"]], "spec": []],
        ["metadata": ["labels": ["modelcache.io/inject": "gemma"]], "spec": ["containers": "x"]],
        ["metadata": ["labels": ["modelcache.io/inject": "gemma"]], "spec": ["containers": [1]]],
        ["metadata": ["labels": ["modelcache.io/inject": "gemma"]], "spec": ["containers": [["env": 1]]]],
        ["metadata": ["labels": ["modelcache.io/inject": "gemma"], "annotations": []], "spec": ["containers": [[:]]]],
    ]

    @Test(arguments: noPods)
    func whatIsNoPodIsLeftAsItIs(pod: JSONValue) {
        let patch = PodPatch.make(pod)
        #expect(patch.operations.isEmpty && !patch.warnings.isEmpty)
    }

    @Test func aNameThatBreaksLinesStaysOnOne() throws {
        let pod = PodFixtures.pod(label: "a\n\u{1b}[31m\u{202e}" + String(repeating: "x", count: 5000))
        let patch = PodPatch.make(pod, nil)
        guard case .leftAlone(let reason) = patch.outcome else { Issue.record("injected"); return }
        #expect(reason.utf8.count <= 800 && reason.unicodeScalars.allSatisfy { $0.value >= 0x20 && $0.value != 0x202e })
    }
}
