internal import FoundationEssentials
internal import Glibc
internal import LinuxShim
internal import Logging

/// Models' directories: made, found again, removed.
extension CacheRoot {
    /// A new directory, mounted where we may; or the one that is there, if it is ours and can be had after all.
    func create(_ id: String, _ manifest: Manifest) throws(ChunkStoreError) -> CachedModel {
        let directory = "\(modelsPath)/\(id)"
        if mkdir(directory, 0o755) != 0 {
            if errno != EEXIST { throw .from(Int(-errno), "create directory", directory) }
            if let model = try adopt(id) { return model }
            if mkdir(directory, 0o755) != 0 { throw .from(Int(-errno), "create directory", directory) }
        }
        chmod(directory, 0o755)
        do throws(ChunkStoreError) {
            if options.preference == .automatic || options.preference == .mount {
                let bytes = options.mountLimitBytes ?? ModelMount.neededBytes(manifest)
                let mounted = try ModelMount.mount(at: directory, bytes: bytes, hugePages: options.hugePages)
                if !mounted && options.preference == .mount {
                    throw ChunkStoreError.io(operation: "mount tmpfs at", path: directory, errno: EPERM)
                }
            }
            try StateDirectory(directory: directory).create(manifest)
            return try openModel(id, manifest, fresh: true)
        } catch {
            try? remove(directory)
            throw error
        }
    }

    /// What lies where a new model is to go: nil when it was only remains, now gone.
    ///
    /// Errors: `.notOurs`; else what stands in the way of reading a model of ours.
    private func adopt(_ id: String) throws(ChunkStoreError) -> CachedModel? {
        let directory = "\(modelsPath)/\(id)"
        do throws(ChunkStoreError) {
            if try StateDirectory(directory: directory).isOurs() { return try recoverModel(id) }
        } catch {
            guard case .corrupt = error else { throw error }
            logger.error("model is made anew", metadata: ["path": "\(directory)", "error": "\(error)"])
        }
        try remove(directory)
        return nil
    }

    private func openModel(_ id: String, _ manifest: Manifest, fresh: Bool) throws(ChunkStoreError) -> CachedModel {
        let directory = "\(modelsPath)/\(id)"
        return try CachedModel(
            id: id, directory: directory, manifest: manifest, medium: try Medium.of(directory, preference: options.preference),
            visibility: visibility, bootID: bootID, fresh: fresh, logger: logger)
    }

    private func recoverModel(_ id: String) throws(ChunkStoreError) -> CachedModel {
        let directory = "\(modelsPath)/\(id)"
        let manifest = try StateDirectory(directory: directory).readManifest()
        if manifest.identity.directoryName != id { throw .corrupt(path: directory, why: "its manifest is another model's") }
        return try openModel(id, manifest, fresh: false)
    }

    /// Errors: `.notOurs`, `.io`.
    func remove(_ directory: String) throws(ChunkStoreError) {
        try OwnedDirectory.remove(directory, in: modelsPath)
    }

    /// At the start: takes up every model that is there and clears what earlier starts left half done.
    func recover() throws(ChunkStoreError) {
        let names: [String]
        do { names = try FileManager.default.contentsOfDirectory(atPath: modelsPath) } catch {
            throw .io(operation: "list", path: modelsPath, errno: EIO)
        }
        for name in names.sorted() {
            let directory = "\(modelsPath)/\(name)"
            do throws(ChunkStoreError) {
                if name.hasPrefix(OwnedDirectory.asidePrefix) {
                    try OwnedDirectory.delete(name, in: modelsPath)
                } else if try StateDirectory(directory: directory).isOurs() {
                    let model = try recoverModel(name)
                    state.withLock { $0.models[name] = model }
                } else {
                    // A mount that went with its namespace leaves an empty directory, a crash half a one.
                    try remove(directory)
                }
            } catch .notOurs {
                logger.warning("left alone: not made by the cache", metadata: ["path": "\(directory)"])
            } catch {
                logger.error("model cannot be recovered", metadata: ["path": "\(directory)", "error": "\(error)"])
                // Only what can never be read again goes; a full medium or too few descriptors may be better next time.
                if case .corrupt = error { discard(directory) }
            }
        }
    }

    private func discard(_ directory: String) {
        do { try remove(directory) } catch {
            logger.error("damaged model cannot be removed", metadata: ["path": "\(directory)", "error": "\(error)"])
        }
    }
}
