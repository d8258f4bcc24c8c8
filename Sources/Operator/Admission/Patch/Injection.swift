internal import Kubernetes

/// A pod and the ModelCache it names, put together.
struct Injection {
    let patch: PodPatch

    /// - Throws: ``LeftAlone`` when no container can be injected.
    init(_ pod: PodOutline, target: InjectionTarget) throws(LeftAlone) {
        guard !pod.isForWindows else { throw LeftAlone("the pod is for Windows nodes, where the library does not work") }
        let wish = try InjectionWish(annotations: .object(pod.annotations))
        let present = PodVolumes.modelVolume(in: pod.volumes ?? [], claim: target.claimName)
        let choice = try ContainerChoice(pod, wish: wish)
        let volumes = PodVolumes(pod, claim: target.claimName)
        let readOnlyVolumes = Self.readOnlyVolumes(pod)

        var edits: [ContainerEdit] = []
        var reasons: [String] = []
        for container in choice.containers {
            do {
                edits.append(try ContainerEdit(
                    container, mode: wish.mode, wanted: wish.directory, target: target, volumes: volumes, readOnlyVolumes: readOnlyVolumes))
            } catch {
                reasons.append(error.reason)
            }
        }
        guard !edits.isEmpty else { throw LeftAlone(reasons.joined(separator: "; ")) }

        var operations = Self.append(volumes.additions, to: "/spec/volumes", present: pod.volumes)
        for edit in edits {
            let place = "/spec/containers/\(edit.container.index)"
            operations += Self.append(edit.mounts, to: "\(place)/volumeMounts", present: edit.container.mounts)
            if let (index, value) = edit.preload { operations.append(.add("\(place)/env/\(index)/value", .string(value))) }
            operations += Self.append(edit.variables, to: "\(place)/env", present: edit.container.env)
        }
        if wish.mode == .wait, !WaitContainer.isPresent(in: pod.initContainers ?? [], volumes: volumes) {
            let container = WaitContainer.make(target: target, pod: pod, volumes: volumes)
            operations.append(
                pod.initContainers == nil ? .add("/spec/initContainers", [container]) : .add("/spec/initContainers/0", container))
        }
        let mark = "\(wish.mode.rawValue)/\(target.uid)"
        let wasInjected = present != nil && pod.annotations[PodLabels.injected]?.text == mark
        if let operation = WarmAffinity.operation(pod, target: target, wasInjected: wasInjected) { operations.append(operation) }
        var annotations = [(PodLabels.injected, mark)]
        if wish.containers == nil { annotations.append((PodLabels.container, choice.containers.map(\.name).joined(separator: ","))) }
        operations += AnnotationPatch.operations(pod, set: annotations, remove: PodLabels.injectStatus)

        var warnings = choice.warnings + reasons.map { "\($0) (it is left alone)" } + edits.flatMap(\.warnings)
        if !target.ready {
            warnings.append(
                "the ModelCache \(Wording.quoted(target.name)) is not on all its nodes yet: "
                    + (wish.mode == .stream ? "the pod starts and reads the model as it arrives" : "the pod starts when the model has arrived"))
        }
        patch = PodPatch(operations: operations, warnings: warnings.map { "modelcache: \($0)" }, outcome: .injected(wish.mode))
    }

    /// One operation for a list that is not there yet, else one for each element.
    private static func append(_ elements: [JSONValue], to path: String, present: [JSONValue]?) -> [JSONPatchOperation] {
        guard !elements.isEmpty else { return [] }
        return present == nil ? [.add(path, .array(elements))] : elements.map { .add("\(path)/-", $0) }
    }

    /// Volumes in which the runtime cannot make a directory to mount at, however they are mounted
    /// (https://kubernetes.io/docs/concepts/storage/volumes/).
    private static func readOnlyVolumes(_ pod: PodOutline) -> Set<String> {
        Set((pod.volumes ?? []).filter { volume in
            ["configMap", "secret", "downwardAPI", "projected", "image"].contains { volume[$0] ?? .null != .null }
                || volume["persistentVolumeClaim"]?["readOnly"] == true
        }.compactMap { $0["name"]?.text })
    }
}
