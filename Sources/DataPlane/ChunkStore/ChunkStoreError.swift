internal import Glibc

/// The errors of the cache. `description` is one line: what is wrong, then the remedy.
public enum ChunkStoreError: Error, Hashable, Sendable, CustomStringConvertible {
    /// A key of the store that cannot become a path.
    case badKey(key: String, why: String)
    /// Two keys that cannot both be files.
    case keyCollision(key: String, with: String)
    /// Another process holds the root.
    case rootLocked(path: String, pid: Int32?)
    case rootNotWritable(path: String, why: String)
    /// The medium is full (ENOSPC, EDQUOT).
    case mediumFull(path: String)
    case io(operation: String, path: String, errno: Int32)
    /// A mounter without the right to mount.
    case mayNotMount(path: String)
    /// The process that mounts for this one does not respond.
    case mounterAway(socket: String, why: String)
    /// The mounter has mounted, but not for this process to see.
    case mountNotSeen(path: String)
    /// `EvictionPolicy.admit` found too little capacity.
    case capacity(CapacityShortfall)
    /// Something is in the way that the cache did not make.
    case notOurs(path: String)
    /// Something that the cache did not make has the name of a complete file.
    case nameTaken(path: String)
    case corrupt(path: String, why: String)
    /// Written by a later release of this program. It is not damaged: that release can go on with it.
    case newer(path: String, version: Int, known: Int)
    /// Bytes that were written cannot be read back.
    case unreadable(path: String, chunk: Int, why: String)
    case chunkReceived(key: String, chunk: Int)
    /// Another writer has the chunk.
    case chunkBusy(key: String, chunk: Int)
    case wrongLength(key: String, chunk: Int, expected: UInt64, got: UInt64)
    /// The file was invalidated, the model closed, or the writer failed before.
    case stale(key: String, chunk: Int)
    case notComplete(key: String, missingChunks: Int)

    public var description: String {
        switch self {
        case .badKey(let key, let why):
            "object key \"\(ChunkStoreError.printable(key))\" cannot be a file in the cache: \(why); "
                + "rename the object or leave it out of the prefix"
        case .keyCollision(let key, let other):
            "object keys \"\(ChunkStoreError.printable(other))\" and \"\(ChunkStoreError.printable(key))\" "
                + "cannot both be files; rename one of the objects"
        case .rootLocked(let path, let pid):
            "cache root \(path) is in use by another agent\(pid.map { " (pid \($0))" } ?? ""); "
                + "stop it, or set MODELCACHE_ROOT to another directory"
        case .rootNotWritable(let path, let why):
            "cache root \(path) cannot be used: \(why); set MODELCACHE_ROOT to a directory this user may write"
        case .mediumFull(let path):
            "no space left for \(path); free memory or disk, evict a model, or give the cache a larger budget"
        case .io(let operation, let path, let code):
            "\(operation) \(path): \(ChunkStoreError.text(code)); "
                + (code == EMFILE || code == ENFILE
                    ? "raise the agent's limit of open files" : "see the kernel log if this is a device error")
        case .mayNotMount(let path):
            "a mounter may not mount below \(path) here; run it as root, in a container with privileged: true"
        case .mounterAway(let socket, let why):
            "no mounter responds at \(socket): \(why); "
                + "start `modelcache mounter --socket \(socket)` as root, or see the log of the pod's container mounter"
        case .mountNotSeen(let path):
            "the mounter's tmpfs at \(path) does not show here; "
                + "give both containers the same folder, Bidirectional to the mounter's and HostToContainer to the agent's"
        case .capacity(let shortfall): shortfall.description
        case .notOurs(let path):
            "\(path) was not made by the cache and is left alone; "
                + "move it away or set MODELCACHE_ROOT to another directory"
        case .nameTaken(let path):
            "\(path) was not made by the cache, so the complete file cannot have that name; "
                + "move it away, and the agent publishes the file by itself"
        case .corrupt(let path, let why): "\(path): \(why); evict the model to fetch it again"
        case .unreadable(let path, let chunk, let why):
            "chunk \(chunk) of \(path) cannot be read: \(why); "
                + "see the kernel log, and move the cache to another medium if it says so of others"
        case .newer(let path, let version, let known):
            "\(path) is of version \(version), this program knows \(known): "
                + "update the agent, or open the model to fetch it again"
        case .chunkReceived(let key, let chunk): "chunk \(chunk) of \(key) is already there"
        case .chunkBusy(let key, let chunk): "chunk \(chunk) of \(key) is being written by another transfer"
        case .wrongLength(let key, let chunk, let expected, let got):
            "chunk \(chunk) of \(key) has \(expected) bytes, the store sent \(got); the transfer is tried again"
        case .stale(let key, let chunk): "chunk \(chunk) of \(key) is no longer wanted"
        case .notComplete(let key, let missing): "\(key) lacks \(missing) chunks"
        }
    }

    /// Control characters of an untrusted key must not reach a terminal or split a line.
    private static func printable(_ key: String) -> String {
        // C0, DEL and C1.
        let shown = key.unicodeScalars.prefix(300).map { $0.value < 32 || (127..<160).contains($0.value) ? "?" : $0 }
        return String(String.UnicodeScalarView(shown))
    }

    private static func text(_ code: Int32) -> String {
        strerror(code).map { String(cString: $0) } ?? "error \(code)"
    }

    /// From a negative result of the shim.
    static func from(_ result: Int, _ operation: String, _ path: String) -> ChunkStoreError {
        let code = Int32(-result)
        if code == ENOSPC || code == EDQUOT { return .mediumFull(path: path) }
        return .io(operation: operation, path: path, errno: code)
    }
}
