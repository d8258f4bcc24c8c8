import AgentAPI
import Controller
import CRD
import Kubernetes
import RangeTransfer
import Testing

@Suite struct SourceTests {
    @Test func theFinalizerComesFirst() {
        var world = FakeWorld(nodes: ["node-1"])
        #expect(world.reconcile().actions == [.addFinalizer])
    }

    @Test(arguments: SourceFailure.Reason.allCases.filter { !$0.isOfSpec })
    func eachFailureHasItsReasonAndIsTriedAgainMoreAndMoreSlowly(reason: SourceFailure.Reason) {
        var world = FakeWorld(nodes: ["node-1"])
        world.sourceFailure = SourceFailure(reason, "what and how to mend it")
        world.run(seconds: 4)
        #expect(world.condition(.sourceResolved)?.status == .false)
        #expect(world.condition(.sourceResolved)?.reason == reason.rawValue)
        #expect(world.condition(.sourceResolved)?.message == "what and how to mend it")
        #expect(world.condition(.ready)?.reason == reason.rawValue)
        #expect(world.resolution.failures == 1)
        world.run(seconds: 120)
        #expect((4...7).contains(world.resolution.failures))
        #expect(world.jobs.isEmpty)
        world.sourceFailure = nil
        world.run(seconds: 70) { $0.isReady }
        #expect(world.isReady)
    }

    @Test(arguments: [
        ("set OSS_ENDPOINT and OSS_REGION to the bucket's region: use cn-a",
         "set spec.source.endpoint and spec.source.region to the bucket's region: use cn-a"),
        ("set MODELCACHE_REQUEST_PAYER=requester (spec.source.requesterPays)", "set spec.source.requesterPays: true"),
        ("or leave it out with MODELCACHE_INCLUDE (spec.source.include)", "or leave it out with spec.source.include"),
        ("write oss://b/k without the slash at its end (OSS_PATH, spec.source.uri)",
         "write oss://b/k without the slash at its end (spec.source.uri)"),
        ("check the bucket in OSS_PATH", "check the bucket in spec.source.uri"),
        ("check OSS_ACCESS_KEY_ID", "check OSS_ACCESS_KEY_ID"), ("nothing to name", "nothing to name"),
    ])
    func settingsHaveTheirNamesInTheSpec(text: String, expected: String) {
        #expect(SpecWords.named(text) == expected)
        #expect(SpecWords.named(expected) == expected)
    }

    @Test func anInvalidSpecIsToldAndNothingIsMade() {
        var world = FakeWorld(nodes: ["node-1"])
        world.invalid = "spec.source.uri (\"ftp://x\") has no known scheme: write oss://bucket/prefix/"
        world.run(seconds: 5)
        #expect(world.condition(.sourceResolved)?.reason == "InvalidSpec")
        #expect(world.condition(.sourceResolved)?.message.contains("ftp://x") == true)
        #expect(world.status?.phase == .failed)
        #expect(world.status?.observedGeneration == 1)
        #expect(world.volume == nil && world.jobs.isEmpty)
    }

    @Test func aChangedSourceIsRefusedAndTheOldOneIsServed() {
        var world = FakeWorld(nodes: ["node-1"])
        world.run { $0.isReady }
        let before = world.spec
        world.spec = CacheSpec(source: CacheDefinition.Source(uri: "oss://models/other/", endpoint: "http://store:80"))
        world.generation += 1
        world.run(seconds: 5)
        #expect(world.condition(.sourceResolved)?.reason == "SourceImmutable")
        #expect(world.holds("node-1"))
        #expect(world.madeJobs.count == 1)
        #expect(world.status?.source?.digest == "sha256:aa")
        world.spec = before
        world.generation += 1
        world.run { $0.isReady }
        #expect(world.isReady)
        #expect(world.madeJobs.count == 1)
    }

