import Foundation
import Kubernetes
import Synchronization
import Testing
import TestSupport

private let kubeconfig = ProcessInfo.processInfo.environment["MODELCACHE_TEST_KUBECONFIG"]
private let otherKubeconfig = ProcessInfo.processInfo.environment["MODELCACHE_TEST_OTHER_KUBECONFIG"]

/// Against a real API server, when `MODELCACHE_TEST_KUBECONFIG` names one. No controllers need to run. `MODELCACHE_TEST_OTHER_KUBECONFIG`:
/// the same by way of a server whose certificate is for the name `another.example` and no address.
@Suite(.enabled(if: kubeconfig != nil, "MODELCACHE_TEST_KUBECONFIG is not set"))
struct RealServerTests {
    private func withNamespace(_ body: (KubernetesClient, String) async throws -> Void) async throws {
        let client = try KubernetesClient(configuration: .load(kubeconfig: kubeconfig))
        let name = "client-\(UUID().uuidString.lowercased())"
        try await client.create(Namespace(metadata: ObjectMeta(name: name)))
        do {
            try await body(client, name)
        } catch {
            _ = try? await client.delete(Namespace.self, ObjectKey(name: name))
            try? await client.shutdown()
            throw error
        }
        _ = try? await client.delete(Namespace.self, ObjectKey(name: name))
        try await client.shutdown()
    }

    private func failure(_ body: () async throws -> Void) async -> KubernetesError? {
        do {
            try await body()
            return nil
        } catch {
            return error as? KubernetesError
        }
    }

    private func job(_ namespace: String, _ name: String) -> Job {
        Job(
            metadata: ObjectMeta(name: name, namespace: namespace, labels: ["app": "warm"]),
            spec: JobSpec(
                backoffLimit: 2,
                template: PodTemplateSpec(
                    spec: PodSpec(
                        containers: [
                            Container(
                                name: "c", image: "none",
                                env: [EnvVar(name: "A", valueFrom: EnvVarSource(secretKeyRef: KeySelector(name: "s", key: "k")))],
                                resources: ResourceRequirements(requests: ["cpu": "10m", "memory": "32Mi"]),
                                securityContext: SecurityContext(
                                    allowPrivilegeEscalation: false, capabilities: Capabilities(drop: ["ALL"])))
                        ],
                        restartPolicy: "Never",
                        affinity: Affinity(
                            nodeAffinity: NodeAffinity(
                                requiredDuringSchedulingIgnoredDuringExecution: NodeSelector(nodeSelectorTerms: [
                                    NodeSelectorTerm(matchFields: [
                                        NodeSelectorRequirement(key: "metadata.name", operator: "In", values: ["n1"])
                                    ])
                                ]))),
                        tolerations: [Toleration(operator: "Exists")]))))
    }

