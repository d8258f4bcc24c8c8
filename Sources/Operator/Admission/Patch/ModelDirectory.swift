/// Where a container finds the model, and what follows from it.
struct ModelDirectory: Hashable {
    /// Absolute, without `.`, `..`, doubled or trailing slashes.
    let path: String

    var library: String { "\(path)/.modelcache/lib/libossc_preload.so" }
    var socket: String { Self.socket(in: path) }

    static func socket(in directory: String) -> String { "\(directory)/.modelcache/agent.sock" }

    static func standard(for name: String) -> String { "/models/\(name)" }

    /// A unix socket's path has at most 107 bytes (unix(7)), and the socket lies in the directory.
    static let longestPath = 107 - socket(in: "").utf8.count

    /// Directories that a program needs as they are: the model would hide them.
    private static let system: Set<String> = [
        "/bin", "/boot", "/dev", "/etc", "/home", "/lib", "/lib64", "/opt", "/proc", "/root", "/run", "/sbin", "/sys",
        "/tmp", "/usr",
        "/usr/bin", "/usr/lib", "/usr/local", "/usr/sbin", "/var", "/var/run",
    ]
    /// The kernel's, and what Kubernetes mounts itself.
    private static let reserved = ["/dev/", "/proc/", "/sys/", "/run/secrets/", "/var/run/secrets/"]

    struct Problem: Error {
        /// The fault, to be put after the path.
        var text: String
    }

    /// - Throws: ``Problem`` for a path at which no model can be mounted or named in the environment.
    init(_ text: String) throws(Problem) {
        guard text.hasPrefix("/") else { throw Problem(text: "is not an absolute path; begin it with /") }
        let parts = text.split(separator: "/").filter { $0 != "." }
        guard !parts.contains("..") else { throw Problem(text: "has .. in it; write the path out") }
        let path = "/" + parts.joined(separator: "/")
        guard path != "/" else { throw Problem(text: "is the root directory; name a directory below it") }
        guard path.utf8.count <= Self.longestPath else {
            throw Problem(
                text:
                    "is longer than \(Self.longestPath) bytes, and a socket in it could not be reached; name a shorter one"
            )
        }
        // LD_PRELOAD is split at colons and spaces, a colon is not allowed in a mount's path, $(…) is a variable.
        guard path.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F && !":$\\\"'`,;".utf8.contains($0) }) else {
            throw Problem(text: "has a character that does not fit a mount or LD_PRELOAD; use letters, digits and -._/")
        }
        guard !Self.system.contains(path), !Self.reserved.contains(where: { (path + "/").hasPrefix($0) }) else {
            throw Problem(text: "belongs to the system; name another, such as /models/NAME")
        }
        self.path = path
    }

    /// Whether one is the other, or lies in it.
    func overlaps(_ other: ModelDirectory) -> Bool {
        path == other.path || path.hasPrefix(other.path + "/") || other.path.hasPrefix(path + "/")
    }

    /// A path as mounts are compared by.
    static func normalised(_ path: String) -> String {
        "/" + path.split(separator: "/").filter { $0 != "." }.joined(separator: "/")
    }
}
