internal import Kubernetes

/// A pod and the ModelCaches it names, put together.
struct Injection {
    let patch: PodPatch

    /// - Parameter models: the label's first; at least one.
    /// - Throws: ``LeftAlone`` when no container can be injected with all of them.
    init(_ pod: PodOutline, models: [InjectedModel], seed: String) throws(LeftAlone) {
        guard !pod.isForWindows else {
            throw LeftAlone("the pod is for Windows nodes, where the library does not work")
        }
        try pod.checkNames()
        let request = try InjectionRequest(annotations: .object(pod.annotations))
        let models = try Self.placed(models, request)
        let targets = models.map(\.target)
        let choice = try ContainerChoice(pod, request: request)
        let volumes = PodVolumes(pod, claims: targets.map(\.claimName), mode: request.mode)
        let (edits, reasons) = try Self.edits(choice.containers, request, models, volumes, pod)

        var operations = JSONPatchOperation.append(volumes.additions, to: "/spec/volumes", present: pod.volumes)
        for edit in edits { operations += edit.operations }
        if request.mode == .wait { operations += Self.waiting(targets, pod, volumes, request) }
        let mark = "\(request.mode.rawValue)/\(targets.map(\.uid).joined(separator: ","))"
        let isPresent = targets.allSatisfy { PodVolumes.modelVolume(in: pod.volumes ?? [], claim: $0.claimName) != nil }
        let wasInjected = isPresent && pod.annotations[PodLabels.injected]?.text == mark
        operations += WarmAffinity.operations(pod, targets: targets, seed: seed, wasInjected: wasInjected)
        var annotations = [(PodLabels.injected, mark)]
        if request.containers == nil {
            annotations.append((PodLabels.container, choice.containers.map(\.name).joined(separator: ",")))
        }
        operations += AnnotationPatch.operations(pod, set: annotations, remove: PodLabels.injectStatus)

        var warnings = choice.warnings + reasons.map { "\($0) (it is left alone)" } + edits.flatMap(\.warnings)
        for target in targets where !target.ready {
            warnings.append(
                "the ModelCache \(Wording.quoted(target.name)) is not on all its nodes yet: "
                    + (request.mode == .stream
                        ? "the pod starts and reads the model as it arrives"
                        : "the pod starts when the model has arrived"))
        }
        patch = PodPatch(
            operations: operations, warnings: warnings.map { "modelcache: \($0)" }, outcome: .injected(request.mode))
    }

    /// The label's model takes the annotation ``PodLabels/modelDir`` too.
    private static func placed(_ models: [InjectedModel], _ request: InjectionRequest) throws(LeftAlone)
        -> [InjectedModel]
    {
        guard let directory = request.directory else { return models }
        var models = models
        guard models[0].directory == nil || models[0].directory == directory else {
            throw LeftAlone(
                "the annotations \(PodLabels.modelDir) and \(PodLabels.models) name two directories for "
                    + "\(Wording.quoted(models[0].target.name)); remove one")
        }
        models[0].directory = directory
        return models
    }

    /// The changes to the containers, and why others of the chosen ones stay as they are.
    private static func edits(
        _ containers: [ContainerOutline], _ request: InjectionRequest, _ models: [InjectedModel], _ volumes: PodVolumes,
        _ pod: PodOutline
    ) throws(LeftAlone) -> (edits: [ContainerEdit], reasons: [String]) {
        let readOnlyVolumes = readOnlyVolumes(pod)
        var edits: [ContainerEdit] = []
        var reasons: [String] = []
        for container in containers {
            do {
                edits.append(
                    try ContainerEdit(
                        container, request: request, models: models, volumes: volumes,
                        readOnlyVolumes: readOnlyVolumes))
            } catch {
                reasons.append(error.reason)
            }
        }
        guard !edits.isEmpty else { throw LeftAlone(reasons.joined(separator: "; ")) }
        return (edits, reasons)
    }

    /// The init containers that wait for the models, before all others.
    private static func waiting(
        _ targets: [InjectionTarget], _ pod: PodOutline, _ volumes: PodVolumes, _ request: InjectionRequest
    ) -> [JSONPatchOperation] {
        let missing = targets.filter {
            !WaitContainer.isPresent(in: pod.initContainers ?? [], $0, volumes: volumes)
        }
        guard !missing.isEmpty else { return [] }
        // A name of the annotation that no container has must not come to mean one of these.
        var names = Set((pod.containers + pod.initOutlines).map(\.name) + (request.containers ?? []))
        let containers = missing.map { WaitContainer.make(target: $0, pod: pod, volumes: volumes, names: &names) }
        let added: [JSONPatchOperation] =
            pod.initContainers == nil
            ? [.add("/spec/initContainers", .array(containers))]
            : containers.enumerated().map { .add("/spec/initContainers/\($0)", $1) }
        return added + WaitContainer.pullSecrets(missing, pod: pod)
    }

    /// Volumes in which the runtime cannot make a directory to mount at, however they are mounted
    /// (https://kubernetes.io/docs/concepts/storage/volumes/).
    private static func readOnlyVolumes(_ pod: PodOutline) -> Set<String> {
        Set(
            (pod.volumes ?? []).filter { volume in
                ["configMap", "secret", "downwardAPI", "projected", "image"].contains { volume[$0] ?? .null != .null }
                    || volume["persistentVolumeClaim"]?["readOnly"] == true
            }.compactMap { $0["name"]?.text })
    }
}
