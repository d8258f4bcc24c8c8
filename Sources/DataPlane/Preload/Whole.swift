import AgentWire
import PreloadShim

// A model of which every file has its own name, which the agent gives to whole and verified files alone, can be read without
// an agent.

private let maximumDepth = 64

/// The generation of the model in a ModelCache's volume; nil unless every file of it is whole.
func wholeGeneration(of volume: UnsafePointer<CChar>) -> (UInt64, UInt64)? {
    withPath { path in
        path.append(volume)
        let volumeLength = path.count
        path.append("/.partial")
        var found: (UInt64, UInt64)? = nil
        return everyFile(&path, volumeLength, 0, &found) ? found : nil
    }
}

/// Whether all files below `path`, in `.partial`, are published and of one generation.
private func everyFile(_ path: inout Text, _ volumeLength: Int, _ depth: Int, _ generation: inout (UInt64, UInt64)?) -> Bool {
    let list = ossc_open(-100, path.base, 0o2200000, 0)
    guard list >= 0, depth < maximumDepth else {
        if list >= 0 { _ = ossc_close(Int32(list)) }
        return false
    }
    defer { _ = ossc_close(Int32(list)) }
    let length = path.count
    return withUnsafeTemporaryAllocation(byteCount: 2048, alignment: 16) { buffer -> Bool in
        guard let base = buffer.baseAddress else { return false }
        while true {
            let n = ossc_getdents(Int32(list), base, 2048)
            guard n > 0 else { return n == 0 }
            var at = 0
            while at < n {
                let name = (base + at + 19).assumingMemoryBound(to: CChar.self)
                at += Int(base.load(fromByteOffset: at + 16, as: UInt16.self))
                if equal(name, ".") || equal(name, "..") { continue }
                path.append(slash)
                path.append(name)
                let entry = ossc_identify_path(path.base, 0)
                let isGood =
                    entry.error == 0
                    && (entry.mode & UInt32(OSSC_TYPE_MASK) == UInt32(OSSC_TYPE_DIRECTORY)
                        ? everyFile(&path, volumeLength, depth + 1, &generation)
                        : isPublished(path, volumeLength, entry, &generation))
                path.truncate(to: length)
                if !isGood { return false }
            }
        }
    }
}

/// Whether the file at `path` has its own name too, and is of the generation seen before.
private func isPublished(
    _ path: Text, _ volumeLength: Int, _ partial: ossc_identity, _ generation: inout (UInt64, UInt64)?
) -> Bool {
    let key = path.base + volumeLength + 10  // of "/.partial/"
    return withPath { other -> Bool in
        other.append(path.base, count: volumeLength)
        other.append(slash)
        other.append(key)
        let own = ossc_identify_path(other.base, 0)
        guard own.error == 0, own.inode == partial.inode, own.device == partial.device else { return false }
        other.truncate(to: volumeLength)
        other.append("/.presence/")
        other.append(key)
        guard let its = presenceGeneration(other.base) else { return false }
        if let generation { return generation.0 == its.0 && generation.1 == its.1 }
        generation = its
        return true
    }
}

private func presenceGeneration(_ path: UnsafePointer<CChar>) -> (UInt64, UInt64)? {
    let descriptor = ossc_open(-100, path, 0o2000000, 0)
    guard descriptor >= 0 else { return nil }
    defer { _ = ossc_close(Int32(descriptor)) }
    return withUnsafeTemporaryAllocation(byteCount: Int(MC_PRESENCE_HEADER_BYTES), alignment: 16) { buffer in
        guard let base = buffer.baseAddress, ossc_read(Int32(descriptor), base, Int(MC_PRESENCE_HEADER_BYTES)) == Int(MC_PRESENCE_HEADER_BYTES)
        else { return nil }
        let header = base.assumingMemoryBound(to: mc_presence_header.self)
        guard header.pointee.magic == MC_PRESENCE_MAGIC, header.pointee.version == MC_PRESENCE_VERSION,
            header.pointee.state == UInt32(MC_FILE_COMPLETE.rawValue)
        else { return nil }
        return withUnsafeBytes(of: header.pointee.generation) {
            ($0.loadUnaligned(as: UInt64.self), $0.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
        }
    }
}
