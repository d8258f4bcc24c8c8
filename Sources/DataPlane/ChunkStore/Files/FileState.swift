/// `enum mc_file_state` of agent_wire.h.
public enum FileState: UInt32, Sendable {
    /// Chunks arrive.
    case filling = 0
    /// Every byte is present and the whole file is verified.
    case complete = 1
    /// Cannot be completed; `CachedFile.message` says why.
    case failed = 2
}

/// Whether chunks are shown as they come, or only with the whole verified file.
public enum VisibilityMode: String, Codable, Sendable { case streaming, strict }

/// The result of the check of a complete file.
public enum Verification: Sendable, Hashable {
    case verified
    /// The store offers nothing to check with: size and ETag only.
    case unverifiable
    /// One line.
    case mismatch(String)
}

/// The result of `CachedFile.complete`.
public enum Completion: Sendable, Hashable {
    /// Linked to its plain name.
    case published(Verification)
    /// First mismatch: a new epoch, all bits cleared; fill the file again.
    case refill(String)
    /// The bytes differ from an entity tag, which may be no checksum: fill the file once more. Readers go on.
    case doubted(String)
    /// Second mismatch.
    case failed(String)
}
