internal import Kubernetes

/// The changes to one container.
struct ContainerEdit {
    let container: ContainerOutline
    private(set) var mounts: [JSONValue] = []
    private(set) var variables: [JSONValue] = []
    /// A present `LD_PRELOAD` with the library put in front.
    private(set) var preload: (index: Int, value: String)?
    private(set) var warnings: [String] = []
    private let bringsKeys: Bool

    /// - Throws: ``LeftAlone`` when the container cannot be injected; it stays as it is then.
    init(
        _ container: ContainerOutline, request: InjectionRequest, models: [InjectedModel], volumes: PodVolumes,
        readOnlyVolumes: Set<String>
    ) throws(LeftAlone) {
        self.container = container
        let mode = request.mode
        bringsKeys = request.bringsKeys
        let directories = try directories(of: models)
        let first = directories[0]
        if mode == .stream {
            // Checked before anything else: nothing is half injected.
            if let entry = container.variable(Variables.preload)?.entry, entry["valueFrom"] ?? .null != .null {
                throw LeftAlone(
                    "\(place) takes LD_PRELOAD from elsewhere (valueFrom), so the library cannot be put in front; write its value out, or use the mode Wait"
                )
            }
        }
        for (model, directory) in zip(models, directories) {
            let hiding = mode == .wait ? volumes.hidingMounts(at: directory.path) : []
            try mount(volumes.modelMount(of: model.target, at: directory.path), readOnlyVolumes, inside: hiding)
            mounts += hiding.filter { wanted in !(container.mounts ?? []).contains { $0.covers(wanted) } }
        }
        if mode == .stream {
            try mount(volumes.tokenMount, readOnlyVolumes)
            setPreload(first.library)
            set("ENABLE_CONNECTOR", "1")
        }
        set(Variables.modelDirectory, first.path)
        if mode == .stream {
            set("MODELCACHE_SOCKET", first.socket)
            set("MODELCACHE_TOKEN_FILE", PodVolumes.tokenFile)
            set(Variables.ofSource(models[0].target, withKeys: bringsKeys))
            setFurther(models.dropFirst(), directories.dropFirst())
        }
        if container.takesFromElsewhere {
            warnings.append(
                "\(place) takes variables from envFrom, which cannot be seen here: "
                    + (mode == .stream
                        ? "the injected LD_PRELOAD, MODEL_DIR and OSS_* go" : "the injected MODEL_DIR goes")
                    + " before any of that name there")
        }
    }

    /// RFC 6902, for the pod.
    var operations: [JSONPatchOperation] {
        var operations = JSONPatchOperation.append(
            mounts, to: "\(container.path)/volumeMounts", present: container.mounts)
        if let (index, value) = preload {
            operations.append(.add("\(container.path)/env/\(index)/value", .string(value)))
        }
        return operations
            + JSONPatchOperation.append(variables, to: "\(container.path)/env", present: container.env)
    }

    private var place: String { "container \(Wording.quoted(container.name))" }

    /// A directory for each model, none inside another.
    private mutating func directories(of models: [InjectedModel]) throws(LeftAlone) -> [ModelDirectory] {
        var found: [ModelDirectory] = []
        for (index, model) in models.enumerated() {
            let directory: ModelDirectory
            if index == 0 {
                directory = try self.directory(model.directory, model.target)
            } else if let wanted = model.directory {
                directory = wanted
            } else {
                directory = try standardDirectory(for: model.target)
            }
            if let other = found.firstIndex(where: { $0.overlaps(directory) }) {
                throw LeftAlone(
                    "\(place): the directories of \(Wording.quoted(models[other].target.name)) (\(found[other].path)) and "
                        + "\(Wording.quoted(model.target.name)) (\(directory.path)) lie in one another; "
                        + "name others in the annotation \(PodLabels.models)")
            }
            found.append(directory)
        }
        return found
    }

    /// The annotation; else where the container says that it looks, if it does; else the standard place.
    private mutating func directory(_ wanted: ModelDirectory?, _ target: InjectionTarget) throws(LeftAlone)
        -> ModelDirectory
    {
        if let wanted { return wanted }
        if let text = container.literal(Variables.modelDirectory), !text.isEmpty {
            do {
                let own = try ModelDirectory(text)
                if own.path != ModelDirectory.standard(for: target.name) {
                    warnings.append("\(place) sets MODEL_DIR itself: the model is mounted there, at \(own.path)")
                }
                return own
            } catch {
                throw LeftAlone("\(place) sets MODEL_DIR (\(Wording.quoted(text))), which \(error.text)")
            }
        }
        return try standardDirectory(for: target)
    }

    private func standardDirectory(for target: InjectionTarget) throws(LeftAlone) -> ModelDirectory {
        do {
            return try ModelDirectory(ModelDirectory.standard(for: target.name))
        } catch {
            throw LeftAlone(
                "the directory \(ModelDirectory.standard(for: target.name)) \(error.text); set the annotation \(PodLabels.modelDir)"
            )
        }
    }

    // MARK: Mounts