    @Test func `an object is created, read, changed in every way, and deleted`() async throws {
        try await withNamespace { client, namespace in
            let key = ObjectKey(namespace: namespace, name: "m")
            let made = try await client.create(
                ConfigMap(metadata: ObjectMeta(name: "m", namespace: namespace), data: ["a": "1"]), WriteOptions(fieldManager: "first"))
            #expect(!made.uid.isEmpty && made.metadata.creationTimestamp != nil)
            let again = await failure { try await client.create(ConfigMap(metadata: ObjectMeta(name: "m", namespace: namespace))) }
            #expect(again?.isAlreadyExists == true)

            let merged = try await client.patch(ConfigMap.self, key, .merge(["data": ["b": "2"]] as JSONValue))
            #expect(merged.data == ["a": "1", "b": "2"])
            let patched = try await client.patch(
                ConfigMap.self, key, .json([.test("/data/a", "1"), .replace("/data/a", "3"), .remove("/data/b")]))
            #expect(patched.data == ["a": "3"])
            let stale = await failure { try await client.update(made) }
            #expect(stale?.isConflict == true)
            var fresh = patched
            fresh.data = ["a": "4"]
            let updated = try await client.update(fresh)
            #expect(updated.data == ["a": "4"])

            let dry = try await client.apply(
                ConfigMap(metadata: ObjectMeta(name: "m", namespace: namespace), data: ["z": "9"]), fieldManager: "second", dryRun: true)
            #expect(dry.data == ["a": "4", "z": "9"])
            let other = await failure {
                try await client.apply(
                    ConfigMap(metadata: ObjectMeta(name: "m", namespace: namespace), data: ["a": "5"]), fieldManager: "second", force: false)
            }
            #expect(other?.isConflict == true && "\(String(describing: other?.fieldCauses))".contains("data.a"))
            let forced = try await client.apply(
                ConfigMap(metadata: ObjectMeta(name: "m", namespace: namespace), data: ["a": "5"]), fieldManager: "second")
            #expect(forced.data == ["a": "5"])
            var versions: Set<String> = []
            for _ in 0..<3 {
                let same = ConfigMap(metadata: ObjectMeta(name: "n", namespace: namespace), data: ["a": "5"])
                versions.insert(try await client.apply(same, fieldManager: "second").resourceVersion)
            }
            #expect(versions.count == 1, "applying what is there already changes nothing")

            let wrong = await failure { try await client.delete(ConfigMap.self, key, DeleteOptions(uid: "another")) }
            #expect(wrong?.isConflict == true)
            let outcome = try await client.delete(ConfigMap.self, key, DeleteOptions(uid: made.uid))
            guard case .gone = outcome else { return #expect(Bool(false)) }
            let gone = try await client.find(ConfigMap.self, key)
            #expect(gone == nil)
        }
    }

    @Test func `Jobs, Leases, Events, Secrets and volumes go there and back`() async throws {
        try await withNamespace { client, namespace in
            let made = try await client.apply(job(namespace, "j"), fieldManager: "tester")
            #expect(made.spec?.backoffLimit == 2 && made.spec?.template.spec?.tolerations == [Toleration(operator: "Exists")])
            #expect(made.spec?.template.spec?.containers[0].resources?.requests?["memory"]?.value == 32 << 20)
            let now = Timestamp.now
            let status = try await client.patch(
                Job.self, made.objectKey,
                .merge(["status": ["active": 1, "startTime": .string(now.description)]] as JSONValue), subresource: .status)
            #expect(status.status?.active == 1 && status.status?.startTime == now)

            let time = MicroTime.now
            let lease = try await client.create(
                Lease(
                    metadata: ObjectMeta(name: "l", namespace: namespace),
                    spec: LeaseSpec(holderIdentity: "me", leaseDurationSeconds: 15, acquireTime: time, renewTime: time, leaseTransitions: 1)))
            #expect(lease.spec?.renewTime == time)

            let event = try await client.create(
                Event(
                    metadata: ObjectMeta(name: "e", namespace: namespace), involvedObject: made.objectReference, reason: "R",
                    message: "M", type: "Normal", firstTimestamp: now, lastTimestamp: now, count: 1))
            #expect(event.involvedObject.uid == made.uid && event.count == 1)

            let secret = try await client.create(
                Secret(metadata: ObjectMeta(name: "s", namespace: namespace), data: ["k": Base64Data(text: "v")]))
            #expect(secret.data?["k"]?.text == "v" && secret.type == "Opaque")

            let claim = try await client.create(
                PersistentVolumeClaim(
                    metadata: ObjectMeta(
                        name: "c", namespace: namespace, ownerReferences: [made.ownerReference()]),
                    spec: PersistentVolumeClaimSpec(
                        accessModes: ["ReadOnlyMany"], storageClassName: "", volumeName: "v",
                        resources: ResourceRequirements(requests: ["storage": "1Gi"]))))
            #expect(claim.spec?.storageClassName == "" && claim.metadata.ownerReferences?.first?.uid == made.uid)
            let outcome = try await client.delete(Job.self, made.objectKey, DeleteOptions(propagation: .foreground))
            guard case .pending(let job) = outcome else { return #expect(Bool(false), "\(outcome)") }
            #expect(job.metadata.finalizers == ["foregroundDeletion"])
        }
    }

    @Test func `what the server refuses names the fields`() async throws {
        try await withNamespace { client, namespace in
            var bad = job(namespace, "j")
            bad.spec?.template.spec?.restartPolicy = "Sometimes"
            bad.spec?.backoffLimit = -1
            let invalid = await failure { try await client.create(bad) }
            #expect(invalid?.isInvalid == true)
            let fields = invalid?.fieldCauses.compactMap(\.field) ?? []
            #expect(fields.contains("spec.backoffLimit") && fields.contains("spec.template.spec.restartPolicy"))
            let nowhere = await failure { try await client.create(job("no-such-namespace", "j")) }
            #expect(nowhere?.isNotFound == true)
            try await client.delete(Namespace.self, ObjectKey(name: namespace))
            let closing = await failure { try await client.create(job(namespace, "j")) }
            #expect(closing?.isNamespaceTerminating == true || closing?.isNotFound == true, "\(String(describing: closing))")
        }
    }

    @Test func `a reflector follows a list of several pages and what comes after`() async throws {
        try await withNamespace { client, namespace in
            try await withThrowingTaskGroup(of: Void.self) { group in
                for worker in 0..<8 {
                    group.addTask {
                        for number in 0..<25 {
                            try await client.create(job(namespace, "j-\(worker)-\(number)"))
                        }
                    }
                }
                try await group.waitForAll()
            }
            let pages = try await client.listAll(Job.self, in: namespace, ListOptions(labelSelector: "app=warm", limit: 37))
            #expect(pages.items.count == 200)

            let deleted = Mutex<Set<String>>([])
            let latency = Mutex<[Duration]>([])
            let sent = Mutex<[String: ContinuousClock.Instant]>([:])
            let reflector = Reflector<Job, String>(client: client, namespace: namespace) { $0.uid }
            reflector.addHandler { event in
                switch event {
                case .deleted(let key, _): deleted.withLock { _ = $0.insert(key.name) }
                case .added(let key, _):
                    guard let at = sent.withLock({ $0[key.name] }) else { return }
                    latency.withLock { $0.append(at.duration(to: .now)) }
                case .modified: break
                }
            }
            let running = Task { try await reflector.run() }
            defer { running.cancel() }
            try await reflector.waitUntilSynced()
            #expect(reflector.store.count == 200)
            for number in 0..<50 {
                sent.withLock { $0["late-\(number)"] = .now }
                try await client.create(job(namespace, "late-\(number)"))
            }
            try await eventually("the late ones") { reflector.store.count == 250 }
            try await client.deleteCollection(Job.self, in: namespace, DeleteOptions(propagation: .background))
            try await eventually("nothing is left") { reflector.store.count == 0 }
            #expect(deleted.withLock { $0.count } == 250)
            let sorted = latency.withLock { $0.sorted() }
            print("from sending a creation to the handler: median \(sorted[sorted.count / 2]), worst \(sorted[sorted.count - 1])")
        }
    }

    @Test func `a version of the future is awaited and an ancient one is gone or served`() async throws {
        try await withNamespace { client, namespace in
            let future = await failure {
                let watch = try await client.watch(Job.self, in: namespace, WatchOptions(resourceVersion: "999999999999", timeout: .seconds(2)))
                for try await event in watch {
                    if case .error(let status) = event { throw KubernetesError(.status(status), verb: .watch, resource: "jobs") }
                }
            }
            if let future { #expect(future.isTooLargeResourceVersion || future.isGone, "\(future)") }
            let list = await failure {
                _ = try await client.list(Job.self, in: namespace, ListOptions(resourceVersion: "999999999999"))
            }
            #expect(list?.isTooLargeResourceVersion == true || list?.isTransient == true, "\(String(describing: list))")
        }
    }

    @Test func `the server must prove who it is`() async throws {
        func version(of file: String? = kubeconfig, _ change: (inout ClientConfiguration) -> Void) async throws -> KubernetesError? {
            var configuration = try ClientConfiguration.load(kubeconfig: file)
            change(&configuration)
            var options = ClientOptions()
            options.readAttempts = 1
            let client = try KubernetesClient(configuration: configuration, options: options)
            let error = await failure { _ = try await client.raw("/version") }
            try await client.shutdown()
            return error
        }
        let named = try await version { $0.tls.serverName = "kubernetes.default.svc" }
        #expect(named == nil)
        // Another server, at the same address, whose certificate is of the right authority and for the name another.example alone.
        let other = try #require(otherKubeconfig, "MODELCACHE_TEST_OTHER_KUBECONFIG is not set")
        for (name, isTaken) in [(nil, false), ("kubernetes.default.svc", false), ("another.example", true)] {
            let error = try await version(of: other) { $0.tls.serverName = name }
            #expect((error == nil) == isTaken, "\(name ?? "its address"): \(String(describing: error))")
            if !isTaken, let error { #expect("\(error)".contains("certificate"), "\(error)") }
        }
        let system = try await version { $0.tls.certificateAuthority = nil }
        #expect(system.map { "\($0)" }?.contains("certificate-authority") == true, "\(String(describing: system))")
        let unchecked = try await version {
            $0.tls.certificateAuthority = nil
            $0.tls.insecureSkipVerify = true
        }
        #expect(unchecked == nil)
        let garbage = try await version { $0.tls.certificateAuthority = .inline(Array("no PEM".utf8)) }
        #expect(garbage.map { "\($0)" }?.contains("not PEM") == true)
        let anonymous = try await version { $0.authentication = Authentication(token: "nobody") }
        #expect(anonymous?.isUnauthorized == true)
    }

    @Test func `raw paths answer`() async throws {
        let client = try KubernetesClient(configuration: .load(kubeconfig: kubeconfig))
        let version = String(decoding: try await client.raw("/version"), as: UTF8.self)
        #expect(version.contains("gitVersion"))
        let missing = await failure { _ = try await client.raw("/apis/nothing.example/v1") }
        #expect(missing?.isNotFound == true)
        try await client.shutdown()
    }
}
