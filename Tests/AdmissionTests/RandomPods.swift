import Admission
import Kubernetes
import TestSupport

/// Pods of every shape that injection has a rule for, and of some it has none for.
struct RandomPods {
    var generator: SeededRandom

    init(seed: UInt64) { generator = SeededRandom(seed: seed) }

    private mutating func chance(_ percent: Int) -> Bool { Int.random(in: 0..<100, using: &generator) < percent }
    private mutating func one(_ values: [JSONValue]) -> JSONValue { values.randomElement(using: &generator)! }

    mutating func next() -> JSONValue {
        var metadata: [String: JSONValue] = ["labels": [PodLabels.inject: "gemma", "x/y~z": "1"], "name": "p"]
        var annotations: [String: JSONValue] = [:]
        if chance(40) { annotations[PodLabels.mode] = one(["Stream", "Wait", "Wait", "Wait", "wait", ""]) }
        if chance(30) { annotations[PodLabels.modelDir] = one(["/m", "/models/gemma/", "/a//b/./c", "m", "/a/../b", "/", "/usr"]) }
        if chance(30) { annotations[PodLabels.container] = one(["c0", "c1", "c0,c1", " c1 , c9 ", "nope", ",", "init0", "c0,init1"]) }
        if chance(30) { annotations[PodLabels.models] = one(["draft", "draft=/models/d", "gemma = /g , draft", "draft=/models/gemma/x", "draft,draft", "draft=", ",", "lost"]) }
        if chance(20) { annotations["kubectl.kubernetes.io/default-container"] = one(["c1", "c0", "gone"]) }
        if chance(10) { annotations[PodLabels.injected] = one(["Stream/spoof", .string("Stream/\(PodFixtures.uid)"), "x"]) }
        if chance(10) { annotations[PodLabels.injectStatus] = "stale" }
        if chance(5) { annotations["a/b~c"] = "d" }
        if !annotations.isEmpty || chance(30) { metadata["annotations"] = .object(annotations) } else if chance(30) { metadata["annotations"] = .null }

        let restricted = chance(60)
        var spec: [String: JSONValue] = [:]
        spec["containers"] = .array((0..<Int.random(in: 1...4, using: &generator)).map { container("c\($0)", restricted: restricted) })
        if chance(40) { spec["initContainers"] = .array((0..<Int.random(in: 0...2, using: &generator)).map { initContainer($0, restricted) }) }
        if chance(10) { spec["ephemeralContainers"] = [["name": "debug", "image": "busybox", "securityContext": safe]] }
        var volumes: [JSONValue] = []
        if chance(30) { volumes.append(["name": "modelcache", "emptyDir": [:]]) }
        if chance(20) { volumes.append(["name": "modelcache-token", "secret": ["secretName": "s"]]) }
        if chance(20) { volumes.append(["name": "data", "emptyDir": [:]]) }
        if chance(20) { volumes.append(["name": "mine", "persistentVolumeClaim": ["claimName": .string(PodFixtures.claim), "readOnly": true]]) }
        if !restricted, chance(20) { volumes.append(["name": "host", "hostPath": ["path": "/"]]) }
        if !volumes.isEmpty || chance(30) { spec["volumes"] = .array(volumes) } else if chance(30) { spec["volumes"] = .null }
        if !restricted, chance(30) { spec["hostNetwork"] = true }
        if restricted { spec["securityContext"] = ["runAsNonRoot": true, "seccompProfile": ["type": "RuntimeDefault"]] }
        if chance(30) { spec["affinity"] = affinity() }
        if chance(10) { spec["nodeName"] = "node-1" }
        if chance(5) { spec["os"] = ["name": one(["windows", "linux"])] }
        if chance(20) { spec["unknownField"] = ["kept": [1, .number(2.5), "x", .null]] }
        return ["apiVersion": "v1", "kind": "Pod", "metadata": .object(metadata), "spec": .object(spec), "status": ["x": 1]]
    }

    private let safe: JSONValue = [
        "allowPrivilegeEscalation": false, "capabilities": ["drop": ["ALL"]], "runAsNonRoot": true, "readOnlyRootFilesystem": true,
        "seccompProfile": ["type": "RuntimeDefault"],
    ]

    private mutating func container(_ name: String, restricted: Bool) -> JSONValue {
        var container: [String: JSONValue] = ["name": .string(name), "image": "i", "futureField": ["kept": true]]
        if restricted { container["securityContext"] = safe } else if chance(30) { container["securityContext"] = ["privileged": true] }
        var env: [JSONValue] = []
        if chance(20) { env.append(["name": "LD_PRELOAD", "value": one(["", "/a.so", "/a.so:/b.so", "/opt/libossc_preload.so", "/m/.modelcache/lib/libossc_preload.so"])]) }
        if chance(10) { env.append(["name": "LD_PRELOAD", "valueFrom": ["configMapKeyRef": ["name": "c", "key": "k"]]]) }
        if chance(20) { env.append(["name": "MODEL_DIR", "value": one(["/models/gemma", "/own", "own", "", "/x/$(Y)"])]) }
        if chance(20) { env.append(["name": "OSS_ACCESS_KEY_ID", "value": "mine"]) }
        if chance(20) { env.append(["name": one(["OSS_PATH", "OSS_REGION", "ENABLE_CONNECTOR", "HOME"]), "value": "theirs"]) }
        if chance(20) { env.append(["name": "NODE", "valueFrom": ["fieldRef": ["fieldPath": "spec.nodeName"]]]) }
        if !env.isEmpty || chance(20) { container["env"] = .array(env) } else if chance(20) { container["env"] = .null }
        if chance(15) { container["envFrom"] = [["configMapRef": ["name": "c"]]] }
        var mounts: [JSONValue] = []
        if chance(30) {
            mounts.append(["name": one(["data", "modelcache", "mine"]), "mountPath": one(["/models", "/models/gemma", "/models/gemma/sub", "/data", "/m/"]), "readOnly": one([true, false])])
        }
        if chance(30) { mounts.append(["name": "kube-api-access", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount", "readOnly": true]) }
        if !mounts.isEmpty || chance(20) { container["volumeMounts"] = .array(mounts) }
        if chance(30) { container["resources"] = ["requests": ["cpu": "1"], "limits": ["cpu": "1", "memory": "1Gi"]] }
        return .object(container)
    }

    private mutating func initContainer(_ number: Int, _ restricted: Bool) -> JSONValue {
        var container: [String: JSONValue] = ["name": one([.string("init\(number)"), "modelcache-wait"]), "image": "i"]
        if chance(50) { container["restartPolicy"] = "Always" }
        if restricted { container["securityContext"] = safe }
        return .object(container)
    }

    private mutating func affinity() -> JSONValue {
        let term: JSONValue = [
            "weight": 100, "preference": ["matchExpressions": [["key": "kubernetes.io/hostname", "operator": "In", "values": ["theirs"]]]],
        ]
        return one([
            [:], .null, ["podAffinity": [:]], ["nodeAffinity": .null],
            ["nodeAffinity": ["requiredDuringSchedulingIgnoredDuringExecution": ["nodeSelectorTerms": []]]],
            ["nodeAffinity": ["preferredDuringSchedulingIgnoredDuringExecution": [term]]],
            ["nodeAffinity": ["preferredDuringSchedulingIgnoredDuringExecution": .null]],
        ])
    }
}
