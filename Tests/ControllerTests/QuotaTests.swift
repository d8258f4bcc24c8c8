import AgentAPI
import CRD
import Controller
import Foundation
import Kubernetes
import TestSupport
import Testing

/// The quota of a namespace: which ModelCaches may have copies.
@Suite struct QuotaTests {
    private func quota(_ hard: [String: Kubernetes.Quantity], name: String = "models") -> QuotaView? {
        QuotaView(
            ResourceQuota(metadata: Kubernetes.ObjectMeta(name: name, namespace: "team"), spec: ResourceQuotaSpec(hard: hard)))
    }

    private func demand(_ uid: String, _ bytes: Int64, at time: Int, isAdmitted: Bool = false) -> QuotaDemand {
        QuotaDemand(
            uid: uid, createdAt: "2026-01-01T00:00:\(time < 10 ? "0" : "")\(time)Z", medium: .memory, bytes: bytes,
            isAdmitted: isAdmitted)
    }

    @Test func `A ResourceQuota that says nothing of models is left out`() {
        #expect(quota(["pods": "4", "requests.storage": "1Ti"]) == nil)
        #expect(quota(["modelcache.io/memory": "1Gi", "pods": "4"])?.limits == [.memory: 1 << 30])
        #expect(quota(["modelcache.io/disk": "2e3", "modelcache.io/memory": "0"])?.limits == [.disk: 2000, .memory: 0])
        #expect(quota(["modelcache.io/disk": "-1"])?.limits == [.disk: 0])
    }

