import AgentWire
import PreloadShim

// A model of which every file has its own name, which the agent gives to whole and verified files alone, can be read
// without an agent.

private let maximumDepth = 64

/// Whether every file of the model in a ModelCache's volume is complete and published; false for a volume without
/// files.
func isComplete(_ volume: UnsafePointer<CChar>) -> Bool {
    withPath { path in
        path.append(c: volume)
        let volumeLength = path.count
        path.append("/.partial")
        var count = 0
        return everyFile(&path, volumeLength, 0, &count) && count > 0
    }
}

/// Whether all files below `path`, in `.partial`, are published; counts them.
private func everyFile(_ path: inout Text, _ volumeLength: Int, _ depth: Int, _ count: inout Int) -> Bool {
    let list = ossc_open(-100, path.base, 0o2000000, 0)
    guard list >= 0, depth < maximumDepth else {
        if list >= 0 { _ = ossc_close(Int32(list)) }
        return false
    }
    defer { _ = ossc_close(Int32(list)) }
    let length = path.count
    return withBuffer { base -> Bool in
        while true {
            let n = ossc_getdents(Int32(list), base, bufferBytes)
            guard n > 0 else { return n == 0 }
            var at = 0
            while at < n {
                let name = (base + at + 19).assumingMemoryBound(to: CChar.self)
                at += Int(base.load(fromByteOffset: at + 16, as: UInt16.self))
                if equal(name, ".") || equal(name, "..") { continue }
                path.append(slash)
                path.append(c: name)
                let entry = ossc_identify_path(path.base, 0)
                let isGood =
                    entry.error == 0
                    && (entry.mode & UInt32(OSSC_TYPE_MASK) == UInt32(OSSC_TYPE_DIRECTORY)
                        ? everyFile(&path, volumeLength, depth + 1, &count) : isPublished(path, volumeLength, entry))
                if entry.mode & UInt32(OSSC_TYPE_MASK) != UInt32(OSSC_TYPE_DIRECTORY) { count += 1 }
                path.truncate(to: length)
                if !isGood { return false }
            }
        }
    }
}

/// Whether the file at `path` has its own name too, and its presence file says that it is complete.
private func isPublished(_ path: Text, _ volumeLength: Int, _ partial: ossc_identity) -> Bool {
    let key = path.base + volumeLength + 10  // of "/.partial/"
    return withPath { other -> Bool in
        other.append(path.base, count: volumeLength)
        other.append(slash)
        other.append(c: key)
        let own = ossc_identify_path(other.base, 0)
        guard own.error == 0, own.inode == partial.inode, own.device == partial.device else { return false }
        other.truncate(to: volumeLength)
        other.append("/.presence/")
        other.append(c: key)
        return saysComplete(other.base)
    }
}

private func saysComplete(_ path: UnsafePointer<CChar>) -> Bool {
    let descriptor = ossc_open(-100, path, 0o2000000, 0)
    guard descriptor >= 0 else { return false }
    defer { _ = ossc_close(Int32(descriptor)) }
    return withBuffer { base in
        guard ossc_read(Int32(descriptor), base, Int(MC_PRESENCE_HEADER_BYTES)) == Int(MC_PRESENCE_HEADER_BYTES) else {
            return false
        }
        let header = base.assumingMemoryBound(to: mc_presence_header.self)
        return header.pointee.magic == MC_PRESENCE_MAGIC && header.pointee.version == MC_PRESENCE_VERSION
            && header.pointee.state == UInt32(MC_FILE_COMPLETE.rawValue)
    }
}
