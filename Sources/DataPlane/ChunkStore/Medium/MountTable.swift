internal import LinuxShim
internal import TextCoding

/// The mounts this process sees: /proc/self/mountinfo, proc_pid_mountinfo(5).
package struct MountTable: Sendable {
    package struct Entry: Sendable, Hashable {
        /// Of the mount, as in the `mnt_id` of proc_pid_fdinfo(5).
        package var id: UInt64
        /// The directory of the mounted file system that is mounted: "/" unless it is a bind mount.
        package var root: String
        package var point: String
        /// Such as "tmpfs".
        package var type: String
        package var source: String
        /// Of the file system, not of the mount: names a v1 cgroup's controllers.
        package var options: [Substring]

        /// A tmpfs with our source name.
        var isOurs: Bool { type == "tmpfs" && source == MC_MOUNT_SOURCE }
    }

    /// In the order of the mounts.
    package let entries: [Entry]

    package static func read(_ path: String = "/proc/self/mountinfo") -> MountTable? {
        KernelText.read(path).map { MountTable(text: $0) }
    }

    /// Lines of another form are left out.
    package init(text: String) {
        entries = text.split(separator: "\n").compactMap { line in
            let fields = line.split(separator: " ")
            // Optional fields end with "-".
            guard fields.count >= 10, let id = UInt64(fields[0]), let dash = fields[6...].firstIndex(of: "-"),
                fields.count >= dash + 4
            else { return nil }
            return Entry(
                id: id, root: MountTable.unescaped(fields[3]), point: MountTable.unescaped(fields[4]),
                type: String(fields[dash + 1]), source: MountTable.unescaped(fields[dash + 2]),
                options: fields[dash + 3].split(separator: ","))
        }
    }

    /// The mount that shows at an absolute path without symbolic links: of several the one mounted last.
    package func mount(at path: String) -> Entry? { entries.last { $0.point == path } }

    /// The mount that an open file or directory of this process lies in; nil without /proc.
    package func mount(of descriptor: Int32) -> Entry? {
        let id = KernelText.read("/proc/self/fdinfo/\(descriptor)").flatMap { KernelText.number("mnt_id", in: $0) }
        return id.flatMap { id in entries.first { $0.id == id } }
    }

    /// Space, tab, line feed and backslash stand as a backslash and three octal digits.
    private static func unescaped(_ field: Substring) -> String {
        var bytes: [UInt8] = []
        var rest = Array(field.utf8)[...]
        while let byte = rest.popFirst() {
            let digits = rest.prefix(3)
            if byte == UInt8(ascii: "\\"), digits.count == 3,
                let code = UInt8(String(decoding: digits, as: UTF8.self), radix: 8)
            {
                bytes.append(code)
                rest = rest.dropFirst(3)
            } else {
                bytes.append(byte)
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}