    @Test func `The lowest limit of a namespace counts, for its own medium alone`() throws {
        let all = NamespaceQuota(
            [
                quota(["modelcache.io/memory": "100"], name: "b"), quota(["modelcache.io/memory": "90"], name: "c"),
                quota(["modelcache.io/memory": "90", "modelcache.io/disk": "10"], name: "a"),
            ].compactMap { $0 })
        #expect(all.limit(.memory)?.bytes == 90 && all.limit(.disk)?.quota == "a")
        let excess = try #require(all.excess(of: "x", among: [demand("x", 91, at: 0)]))
        #expect(
            excess == QuotaExcess(
                quota: "a", key: "modelcache.io/memory", limitBytes: 90, neededBytes: 91, takenBytes: 0, others: 0))
        var onDisk = demand("x", 10, at: 0)
        onDisk.medium = .disk
        #expect(all.excess(of: "x", among: [onDisk, demand("y", 90, at: 1, isAdmitted: true)]) == nil)
        #expect(NamespaceQuota([]).excess(of: "x", among: [demand("x", .max, at: 0)]) == nil)
    }

    @Test func `The message has reason, value, limit and remedy`() throws {
        let all = NamespaceQuota([quota(["modelcache.io/memory": "1k"])].compactMap { $0 })
        let demands = [demand("old", 600, at: 0), demand("new", 500, at: 1)]
        #expect(all.excess(of: "old", among: demands) == nil)
        #expect(
            all.excess(of: "new", among: demands)?.message
                == "the model has 500 B, and modelcache.io/memory of the ResourceQuota models allows the namespace 1.0 kB, "
                + "of which 1 other ModelCache has 600 B. No node gets it anew; copies that are there stay. Delete a "
                + "ModelCache of the namespace, or ask the cluster's administrator for a greater quota")
    }

    @Test func `One that does not fit blocks no younger one that does, and gets its bytes when they are free`() {
        let all = NamespaceQuota([quota(["modelcache.io/memory": "100"])].compactMap { $0 })
        var demands = [
            demand("a", 60, at: 0, isAdmitted: true), demand("b", 50, at: 1), demand("c", 40, at: 2),
            demand("d", 1, at: 3),
        ]
        #expect(demands.map { all.excess(of: $0.uid, among: demands) == nil } == [true, false, true, false])
        demands[2].isAdmitted = true
        demands.remove(at: 0)
        // The younger one keeps its bytes.
        #expect(demands.map { all.excess(of: $0.uid, among: demands) == nil } == [true, true, true])
    }

    @Test func `A lowered limit takes nothing back, and admits nobody`() {
        let all = NamespaceQuota([quota(["modelcache.io/memory": "100"])].compactMap { $0 })
        let demands = [
            demand("a", 80, at: 0, isAdmitted: true), demand("b", 90, at: 1, isAdmitted: true), demand("c", 20, at: 2),
        ]
        #expect(all.excess(of: "a", among: demands) == nil)
        #expect(all.excess(of: "b", among: demands)?.takenBytes == 80)
        #expect(all.excess(of: "c", among: demands)?.takenBytes == 170)
    }

    /// Random lives of a namespace: ModelCaches come, go, and are planned in any order.
    @Test func `Whatever the order of plans, no more is admitted than the limit, older ones first, and it stays`() {
        for seed in SeededRandom.seeds(300) {
            var random = SeededRandom(seed: seed)
            let limit = Int64.random(in: 1...100, using: &random)
            let all = NamespaceQuota([quota(["modelcache.io/memory": Kubernetes.Quantity(limit)])].compactMap { $0 })
            var demands: [QuotaDemand] = []
            for step in 0..<40 {
                if demands.isEmpty || random.chance(1, of: 2) {
                    demands.append(demand("u\(step)", .random(in: 0...60, using: &random), at: step))
                } else if random.chance(1, of: 3) {
                    demands.remove(at: .random(in: 0..<demands.count, using: &random))
                }
                let said = "seed \(seed), step \(step): \(demands)"
                for index in demands.indices.shuffled(using: &random) {
                    let own = demands[index]
                    let excess = all.excess(of: own.uid, among: demands)
                    #expect(excess == all.excess(of: own.uid, among: demands.shuffled(using: &random)), "\(said)")
                    if own.isAdmitted {
                        #expect(excess == nil, "an admitted one stays: \(said)")
                    } else if let excess {
                        #expect(excess.takenBytes + own.bytes > limit, "\(said)")
                    } else {
                        let older = demands.filter { $0.createdAt < own.createdAt && !$0.isAdmitted }
                        let taken = demands.filter(\.isAdmitted).reduce(own.bytes) { $0 + $1.bytes }
                        for one in older where all.excess(of: one.uid, among: demands) == nil {
                            #expect(taken + one.bytes <= limit, "an older one keeps its bytes: \(said)")
                        }
                        demands[index].isAdmitted = true
                    }
                }
                #expect(demands.filter(\.isAdmitted).reduce(0) { $0 + $1.bytes } <= limit, "\(said)")
            }
        }
    }
}

/// The plan of a ModelCache that its namespace's quota has no capacity for.
@Suite struct QuotaPlanTests {
    private let excess = QuotaExcess(
        quota: "models", key: QuotaView.memoryKey, limitBytes: 1500, neededBytes: 1000, takenBytes: 900, others: 1)

    @Test(arguments: [true, false]) func `Nothing is made for it but the listing, and its condition says why`(isEager: Bool) {
        var world = FakeWorld(nodes: ["node-1", "node-2"]) {
            $0.isEager = isEager
            $0.seeders = isEager ? 1 : 0
        }
        world.quotaExcess = excess
        world.run(seconds: 120)
        #expect(world.madeJobs.isEmpty && world.prepared.isEmpty && world.claim == nil && world.volume == nil)
        #expect(world.looks == 1 && world.status?.source?.totalBytes == 1000)
        let told = world.condition(.capacityExceeded)
        #expect(told?.status == .true && told?.reason == "NamespaceQuotaExceeded" && told?.message == excess.message)
        #expect(world.condition(.ready)?.status == .false && world.condition(.ready)?.reason == "NamespaceQuotaExceeded")
        #expect(world.condition(.progressing)?.status == .false && world.condition(.degraded)?.status == .false)
        #expect(world.status?.phase == .pending)
        let writes = world.statusWrites
        world.run(seconds: 120)
        #expect(world.statusWrites == writes)

        world.quotaExcess = nil
        world.run(seconds: 30) { $0.isReady }
        #expect(world.isReady && world.condition(.capacityExceeded)?.status == .false)
        #expect(world.claim != nil && world.madeJobs.count == (isEager ? 2 : 0))
    }