    @Test func theRegionOfTheNodesFillsInAMissingEndpoint() {
        var world = FakeWorld(nodes: [])
        world.spec = CacheSpec(source: CacheDefinition.Source(uri: "oss://models/qwen/"))
        world.addNode("node-1", labels: [NodeView.regionLabel: "cn-beijing"])
        world.run { $0.isReady }
        let source = world.agents["node-1"]?.caches[FakeWorld.uid]?.source
        #expect(source?.endpoint == "https://oss-cn-beijing-internal.aliyuncs.com")
    }

    @Test func nodesOfSeveralRegionsLeaveTheSourceOpen() {
        var world = FakeWorld(nodes: [])
        world.spec = CacheSpec(source: CacheDefinition.Source(uri: "oss://models/qwen/"))
        world.addNode("node-1", labels: [NodeView.regionLabel: "cn-beijing"])
        world.addNode("node-2", labels: [NodeView.regionLabel: "cn-shanghai"])
        world.run(seconds: 3)
        #expect(world.condition(.sourceResolved)?.reason == "InvalidSpec")
        #expect(world.condition(.sourceResolved)?.message.contains("cn-beijing, cn-shanghai") == true)
    }

    @Test func aRegionThatWasTakenFromTheNodesIsKept() {
        var world = FakeWorld(nodes: [])
        world.spec = CacheSpec(source: CacheDefinition.Source(uri: "oss://models/qwen/"))
        world.run(seconds: 3)
        #expect(world.condition(.sourceResolved)?.status == .unknown)
        #expect(world.condition(.ready)?.reason == "NoMatchingNodes" && world.status?.phase == .pending)
        #expect(world.status?.source == nil)
        world.addNode("node-1", labels: [NodeView.regionLabel: "cn-beijing"])
        world.run { $0.isReady }
        #expect(world.status?.source?.region == "cn-beijing")
        // Others join, the first one goes, the operator starts anew: the source stays where it is.
        world.addNode("node-2", labels: [NodeView.regionLabel: "cn-shanghai"])
        world.run { $0.isReady && $0.holds("node-2") }
        world.nodes["node-1"] = nil
        world.agents["node-1"] = nil
        world.crash()
        world.run(seconds: 5)
        #expect(world.isReady)
        #expect(world.agents["node-2"]?.caches[FakeWorld.uid]?.source.endpoint == "https://oss-cn-beijing-internal.aliyuncs.com")
        world.nodes["node-2"] = nil
        world.agents["node-2"] = nil
        world.run(seconds: 3)
        #expect(world.condition(.ready)?.reason == "NoMatchingNodes")
        #expect(world.condition(.sourceResolved)?.status == .true)
        #expect(world.status?.source?.region == "cn-beijing")
    }

    @Test func aChangedMediumIsRefusedAndTheOldOneIsServed() {
        var world = FakeWorld(nodes: ["node-1"])
        world.run { $0.isReady }
        #expect(world.status?.medium == .memory)
        world.spec.medium = .disk
        world.generation += 1
        world.run(seconds: 5)
        #expect(world.condition(.sourceResolved)?.reason == "MediumImmutable")
        #expect(world.condition(.ready)?.message.contains("make a new ModelCache for the other medium") == true)
        #expect(world.status?.phase == .failed && world.status?.medium == .memory)
        #expect(world.agents["node-1"]?.caches[FakeWorld.uid]?.medium == .memory)
        #expect(world.holds("node-1") && world.volume != nil && world.madeJobs.count == 1)
        world.spec.medium = .memory
        world.generation += 1
        world.run { $0.isReady }
        #expect(world.isReady && world.madeJobs.count == 1)
    }

    @Test func aStoreThatIsAwayLaterDoesNotTakeReadyBack() {
        var world = FakeWorld(nodes: ["node-1"])
        world.run { $0.isReady }
        world.sourceFailure = SourceFailure(.endpointUnreachable, "away")
        world.agents["node-1"]?.caches[FakeWorld.uid]?.digest = "sha256:cc"
        world.run(seconds: 5)
        world.agents["node-1"]?.caches[FakeWorld.uid]?.digest = "sha256:aa"
        world.run(seconds: 5)
        #expect(world.condition(.sourceResolved)?.status == .true)
        world.run(seconds: 10)
        #expect(world.condition(.sourceResolved)?.reason == "EndpointUnreachable")
        #expect(world.isReady)
    }

