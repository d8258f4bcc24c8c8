import PreloadShim

// The caches that this process may read: at most OSSC_CACHES, in a table that `start` fills and nothing changes. First
// MODEL_DIR's, where it is set; then one for each entry of MODELCACHE_MODELS:
//
//     DIR              a ModelCache's directory, with its agent's socket in it
//     DIR=URI          a source that the agent of MODELCACHE_ROOT reads for this program
//
// Line breaks or semicolons part the entries. Each cache has its own connection, deadlines and refusals, and none is
// asked for before the program touches its directory. All share one thread and one userfaultfd: a fault tells only an
// address, and the table of mappings leads from there to the file and its cache, so a second userfaultfd would say no
// more than the first and cost each process another descriptor and another poll entry for each model.

typealias Cache = UnsafeMutablePointer<ossc_cache>

/// Safe: written once by `start`.
nonisolated(unsafe) private var table: Cache? = nil
/// Safe: written once by `start`.
nonisolated(unsafe) private(set) var cacheCount = 0

/// The cache at `index`, below `cacheCount`.
func cache(at index: Int) -> Cache { table.unsafelyUnwrapped + index }

/// The first cache for which `holds` is true.
@inline(__always)
func firstCache(where holds: (Cache) -> Bool) -> Cache? {
    for index in 0..<cacheCount where holds(cache(at: index)) { return cache(at: index) }
    return nil
}

extension UnsafeMutablePointer<ossc_cache> {
    /// Set when the model is open.
    var directory: UnsafePointer<CChar>? { ossc_cache_directory(self) }
    /// The model's directory leads to the cache directory itself.
    var isModelDirectory: Bool { ossc_cache_is_model_directory(self) != 0 }
    var isOpen: Bool { ossc_cache_directory(self) != nil }
    var volume: UnsafePointer<CChar>? { pointee.volume }
    var socket: UnsafePointer<CChar> { pointee.socket.unsafelyUnwrapped }
    /// In a message: which of several models is meant; nil where there is one.
    var label: UnsafePointer<CChar>? { cacheCount > 1 ? pointee.model_directory : nil }
}

// MARK: Making the table

/// Reads MODEL_DIR and MODELCACHE_MODELS. A wrong one ends the program.
func makeCaches() {
    table = ossc_allocate(Int(OSSC_CACHES) * MemoryLayout<ossc_cache>.stride)?
        .assumingMemoryBound(to: ossc_cache.self)
    guard table != nil else { refuse("MODEL_DIR", "cannot be used: no memory; free some") }
    if environment("MODEL_DIR") != nil || environment("MODELCACHE_MODELS") == nil { addModelDirectory() }
    if let list = environment("MODELCACHE_MODELS") { addEntries(list) }
    checkOwnSettings()
    for index in 0..<cacheCount {
        checkSource(cache(at: index))
        rememberLink(cache(at: index))
    }
}

private func add(_ model: UnsafePointer<CChar>, socket: UnsafePointer<CChar>) -> Cache? {
    guard let keptModel = keep(model), let keptSocket = keep(socket) else { return nil }
    let added = cache(at: cacheCount)
    added.pointee.model_directory = keptModel
    added.pointee.socket = keptSocket
    added.pointee.index = UInt32(cacheCount)
    added.pointee.link = -1
    added.pointee.session = -1
    added.pointee.start_lock = -1
    chooseVolume(added)
    added.pointee.agent_deadline = agentDeadlineSetting ?? (added.volume == nil ? 30_000 : 60_000)
    cacheCount += 1
    return added
}

/// A ModelCache's socket lies in its volume, `<volume>/.modelcache/agent.sock`. The agent names the volume as the node
/// sees it; in a container it is mounted elsewhere, and there the socket was found.
private func chooseVolume(_ cache: Cache) {
    guard let end = endOfVolume(cache.socket) else { return }
    withPath { path in
        path.append(cache.socket, count: end)
        cache.pointee.volume = keep(path.base)
    }
}

/// Length of the volume's path where the socket is a ModelCache's own.
private func endOfVolume(_ socket: UnsafePointer<CChar>) -> Int? {
    let end = length(of: socket) - 23  // of "/.modelcache/agent.sock"
    guard socket[0] == slash, end > 0, equal(socket + end, "/.modelcache/agent.sock") else { return nil }
    return end
}

