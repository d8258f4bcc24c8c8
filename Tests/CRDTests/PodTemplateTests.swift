import CRD
import Testing

@Suite struct PodTemplateTests {
    private func paths(_ template: PodTemplate) -> [String] {
        Documents.spec { $0.warmup.podTemplate = template }.problems().map(\.path)
    }

    @Test func `a template of everything has no problem`() {
        let template = PodTemplate(
            labels: ["team": "a", "example.com/cost": ""], annotations: ["example.com/note": "a b\nc"], imagePullSecrets: [.init(name: "registry")],
            serviceAccountName: "warm", priorityClassName: "low", runtimeClassName: "gvisor",
            tolerations: [Toleration(key: "gpu", operator: .exists)],
            resources: .init(requests: ["cpu": Quantity("1m"), "example.com/x": Quantity("1")], limits: ["memory": Quantity("64Mi")]),
            securityContext: .init(runAsUser: 1000, runAsGroup: 1000, fsGroup: 1000, supplementalGroups: [1, 2]))
        #expect(paths(template) == [])
        #expect(paths(PodTemplate()) == [])
        #expect(paths(PodTemplate(securityContext: .init())) == [])
    }

    private static let wrong: [(PodTemplate, String)] = [
        (PodTemplate(labels: ["a b": "x"]), "labels[a b]"), (PodTemplate(labels: ["a": "b c"]), "labels[a]"),
        (PodTemplate(annotations: ["/": "x"]), "annotations[/]"), (PodTemplate(imagePullSecrets: [.init(name: "A")]), "imagePullSecrets[0].name"),
        (PodTemplate(serviceAccountName: ""), "serviceAccountName"), (PodTemplate(priorityClassName: "a/b"), "priorityClassName"),
        (PodTemplate(runtimeClassName: "_"), "runtimeClassName"),
        (PodTemplate(tolerations: [Toleration(key: "a", operator: .exists, value: "x")]), "tolerations[0].value"),
        (PodTemplate(resources: .init(requests: ["cpu": Quantity("a lot")])), "resources.requests[cpu]"),
        (PodTemplate(resources: .init(limits: ["": Quantity("1")])), "resources.limits[]"),
        (PodTemplate(securityContext: .init(runAsUser: 0)), "securityContext.runAsUser"),
        (PodTemplate(securityContext: .init(supplementalGroups: [-1])), "securityContext.supplementalGroups[0]"),
    ]

    @Test(arguments: wrong)
    func `what core/v1 would refuse in a pod is named here`(template: PodTemplate, field: String) {
        #expect(paths(template) == ["spec.warmup.podTemplate.\(field)"])
    }

    @Test func `a ModelCache's own wins field by field over the operator's`() {
        let operatorWide = PodTemplate(
            labels: ["a": "1", "b": "1"], imagePullSecrets: [.init(name: "x")], serviceAccountName: "all", priorityClassName: "low",
            tolerations: [Toleration(key: "gpu", operator: .exists)],
            resources: .init(requests: ["cpu": Quantity("1"), "memory": Quantity("1")]), securityContext: .init(runAsUser: 1, runAsGroup: 2))
        let own = PodTemplate(
            labels: ["b": "2"], imagePullSecrets: [.init(name: "x"), .init(name: "y")], serviceAccountName: "own",
            resources: .init(requests: ["cpu": Quantity("2")]), securityContext: .init())
        let both = operatorWide.overlaid(by: own)
        #expect(both.labels == ["a": "1", "b": "2"] && both.imagePullSecrets.map(\.name) == ["x", "y"])
        #expect(both.serviceAccountName == "own" && both.priorityClassName == "low" && both.tolerations.count == 1)
        #expect(both.resources?.requests == ["cpu": Quantity("2"), "memory": Quantity("1")])
        #expect(both.securityContext == .init(), "user and groups belong together")
        #expect(operatorWide.overlaid(by: PodTemplate()) == operatorWide)
    }

    @Test func `the operator's setting is read as a ModelCache's field is`() throws {
        #expect(try PodTemplate.parse(#"{"imagePullSecrets":[{"name":"registry"}]}"#) == PodTemplate(imagePullSecrets: [.init(name: "registry")]))
        #expect(try PodTemplate.parse("{}") == PodTemplate())
        for (text, path) in [
            ("", "podTemplate"), ("[]", "podTemplate"), (#"{"image":"x"}"#, "podTemplate.image"),
            (#"{"imagePullSecrets":["x"]}"#, "podTemplate.imagePullSecrets[0]"), (#"{"labels":{"a b":"x"}}"#, "podTemplate.labels[a b]"),
        ] {
            let problem = #expect(throws: FieldProblem.self) { try PodTemplate.parse(text) }
            #expect(problem?.path == path, "\(text)")
        }
    }
}