    @Test func `a Secret that expires soon is looked at again until it is renewed, and a look is a Job every five minutes`() {
        var world = FakeWorld(nodes: ["node-1"]) { $0.secretName = "keys" }
        let now = world.now.milliseconds / 1000
        world.secretExpiry = now + 3 * 3600
        world.run { $0.isReady }
        world.run(seconds: 600)
        #expect(world.looks == 1)
        world.run(seconds: 3600)
        #expect(world.resolution.finishedAt.map { world.now - $0 < .seconds(310) } == true)
        #expect((2...5).contains(world.looks), "\(world.looks)")
        world.secretExpiry = now + 100 * 3600
        world.run(seconds: 310)
        let renewed = world.resolution.finishedAt
        world.run(seconds: 600)
        #expect(world.resolution.finishedAt == renewed && world.isReady)
    }

    @Test func `a wrong way to the store is mended by an edit, without waiting for the next try`() {
        var world = FakeWorld(nodes: ["node-1"])
        world.sourceFailure = SourceFailure(.endpointUnreachable, "no such host")
        world.run(seconds: 200)
        #expect(world.condition(.sourceResolved)?.reason == "EndpointUnreachable" && world.resolution.failures > 3)
        world.sourceFailure = nil
        world.spec.source.endpoint = "http://right:80"
        world.generation += 1
        world.run(seconds: 3)
        #expect(world.condition(.sourceResolved)?.status == .true)
        world.run { $0.isReady }
        #expect(world.isReady)
    }

    @Test func `another way to the store, also one that an earlier operator missed, is tried and keeps the copies`() {
        var world = FakeWorld(nodes: ["node-1"])
        world.run { $0.isReady }
        world.spec.source.endpoint = "http://other:80"
        world.generation += 1
        world.run(seconds: 5)
        #expect(world.isReady && world.resolution.subject == world.spec.resolutionSubject && world.madeJobs.count == 1)
        world.crash()
        world.spec.secretName = "other"
        world.generation += 1
        world.run(seconds: 5)
        #expect(world.isReady && world.resolution.subject == world.spec.resolutionSubject && world.madeJobs.count == 1)
    }

    @Test func `a changed source is told until a digest is pinned, and a pinned one is not left`() {
        var world = FakeWorld(nodes: ["node-1", "node-2"])
        world.run { $0.isReady }
        #expect(world.condition(.sourceChanged) == nil)
        world.digest = "sha256:bb"
        world.agents["node-1"]?.caches[FakeWorld.uid]?.digest = "sha256:bb"
        world.failing = ["node-2"]
        world.run { $0.holds("node-1") && $0.status?.source?.digest == "sha256:bb" }
        let told = world.condition(.sourceChanged)
        #expect(told?.status == .true && told?.reason == "ObjectsChanged" && told?.message.contains("sha256:aa") == true)
        world.crash()
        world.run(seconds: 5)
        #expect(world.condition(.sourceChanged) == told)
        // The pin settles it, and holds when the source moves on.
        world.spec.pinnedDigest = "sha256:bb"
        world.generation += 1
        world.failing = []
        world.run(seconds: 5)
        #expect(world.condition(.sourceChanged) == nil)
        world.run { $0.isReady }
        #expect(world.isReady)
        let made = world.madeJobs.count
        world.digest = "sha256:cc"
        world.agents["node-1"]?.caches[FakeWorld.uid]?.digest = "sha256:cc"
        world.run(seconds: 90)
        #expect(world.condition(.sourceResolved)?.reason == "DigestMismatch")
        #expect(world.condition(.sourceResolved)?.message.contains("sha256:cc") == true)
        #expect(world.madeJobs.count == made && world.status?.source?.digest == "sha256:bb")
        world.digest = "sha256:bb"
        world.agents["node-1"]?.caches[FakeWorld.uid]?.digest = "sha256:bb"
        world.run(seconds: 70) { $0.isReady && $0.condition(.sourceResolved)?.status == .true }
        #expect(world.isReady)
    }