private func addModelDirectory() {
    guard let directory = environment("MODEL_DIR") else {
        refuse("MODEL_DIR", "is not set; set it to the directory where the program looks for the model")
    }
    guard directory[0] == slash else { refuse("MODEL_DIR", "is not an absolute path; begin it with /") }
    withPath { path in
        appendNormalised(directory, to: &path)
        guard path.count > 0, add(path.base, socket: socketPath) != nil else {
            refuse("MODEL_DIR", "is the root directory; name a directory below it")
        }
        if isNoDirectory(path.base) {
            refuse("MODEL_DIR", "exists and is not a directory; remove that file or name another directory")
        }
    }
}

private func isNoDirectory(_ path: UnsafePointer<CChar>) -> Bool {
    let found = ossc_identify_path(path, 1)
    return found.error == 0 && found.mode & UInt32(OSSC_TYPE_MASK) != UInt32(OSSC_TYPE_DIRECTORY)
}

private func isBlank(_ byte: CChar) -> Bool { byte == 32 || byte == 9 || byte == 13 }

private func addEntries(_ list: UnsafePointer<CChar>) {
    var at = 0
    var number: UInt32 = 0
    while list[at] != 0 {
        var end = at
        while list[end] != 0 && list[end] != 10 && list[end] != 0x3B { end += 1 }
        var first = at, last = end
        while first < last && isBlank(list[first]) { first += 1 }
        while first < last && isBlank(list[last - 1]) { last -= 1 }
        if first < last {
            number += 1
            withPath { entry in
                entry.append(list + first, count: last - first)
                addEntry(&entry, number)
            }
        }
        at = list[end] == 0 ? end : end + 1
    }
    if cacheCount == 0 { refuse("MODELCACHE_MODELS", "names no model; write DIR=URI, or unset it") }
}

private func addEntry(_ entry: inout Text, _ number: UInt32) {
    guard cacheCount < Int(OSSC_CACHES) else {
        refuse("MODELCACHE_MODELS", "names more models than 16, MODEL_DIR's included; start a program for the others")
    }
    var source: Int? = nil
    if let mark = find("://", in: entry.base) {
        var equals = mark
        while equals > 0 && entry.base[equals] != 0x3D { equals -= 1 }
        guard equals > 0 else { refuseEntry(entry, "names no directory; write DIR=URI") }
        entry.base[equals] = 0
        source = equals + 1
    }
    guard entry.base[0] == slash else { refuseEntry(entry, "does not begin with an absolute path; begin it with /") }
    withPath { path in
        appendNormalised(entry.base, to: &path)
        guard path.count > 0 else { refuseEntry(entry, "is the root directory; name a directory below it") }
        if firstCache(where: { overlap($0.pointee.model_directory, path.base) }) != nil {
            refuseEntry(entry, "is another model's directory, inside one or around one; give each its own")
        }
        if isNoDirectory(path.base) { refuseEntry(entry, "exists and is not a directory; name another one") }
        let added = withPath { socket in
            if source == nil {
                socket.append(c: path.base)
                socket.append("/.modelcache/agent.sock")
            } else if endOfVolume(socketPath) == nil {
                socket.append(c: socketPath)
            } else {
                socket.append(c: rootPath)
                socket.append("/agent.sock")
            }
            return add(path.base, socket: socket.base)
        }
        guard let added else { refuse("MODELCACHE_MODELS", "cannot be used: no memory; free some") }
        added.pointee.entry = number
        if let source { added.pointee.source = keep(entry.base + source) }
    }
}

/// Whether one path is the other, or lies below it.
private func overlap(_ one: UnsafePointer<CChar>, _ other: UnsafePointer<CChar>) -> Bool {
    var i = 0
    while one[i] != 0 && one[i] == other[i] { i += 1 }
    return (one[i] == 0 && (other[i] == 0 || other[i] == slash)) || (other[i] == 0 && one[i] == slash)
}

private func refuseEntry(_ entry: Text, _ message: StaticString) -> Never {
    report(nil) {
        $0.append("MODELCACHE_MODELS: ")
        $0.append(c: entry.base)
        $0.append(" ")
        $0.append(message)
    }
    ossc_exit(ExitStatus.configuration)
}