    @Test func `Copies that are there stay and are told of new callers, and no other node gets one`() {
        var world = FakeWorld(nodes: ["node-1"])
        world.run(seconds: 30) { $0.isReady }
        world.quotaExcess = excess
        world.run(seconds: 30)
        #expect(world.isReady && world.condition(.capacityExceeded)?.reason == "NamespaceQuotaExceeded")
        world.addNode("node-2")
        world.waitingPods = [WaitingPod(namespace: "team", name: "llama", uid: "p", node: "node-2")]
        world.callers = .known(CallerPolicy(issuer: "https://cluster", keys: "{\"keys\":[]}"))
        world.run(seconds: 60)
        #expect(world.holds("node-1") && world.madeJobs == ["node-1"])
        #expect(world.prepared == ["node-1", "node-1"], "its agent is told of the callers")
        #expect(world.condition(.ready)?.reason == "NamespaceQuotaExceeded")
        #expect(world.events.filter { $0.pod != nil }.map(\.reason) == ["NamespaceQuotaExceeded"])
        world.quotaExcess = nil
        world.run(seconds: 30) { $0.isReady }
        #expect(world.isReady && world.holds("node-2"))
    }

    @Test func `A ModelCache beyond the quota is deleted as any other`() {
        var world = FakeWorld(nodes: ["node-1"])
        world.quotaExcess = excess
        world.run(seconds: 10)
        world.deletedAt = world.now
        world.run(seconds: 10)
        #expect(world.isGone)
    }
}

/// Who is admitted and who is woken, as the world tells plans.
@Suite struct QuotaWorldTests {
    private let now = WallTime(seconds: 1_800_000_000)

    private func cache(_ name: String, bytes: Int64?, in namespace: String = "team") throws -> (ModelCache, ObjectKey) {
        let status = bytes.map {
            #"{"conditions":[],"source":{"totalBytes":\#($0),"files":1,"digest":"sha256:aa","fingerprint":"f"}}"#
        }
        // Names are in the order of age.
        let text = """
            {"metadata":{"name":"\(name)","namespace":"\(namespace)","uid":"u-\(name)","generation":1,
             "creationTimestamp":"2026-01-01T00:00:00Z"},
             "spec":{"source":{"uri":"oss://models/qwen/","region":"cn-a"}}\(status.map { ",\"status\":\($0)" } ?? "")}
            """
        let made = try JSONDecoder().decode(ModelCache.self, from: Data(text.utf8))
        return (made, ObjectKey(namespace: namespace, name: name))
    }

    private func excess(_ world: World, _ name: String) -> QuotaExcess? {
        world.observe(ObjectKey(namespace: "team", name: name), now: now)?.observed.quotaExcess
    }

    private func limit(_ bytes: Int64) -> QuotaView { QuotaView(namespace: "team", name: "models", limits: [.memory: bytes]) }

    @Test func `Who was planned first keeps the bytes, though an older one's size comes later`() throws {
        let world = World(image: "i")
        _ = world.set(limit(100))
        for (name, bytes) in [("a", nil), ("b", 60), ("c", 60)] as [(String, Int64?)] {
            let (made, key) = try cache(name, bytes: bytes)
            _ = world.set(made, key: key)
        }
        #expect(excess(world, "c")?.others == 1, "an older one with a known size comes first, planned or not")
        #expect(excess(world, "a") == nil, "its size is not known")
        #expect(excess(world, "b") == nil)
        let (listed, key) = try cache("a", bytes: 50)
        _ = world.set(listed, key: key)
        #expect(excess(world, "a")?.takenBytes == 60 && excess(world, "b") == nil)
    }