    @Test func `a change names the objects that were added, removed or replaced`() {
        func listing(_ digest: String, _ objects: [String: String]) -> ResolvedSource {
            ResolvedSource(totalBytes: 1, files: objects.count, digest: digest, objects: objects)
        }
        let before = listing("sha256:aa", ["a.gguf": "1", "b.gguf": "2", "c.gguf": "3"])
        #expect(SourceChange(from: before, to: before) == nil)
        let after = listing("sha256:bb", ["a.gguf": "1", "b.gguf": "9", "d.gguf": "4"])
        #expect(SourceChange(from: before, to: after)?.keys == ["b.gguf", "c.gguf", "d.gguf"])
        #expect(SourceChange(from: listing("sha256:aa", [:]), to: after)?.keys == [])
    }

    @Test func `the condition names the party that reads`() {
        let role = SourceRole(assumed: .init(serviceAccount: "warm", roleARN: "arn:r"))
        for (role, secret, words) in [
            (role, nil, "read as arn:r by the ServiceAccount warm"), (.ofNode, nil, "read with the nodes' role"), (nil, "oss", "read with the Secret oss"),
            (nil, nil, "read without credentials"),
        ] as [(SourceRole?, String?, String)] {
            var world = FakeWorld(nodes: ["node-1"]) {
                $0.source.role = role
                $0.secretName = secret
            }
            world.run(seconds: 3)
            #expect(world.condition(.sourceResolved)?.message.hasSuffix("; \(words)") == true)
        }
    }

    @Test func `an edited spec is listed at once, whatever becomes of the listing under way`() {
        var world = FakeWorld(nodes: ["node-1"]) { $0.secretName = "old" }
        world.resolution.look = .init(id: 1, subject: world.spec.resolutionSubject, waiting: "QuotaExceeded: pods=1")
        world.run(seconds: 2)
        #expect(!world.actions.contains(.resolve) && world.status?.phase == .resolving)
        #expect(world.condition(.sourceResolved)?.message == "the source is being listed; QuotaExceeded: pods=1")
        world.spec.secretName = "new"
        world.generation += 1
        world.reconcile()
        #expect(world.actions.contains(.resolve))
        #expect(world.condition(.sourceResolved)?.message == "the source is being listed", "the former one's trouble is over")
    }

    @Test func `the pod that lists is part of what a listing with keys or a role is about`() {
        let role = SourceRole(assumed: .init(serviceAccount: "warm", roleARN: "acs:ram::1:role/r", providerARN: "acs:ram::1:oidc-provider/p"))
        for (reads, secret) in [(role, nil), (.ofNode, nil), (nil, "keys"), (nil, nil)] as [(SourceRole?, String?)] {
            var spec = CacheSpec(source: CacheDefinition.Source(uri: "oss://models/qwen/", role: reads), secretName: secret)
            let isJob = reads != nil || secret != nil
            let before = spec.resolutionSubject
            #expect(spec.resolutionSubject == before)
            spec.podTemplate.priorityClassName = "high"
            #expect((spec.resolutionSubject != before) == isJob)
            let priority = spec.resolutionSubject
            spec.placement.nodeSelector = ["pool": "gpu"]
            #expect((spec.resolutionSubject != priority) == isJob)
        }
    }

    private static let listing = ListingJob(
        owner: Owner(namespace: "a", name: "qwen", uid: FakeWorld.uid),
        source: CacheDefinition.Source(
            uri: "oss://models/qwen/", endpoint: "https://store",
            role: SourceRole(assumed: .init(serviceAccount: "warm", roleARN: "acs:ram::1:role/r", providerARN: "acs:ram::1:oidc-provider/p"))),
        image: "agent:1", pods: PodTemplate(), placement: PlacementRules())

