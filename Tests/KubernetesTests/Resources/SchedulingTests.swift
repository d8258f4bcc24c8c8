import Kubernetes
import Testing

@Suite struct SchedulingTests {
    private let node = Node(
        metadata: ObjectMeta(name: "n1", labels: ["zone": "a", "gpus": "8", "empty": ""]))

    private func term(_ key: String, _ op: String, _ values: String...) -> NodeSelectorTerm {
        NodeSelectorTerm(matchExpressions: [.init(key: key, operator: op, values: values)])
    }

    @Test func `operators match as the scheduler's`() {
        #expect(term("zone", "In", "a", "b").matches(node) && !term("zone", "In", "b").matches(node))
        #expect(!term("none", "In", "a").matches(node) && !term("zone", "In").matches(node))
        #expect(term("zone", "NotIn", "b").matches(node) && !term("zone", "NotIn", "a").matches(node))
        #expect(term("none", "NotIn", "a").matches(node))
        #expect(term("empty", "Exists").matches(node) && !term("none", "Exists").matches(node))
        #expect(term("none", "DoesNotExist").matches(node) && !term("zone", "DoesNotExist").matches(node))
        #expect(term("gpus", "Gt", "7").matches(node) && !term("gpus", "Gt", "8").matches(node))
        #expect(term("gpus", "Lt", "9").matches(node) && !term("gpus", "Lt", "8").matches(node))
        #expect(!term("zone", "Gt", "1").matches(node) && !term("gpus", "Gt", "x").matches(node))
        #expect(!term("gpus", "Gt", "1", "2").matches(node) && !term("none", "Lt", "9").matches(node))
        #expect(!term("zone", "Exists", "a").matches(node) && !term("zone", "in", "a").matches(node))
    }

    @Test func `terms are alternatives, requirements are not, and nothing matches nothing`() {
        let both = NodeSelectorTerm(matchExpressions: [
            .init(key: "zone", operator: "In", values: ["a"]), .init(key: "gpus", operator: "Gt", values: ["9"]),
        ])
        #expect(!both.matches(node))
        #expect(NodeSelector(nodeSelectorTerms: [both, term("zone", "Exists")]).matches(node))
        #expect(!NodeSelector(nodeSelectorTerms: []).matches(node) && !NodeSelectorTerm().matches(node))
        #expect(NodeAffinity().allows(node))
        #expect(!NodeAffinity(requiredDuringSchedulingIgnoredDuringExecution: .init(nodeSelectorTerms: [])).allows(node))
        #expect(node.matches(nodeSelector: ["zone": "a"], affinity: nil))
        #expect(!node.matches(nodeSelector: ["zone": "a", "x": "y"], affinity: nil))
    }

    @Test func `fields know the node's name alone`() {
        func field(_ key: String, _ op: String, _ values: String...) -> NodeSelectorTerm {
            NodeSelectorTerm(matchFields: [.init(key: key, operator: op, values: values)])
        }
        #expect(field("metadata.name", "In", "n1").matches(node) && !field("metadata.name", "In", "n2").matches(node))
        #expect(field("metadata.name", "NotIn", "n2").matches(node))
        #expect(!field("metadata.name", "In", "n1", "n2").matches(node) && !field("metadata.name", "Exists").matches(node))
        #expect(!field("metadata.uid", "In", "n1").matches(node))
    }

    @Test func `preferences add their weights`() {
        let affinity = NodeAffinity(preferredDuringSchedulingIgnoredDuringExecution: [
            .init(weight: 5, preference: term("zone", "In", "a")), .init(weight: 50, preference: term("zone", "In", "b")),
            .init(weight: 7, preference: term("gpus", "Exists")), .init(weight: 9, preference: NodeSelectorTerm()),
        ])
        #expect(affinity.preference(for: node) == 12)
    }

    @Test func `tolerations match as the scheduler's`() {
        let taint = Taint(key: "k", value: "v", effect: "NoSchedule")
        #expect(Toleration(key: "k", value: "v").tolerates(taint))
        #expect(Toleration(key: "k", operator: "Equal", value: "v", effect: "NoSchedule").tolerates(taint))
        #expect(!Toleration(key: "k", value: "w").tolerates(taint) && !Toleration(key: "k").tolerates(taint))
        #expect(Toleration(key: "k", operator: "Exists").tolerates(taint))
        #expect(Toleration(operator: "Exists").tolerates(taint) && Toleration(operator: "Exists", effect: "").tolerates(taint))
        #expect(!Toleration(operator: "Exists", effect: "NoExecute").tolerates(taint))
        #expect(!Toleration(key: "other", operator: "Exists").tolerates(taint))
        #expect(!Toleration(key: "k", operator: "Matches", value: "v").tolerates(taint))
        #expect(Toleration(key: "k").tolerates(Taint(key: "k", effect: "NoExecute")))
    }

    @Test func `a node is closed by taints that forbid, and by a cordon`() {
        var node = node
        #expect(node.untoleratedTaint([]) == nil)
        node.spec = NodeSpec(taints: [Taint(key: "soft", effect: "PreferNoSchedule"), Taint(key: "hard", effect: "NoSchedule")])
        #expect(node.untoleratedTaint([])?.key == "hard")
        #expect(node.untoleratedTaint([.init(key: "hard", operator: "Exists")]) == nil)
        node.spec = NodeSpec(unschedulable: true)
        #expect(node.untoleratedTaint([])?.key == "node.kubernetes.io/unschedulable")
        #expect(node.untoleratedTaint([.init(operator: "Exists")]) == nil)
        node.spec = NodeSpec(taints: [Taint(key: "gone", effect: "NoExecute")])
        #expect(node.evicts([]) && node.evicts([.init(operator: "Exists", tolerationSeconds: 5)]))
        #expect(!node.evicts([.init(operator: "Exists")]))
    }
}