    @Test func `A source that grows competes anew, also after a new start of the operator`() throws {
        let world = World(image: "i")
        _ = world.set(limit(100))
        func grows(_ name: String, to bytes: Int64) throws -> QuotaExcess? {
            let (made, key) = try cache(name, bytes: bytes)
            _ = world.set(made, key: key)
            return excess(world, name)
        }
        for name in ["a", "b", "c"] { #expect(try grows(name, to: 1) == nil) }
        #expect(try grows("c", to: 98) == nil)
        #expect(try grows("b", to: 98)?.takenBytes == 99, "an older one does not get the bytes once more")
        #expect(excess(world, "a") == nil && excess(world, "c") == nil)

        let next = World(image: "i")
        _ = next.set(limit(100))
        for (name, bytes) in [("a", 60), ("b", 60)] as [(String, Int64)] {
            let (made, key) = try cache(name, bytes: bytes)
            _ = next.set(made, key: key)
            _ = next.set(VolumeView(name: "v\(name)", uid: "v\(name)", cacheUID: "u-\(name)", sizeBytes: 1))
        }
        #expect(excess(next, "b") == nil && excess(next, "a")?.takenBytes == 60)
    }

    @Test func `Whatever grows or shrinks, goes or comes, no more is allowed than the limit`() throws {
        for seed in SeededRandom.seeds(60) {
            var random = SeededRandom(seed: seed)
            let world = World(image: "i")
            _ = world.set(limit(100))
            var sizes: [String: Int64] = [:]
            var allowed: [String: Int64] = [:]
            for step in 0..<40 {
                let name = "m\(Int.random(in: 0..<6, using: &random))"
                if sizes[name] != nil, random.chance(1, of: 6) {
                    let (gone, key) = try cache(name, bytes: sizes.removeValue(forKey: name))
                    _ = world.remove(gone, key: key)
                    allowed[name] = nil
                } else {
                    sizes[name] = .random(in: 0...80, using: &random)
                    let (made, key) = try cache(name, bytes: sizes[name])
                    _ = world.set(made, key: key)
                }
                for (name, size) in sizes.sorted(by: { $0.key < $1.key }).shuffled(using: &random)
                where excess(world, name) == nil { allowed[name] = size }
                #expect(allowed.values.reduce(0, +) <= 100, "seed \(seed), step \(step): \(allowed) of \(sizes)")
            }
        }
    }

    @Test func `A volume tells another operator that a ModelCache was admitted, and anybody's claim does not`() throws {
        for hasVolume in [true, false] {
            let world = World(image: "i")
            _ = world.set(limit(100))
            for name in ["a", "b"] {
                let (made, key) = try cache(name, bytes: 60)
                _ = world.set(made, key: key)
            }
            if hasVolume {
                _ = world.set(VolumeView(name: "v", uid: "v", cacheUID: "u-b"))
            } else {
                _ = world.set(ClaimView(namespace: "team", name: "c", uid: "c", cacheUID: "u-b"))
            }
            let (first, second) = hasVolume ? ("b", "a") : ("a", "b")
            #expect(excess(world, second)?.takenBytes == 60 && excess(world, first) == nil)
        }
    }

    @Test func `A limit that comes, changes or goes wakes its namespace, and a ModelCache that goes wakes those that wait`() throws {
        let world = World(image: "i")
        for (name, namespace) in [("a", "team"), ("b", "team"), ("a", "other")] {
            let (made, key) = try cache(name, bytes: 60, in: namespace)
            _ = world.set(made, key: key)
        }
        let team = Set(["a", "b"].map { ObjectKey(namespace: "team", name: $0) })
        #expect(Set(world.set(limit(100))) == team && world.set(limit(100)).isEmpty)
        #expect(excess(world, "a") == nil && excess(world, "b") != nil)
        #expect(Set(world.set(limit(200))) == team && excess(world, "b") == nil)
        #expect(Set(world.set(limit(100))) == team && excess(world, "b") != nil, "the older one comes first")
        let (gone, key) = try cache("a", bytes: 60)
        #expect(Set(world.remove(gone, key: key)) == team && excess(world, "b") == nil)
        #expect(world.remove(limit(100)) == [ObjectKey(namespace: "team", name: "b")])
    }
}