    @Test(arguments: [
        (#"{"totalBytes":7,"files":2,"digest":"sha256:1","leftOut":"x","objects":{"a":"1"},"secret":{"version":"ab","expiry":9}}"#, nil),
        (#"{"totalBytes":0,"files":0,"digest":""}"#, .sourceEmpty),
        (#"{"totalBytes":0,"files":0,"digest":"","failure":{"kind":"credentialsRefused","message":"RAM role r gave none"}}"#, .accessDenied),
        (#"{"totalBytes":0,"files":0,"digest":"","failure":{"kind":"secretNotFound","message":"there is no Secret keys"}}"#, .secretNotFound),
        (#"{"totalBytes":0,"files":0,"digest":"","failure":{"kind":"secretInvalid","message":"Secret keys has akId alone"}}"#, .secretInvalid),
        (#"{"totalBytes":0,"files":0,"digest":"","failure":{"kind":"of a later release","message":"m"}}"#, .storeError),
        ("exec: /modelcache: not found", .storeError), ("", .storeError),
    ] as [(String, SourceFailure.Reason?)])
    func `a source with credentials is as its Job says`(message: String, reason: SourceFailure.Reason?) async throws {
        let resolver = try SourceResolver { job, _ in
            #expect(job == Self.listing)
            return .success(message)
        }
        switch try await resolver.resolve(.job(Self.listing)) {
        case .success(let source):
            #expect(reason == nil)
            #expect(
                source == ResolvedSource(
                    totalBytes: 7, files: 2, digest: "sha256:1", secret: SecretView(version: "ab", expiry: 9), leftOut: "x",
                    objects: ["a": "1"]))
        case .failure(let failure): #expect(failure.reason == reason)
        }
    }

    @Test func `a Job that lists runs as the role's ServiceAccount with STS's token and no other`() throws {
        let job = Self.listing.manifest
        let pod = try #require(job.spec?.template.spec)
        #expect(pod.serviceAccountName == "warm" && pod.automountServiceAccountToken == false)
        let tokens = (pod.volumes ?? []).flatMap { $0.projected?.sources ?? [] }.compactMap(\.serviceAccountToken?.audience)
        #expect(tokens == ["sts.aliyuncs.com"])
        let variables = Dictionary((pod.containers.first?.env ?? []).map { ($0.name, $0.value ?? "") }) { $1 }
        #expect(variables["ALIBABA_CLOUD_ROLE_ARN"] == "acs:ram::1:role/r" && variables["OSS_PATH"] == "oss://models/qwen/")
        #expect(variables["ALIBABA_CLOUD_OIDC_TOKEN_FILE"]?.hasSuffix("/token") == true && variables["OSS_ACCESS_KEY_ID"] == nil)
        #expect(job.metadata.labels?[Names.uidLabel] == nil, "it is no warm-up")
        #expect(job.metadata.ownerReferences?.first?.uid == FakeWorld.uid && job.spec?.backoffLimit == 0)
        var node = Self.listing
        node.source.role = .ofNode
        #expect(node.manifest.spec?.template.spec?.containers.first?.env?.contains(EnvVar(name: "MODELCACHE_CREDENTIALS", value: "node")) == true)
    }

    @Test func `a Job that lists as the role that the cluster gives runs as the ServiceAccount and names no role`() throws {
        var listing = Self.listing
        listing.source.role = nil
        listing.givenTo = "warm"
        listing.access.stsEndpoint = "https://sts.example"
        let pod = try #require(listing.manifest.spec?.template.spec)
        #expect(pod.serviceAccountName == "warm" && pod.volumes?.isEmpty == true && pod.automountServiceAccountToken == false)
        let variables = Dictionary((pod.containers.first?.env ?? []).map { ($0.name, $0.value ?? "") }) { $1 }
        #expect(variables["MODELCACHE_CREDENTIALS"] == "pod" && variables["ALIBABA_CLOUD_STS_ENDPOINT"] == "https://sts.example")
        #expect(variables["ALIBABA_CLOUD_ROLE_ARN"] == nil && variables["ALIBABA_CLOUD_OIDC_TOKEN_FILE"] == nil)
    }

    @Test func `a Job that lists with a Secret mounts it, present or not, and names no entry`() throws {
        var listing = Self.listing
        listing.source.role = nil
        listing.secretName = "keys"
        let pod = try #require(listing.manifest.spec?.template.spec)
        #expect(pod.volumes?.map(\.secret) == [SecretVolumeSource(secretName: "keys", defaultMode: 0o444, optional: true)])
        let container = try #require(pod.containers.first)
        #expect(container.volumeMounts?.map(\.readOnly) == [true])
        let variables = Dictionary((container.env ?? []).map { ($0.name, $0) }) { $1 }
        #expect(variables["MODELCACHE_SECRET_FOLDER"]?.value == container.volumeMounts?.first?.mountPath)
        #expect(variables["MODELCACHE_SECRET_NAME"]?.value == "keys" && variables["MODELCACHE_CREDENTIALS"] == nil)
        #expect(variables.values.allSatisfy { $0.valueFrom == nil })
        #expect(pod.serviceAccountName == nil && pod.automountServiceAccountToken == false)
    }

    @Test func `a Job that lists goes the operator's way to the store, without a proxy's password`() throws {
        var listing = Self.listing
        let environment = ["HTTPS_PROXY": "http://proxy:3128", "HTTP_PROXY": "http://ann:hunter2@proxy", "NO_PROXY": "a", "HOME": "/"]
        listing.access = ServiceAccess(stsEndpoint: nil, environment: environment)
        listing.access.authorities = "-----BEGIN CERTIFICATE-----"
        let template = try #require(listing.manifest.spec?.template)
        let variables = Dictionary((template.spec?.containers.first?.env ?? []).map { ($0.name, $0.value ?? "") }) { $1 }
        #expect(variables["HTTPS_PROXY"] == "http://proxy:3128" && variables["NO_PROXY"] == "a")
        #expect(variables["HTTP_PROXY"] == nil && variables["HOME"] == nil)
        let mount = try #require(template.spec?.containers.first?.volumeMounts?.last)
        let items = template.spec?.volumes?.first { $0.name == mount.name }?.projected?.sources?.first?.downwardAPI?.items
        let item = try #require(items?.first)
        #expect(variables["SSL_CERT_FILE"] == "\(mount.mountPath)/\(item.path)")
        let annotation = template.metadata?.annotations?.first { $0.value == "-----BEGIN CERTIFICATE-----" }?.key
        #expect(item.fieldRef.fieldPath == "metadata.annotations['\(annotation ?? "")']")
    }

    private func refusal(_ endpoint: String, loopback: Bool = false, proxies: ProxySettings = .none) async throws -> SourceFailure? {
        let resolver = try SourceResolver(allowsLoopback: loopback, proxies: proxies) { _, _ in throw CancellationError() }
        let source = CacheDefinition.Source(uri: "oss://models/qwen/", endpoint: endpoint)
        guard case .failure(let failure) = try await resolver.resolve(.anonymous(source)) else { return nil }
        return failure
    }

    @Test func aResolverTellsARefusedConnection() async throws {
        #expect(try await refusal("http://127.0.0.1:1", loopback: true)?.reason == .endpointUnreachable)
    }

    @Test func `a resolver reaches stores through the proxy of its environment`() async throws {
        let proxies = try ProxySettings(environment: ["HTTP_PROXY": "http://ann:hunter2@127.0.0.1:1"])
        let failure = try #require(try await refusal("http://store.example", proxies: proxies))
        #expect(failure.reason == .endpointUnreachable)
        #expect(failure.message.contains("the proxy http://127.0.0.1:1 refuses connections"))
        #expect(!failure.message.contains("hunter2"))
    }

    /// A name passes validation whatever it resolves to.
    @Test func aResolverConnectsToNoAddressOfItsOwnMachine() async throws {
        let failure = try #require(try await refusal("http://localhost:1"))
        #expect(failure.reason == .invalidSpec)
        #expect(failure.message.contains("which is this machine itself"))
    }
}