    /// - Parameter inside: mounts of our own below this one.
    private mutating func mount(
        _ wanted: JSONValue, _ readOnlyVolumes: Set<String>, inside: [JSONValue] = []
    ) throws(LeftAlone) {
        let path = wanted["mountPath"]?.text ?? ""
        let remedy =
            path == PodVolumes.tokenDirectory
            ? "move that mount" : "set the annotation \(PodLabels.modelDir) to another directory"
        for mount in container.mounts ?? [] {
            let other = ModelDirectory.normalised(mount["mountPath"]?.text ?? "")
            let volume = mount["name"]?.text ?? ""
            if other == path {
                guard volume == wanted["name"]?.text, (mount["subPath"]?.text ?? "").isEmpty,
                    (mount["subPathExpr"]?.text ?? "").isEmpty
                else {
                    throw LeftAlone(
                        "\(place) has a mount at \(path) already (volume \(Wording.quoted(volume))); \(remedy)")
                }
                if !mount.covers(wanted) {
                    warnings.append(
                        "\(place) mounts \(path) itself; set readOnly: true and mountPropagation: HostToContainer there, or a cache that is mounted later stays unseen"
                    )
                }
                return
            }
            if other.hasPrefix(path + "/"), !inside.contains(where: { mount.covers($0) }) {
                throw LeftAlone(
                    "\(place) has a mount at \(Wording.quoted(other)), inside \(path), which is read-only; \(remedy)")
            }
            if (path + "/").hasPrefix(other == "/" ? "/" : other + "/"),
                mount["readOnly"] == true || readOnlyVolumes.contains(volume)
            {
                throw LeftAlone(
                    "\(place) mounts \(Wording.quoted(other)) read-only, so nothing can be mounted at \(path) inside it; \(remedy)"
                )
            }
        }
        mounts.append(wanted)
    }

    // MARK: Variables

    private mutating func setPreload(_ library: String) {
        guard let (index, entry) = container.variable(Variables.preload) else {
            variables.append(Variables.literal(Variables.preload, library))
            return
        }
        let value = entry["value"]?.text ?? ""
        // By bytes, as the linker reads it: a combining mark behind a separator makes another character of it.
        let listed = value.utf8.split { $0 == UInt8(ascii: ":") || $0 == UInt8(ascii: " ") }
            .map { String(decoding: $0, as: UTF8.self) }
        if listed.contains(library) { return }
        if let own = listed.first(where: { $0.hasSuffix("/libossc_preload.so") || $0 == "libossc_preload.so" }) {
            warnings.append(
                "\(place) preloads \(Wording.quoted(own)) itself, which is used instead of the injected one")
            return
        }
        preload = (index, value.isEmpty ? library : "\(library):\(value)")
    }

    /// The entries of MODELCACHE_MODELS, and the source of each under names of its own.
    private mutating func setFurther(_ models: ArraySlice<InjectedModel>, _ directories: ArraySlice<ModelDirectory>) {
        guard !models.isEmpty else { return }
        let list = Variables.literal(Variables.models, directories.map(\.path).joined(separator: ";"))
        set(list)
        // Variables of an entry that the container's own list does not have would end its programs.
        guard container.variable(Variables.models)?.entry.covers(list) ?? true else { return }
        for (index, model) in models.enumerated() {
            for entry in Variables.ofSource(model.target, entry: index + 1, withKeys: bringsKeys) { set(entry) }
        }
    }

    private mutating func set(_ name: String, _ value: String) { set(Variables.literal(name, value)) }

    private mutating func set(_ wanted: JSONValue) {
        let name = wanted["name"]?.text ?? ""
        guard let entry = container.variable(name)?.entry else {
            variables.append(wanted)
            return
        }
        guard !entry.covers(wanted) else { return }
        warnings.append("\(place) sets \(name) itself, which wins over the ModelCache's\(Self.consequence(of: name))")
    }

    private mutating func set(_ wanted: [JSONValue]) {
        func isKey(_ entry: JSONValue) -> Bool { Variables.keys.contains(entry["name"]?.text ?? "") }
        for entry in wanted where !isKey(entry) { set(entry) }
        let keys = wanted.filter(isKey)
        let foreign = Variables.keys.filter { name in
            guard let entry = container.variable(name)?.entry else { return false }
            return !keys.contains { $0["name"]?.text == name && entry.covers($0) }
        }
        guard foreign.isEmpty || keys.isEmpty else {
            warnings.append(
                "\(place) sets \(foreign.sorted().joined(separator: ", ")) itself: none of the ModelCache's keys are added"
            )
            return
        }
        for entry in keys { set(entry) }
    }

    private static func consequence(of name: String) -> String {
        switch name {
        case "ENABLE_CONNECTOR": "; unless it is 1 the program sees only what has arrived"
        case Variables.modelDirectory: ": the model is mounted elsewhere than it says"
        case Variables.models: ": the other models are mounted elsewhere than it says"
        case "MODELCACHE_SOCKET", "MODELCACHE_TOKEN_FILE":
            "; without the injected one the node's agent may not be reached"
        default: ""
        }
    }
}
