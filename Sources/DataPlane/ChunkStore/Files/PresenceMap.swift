internal import AgentWire
internal import Glibc
internal import LinuxShim

/// Where the sections of a presence file lie (agent_wire.h): header, `visible`, `received`, checksums.
struct PresenceLayout {
    let chunkCount: UInt64
    let visibleOffset: UInt64
    let receivedOffset: UInt64
    let checksumOffset: UInt64
    let bytes: UInt64

    init(chunkCount: UInt64) {
        self.chunkCount = chunkCount
        let words = (chunkCount + 63) / 64
        let bitmap = (words * 8 + 63) / 64 * 64
        visibleOffset = UInt64(MC_PRESENCE_HEADER_BYTES)
        receivedOffset = visibleOffset + bitmap
        checksumOffset = receivedOffset + bitmap
        bytes = checksumOffset + chunkCount * 8
    }

    var words: Int { Int((chunkCount + 63) / 64) }
}

/// A presence file, mapped. Bits, checksums, state and epoch are read and written here alone.
///
/// `@unchecked Sendable`: after init the mapping's address never changes until deinit, every word that changes is
/// accessed atomically, and `message` is written only under `CachedFile`'s lock, before the state or epoch that
/// announces it.
final class PresenceMap: @unchecked Sendable {
    let layout: PresenceLayout
    private let base: UnsafeMutableRawPointer
    private let visible: UnsafeMutablePointer<UInt64>
    private let received: UnsafeMutablePointer<UInt64>
    private let checksums: UnsafeMutablePointer<UInt64>
    private let stateWord: UnsafeMutablePointer<UInt32>
    private let sequenceWord: UnsafeMutablePointer<UInt32>
    private let epochWord: UnsafeMutablePointer<UInt32>
    private let recordWord: UnsafeMutablePointer<UInt32>
    private let beatWord: UnsafeMutablePointer<UInt64>

    /// The required value of every field of the header that never changes.
    struct Fixed {
        var index: UInt32
        var fileBytes: UInt64
        var chunkBytes: UInt64
        /// Identity of the file, 16 bytes.
        var generation: [UInt8]
        var replacedInSet: UInt64
        /// In version 1 the whole manifest's generation stood for that of the file: a file that bears it is taken over.
        var manifestGeneration: [UInt8]

        var layout: PresenceLayout {
            PresenceLayout(chunkCount: (fileBytes + chunkBytes - 1) / chunkBytes)
        }
    }

    /// Makes a fresh file at `temporary` and renames it to `path`, so that nobody sees half a header. It is written
    /// through the mapping: on a tmpfs with huge=always a write(2) would cost 2 MiB.
    static func create(at path: InnerPath, temporary: InnerPath, fixed: Fixed, inode: UInt64) throws(ChunkStoreError)
        -> PresenceMap
    {
        // Left by a crash.
        _ = temporary.unlink()
        let fd = temporary.create(mode: 0o644)
        if fd < 0 { throw .from(Int(fd), "create", "\(temporary)") }
        defer { close(fd) }
        let layout = fixed.layout
        if fchmod(fd, 0o644) != 0 || ftruncate(fd, Int(layout.bytes)) != 0 {
            throw .from(Int(-errno), "set the size of", "\(temporary)")
        }
        let map = try PresenceMap(descriptor: fd, path: "\(temporary)", layout: layout)
        map.writeHeader(fixed, inode)
        let renamed = temporary.rename(to: path)
        if renamed < 0 { throw .from(Int(renamed), "rename to", "\(path)") }
        return map
    }

    /// nil: there is none, or it is not the presence file of this object and generation.
    static func open(at path: InnerPath, fixed: Fixed) throws(ChunkStoreError) -> PresenceMap? {
        let fd = path.open(writing: true)
        if fd == -ENOENT || fd == -ELOOP { return nil }
        if fd < 0 { throw .from(Int(fd), "open", "\(path)") }
        defer { close(fd) }
        var status = mc_stat()
        let layout = fixed.layout
        let known = mc_stat_descriptor(fd, &status)
        if known < 0 { throw .from(Int(known), "look at", "\(path)") }
        guard status.bytes == layout.bytes else { return nil }
        let map = try PresenceMap(descriptor: fd, path: "\(path)", layout: layout)
        map.takeOver(fixed)
        return map.headerMatches(fixed) ? map : nil
    }

    private init(descriptor: Int32, path: String, layout: PresenceLayout) throws(ChunkStoreError) {
        var error: Int32 = 0
        guard let base = mc_map_shared(descriptor, Int(layout.bytes), &error) else {
            throw .from(Int(error), "map", path)
        }
        // A full medium is an error now, not a SIGBUS at the first bit.
        let populated = mc_populate_shared(descriptor, base, Int(layout.bytes))
        if populated < 0 {
            mc_unmap(base, Int(layout.bytes))
            throw .from(Int(populated), "reserve", path)
        }
        self.layout = layout
        self.base = base
        func words(_ offset: UInt64) -> UnsafeMutablePointer<UInt64> {
            (base + Int(offset)).assumingMemoryBound(to: UInt64.self)
        }
        visible = words(layout.visibleOffset)
        received = words(layout.receivedOffset)
        checksums = words(layout.checksumOffset)
        func field<T>(_ path: KeyPath<mc_presence_header, T>, as type: T.Type) -> UnsafeMutablePointer<T> {
            guard let offset = MemoryLayout<mc_presence_header>.offset(of: path) else {
                preconditionFailure("a C struct's field has an offset")
            }
            return (base + offset).assumingMemoryBound(to: T.self)
        }
        stateWord = field(\.state, as: UInt32.self)
        sequenceWord = field(\.sequence, as: UInt32.self)
        epochWord = field(\.epoch, as: UInt32.self)
        recordWord = field(\.record, as: UInt32.self)
        beatWord = field(\.owner_beat, as: UInt64.self)
    }

    deinit { mc_unmap(base, Int(layout.bytes)) }

    private var header: UnsafeMutablePointer<mc_presence_header> {
        base.assumingMemoryBound(to: mc_presence_header.self)
    }

    private func writeHeader(_ fixed: Fixed, _ inode: UInt64) {
        var h = mc_presence_header()
        h.magic = MC_PRESENCE_MAGIC
        h.version = MC_PRESENCE_VERSION
        h.file_index = fixed.index
        h.file_bytes = fixed.fileBytes
        h.chunk_bytes = fixed.chunkBytes
        h.chunk_count = layout.chunkCount
        h.state = UInt32(MC_FILE_FILLING.rawValue)
        h.epoch = 1
        h.visible_offset = layout.visibleOffset
        h.received_offset = layout.receivedOffset
        h.checksum_offset = layout.checksumOffset
        withUnsafeMutableBytes(of: &h.generation) { $0.copyBytes(from: fixed.generation) }
        h.replaced_in_set = fixed.replacedInSet
        h.data_inode = inode
        header.pointee = h
    }

    /// A file of version 1 becomes one of this version, its chunks kept. The version last: a crash leaves a file of
    /// version 1 whose generation is the new one, which is taken over as well.
    private func takeOver(_ fixed: Fixed) {
        var former = fixed
        former.generation = fixed.manifestGeneration
        guard headerMatches(former, version: 1) || headerMatches(fixed, version: 1) else { return }
        withUnsafeMutableBytes(of: &header.pointee.generation) { $0.copyBytes(from: fixed.generation) }
        header.pointee.version = MC_PRESENCE_VERSION
    }

    private func headerMatches(_ fixed: Fixed, version: UInt32 = MC_PRESENCE_VERSION) -> Bool {
        let h = header.pointee
        let sameGeneration = withUnsafeBytes(of: h.generation) { $0.elementsEqual(fixed.generation) }
        return h.magic == MC_PRESENCE_MAGIC && h.version == version && h.file_index == fixed.index
            && h.file_bytes == fixed.fileBytes && h.chunk_bytes == fixed.chunkBytes
            && h.chunk_count == layout.chunkCount
            && h.visible_offset == layout.visibleOffset && h.received_offset == layout.receivedOffset
            && h.checksum_offset == layout.checksumOffset && h.epoch >= 1 && sameGeneration
            && h.replaced_in_set == fixed.replacedInSet
    }

    /// The data file that the map describes from now on: a directory that was copied has others, and every chunk is
    /// checked.
    func describe(inode: UInt64) {
        if header.pointee.data_inode != inode { header.pointee.data_inode = inode }
    }

    // MARK: Record of publication

    /// How a complete file was found to be; what it says holds for the chunks' present checksums.
    enum Record: UInt32 {
        case nothing = 0
        case verified = 1
        case unverifiable = 2
    }

    /// Written under `CachedFile`'s lock, or before anybody else has the file. Any thread may read it.
    var record: Record {
        get { Record(rawValue: mc_atomic_load_u32(recordWord)) ?? .nothing }
        set { mc_atomic_store_u32(recordWord, newValue.rawValue) }
    }

    /// Modification and change time of the data file when it got its plain name; nil: not recorded.
    var publishedTimes: (modified: UInt64, changed: UInt64)? {
        get {
            let times = (header.pointee.published_modified, header.pointee.published_changed)
            return times.1 == 0 ? nil : times
        }
        set {
            header.pointee.published_modified = newValue?.modified ?? 0
            header.pointee.published_changed = newValue?.changed ?? 0
        }
    }

    // MARK: Bits

    func isReceived(_ chunk: Int) -> Bool { mc_atomic_load_u64(received + word(of: chunk)) & bit(chunk) != 0 }
    func isVisible(_ chunk: Int) -> Bool { mc_atomic_load_u64(visible + word(of: chunk)) & bit(chunk) != 0 }
    func setReceived(_ chunk: Int) { _ = mc_atomic_or_u64(received + word(of: chunk), bit(chunk)) }
    func setVisible(_ chunk: Int) { _ = mc_atomic_or_u64(visible + word(of: chunk), bit(chunk)) }
    func clearReceived(_ chunk: Int) { _ = mc_atomic_and_u64(received + word(of: chunk), ~bit(chunk)) }
    func clearVisible(_ chunk: Int) { _ = mc_atomic_and_u64(visible + word(of: chunk), ~bit(chunk)) }

    private func word(of chunk: Int) -> Int {
        precondition(chunk >= 0 && chunk < Int(layout.chunkCount), "the bits beyond are another section's")
        return chunk / 64
    }
    private func bit(_ chunk: Int) -> UInt64 { 1 << UInt64(chunk % 64) }

    /// Bits of the word that stand for chunks.
    private func mask(_ word: Int) -> UInt64 {
        precondition(word >= 0 && word < layout.words, "a word of bits beyond the last chunk's")
        let rest = Int(layout.chunkCount) - word * 64
        return rest >= 64 ? .max : (1 << UInt64(rest)) - 1
    }

    func receivedWord(_ word: Int) -> UInt64 { mc_atomic_load_u64(received + word) & mask(word) }
    func showAllReceived() { for w in 0..<layout.words { mc_atomic_store_u64(visible + w, receivedWord(w)) } }
    func hideAll() { for w in 0..<layout.words { mc_atomic_store_u64(visible + w, 0) } }
    func forgetAll() { for w in 0..<layout.words { mc_atomic_store_u64(received + w, 0) } }
    /// Drops bits beyond the last chunk, should a damaged file have some.
    func trim() { for w in 0..<layout.words { mc_atomic_store_u64(received + w, receivedWord(w)) } }
    var receivedCount: Int { (0..<layout.words).reduce(0) { $0 + receivedWord($1).nonzeroBitCount } }

    func checksum(_ chunk: Int) -> UInt64 {
        precondition(chunk >= 0 && chunk < Int(layout.chunkCount), "a chunk beyond the file has no checksum")
        return mc_atomic_load_u64(checksums + chunk)
    }
    /// Before the bit that says that the chunk is here (``setReceived(_:)``).
    func setChecksum(_ chunk: Int, _ value: UInt64) {
        precondition(chunk >= 0 && chunk < Int(layout.chunkCount), "a chunk beyond the file has no checksum")
        mc_atomic_store_u64(checksums + chunk, value)
    }

    // MARK: State

    var state: FileState {
        get { FileState(rawValue: mc_atomic_load_u32(stateWord)) ?? .failed }
        set { mc_atomic_store_u32(stateWord, newValue.rawValue) }
    }
    var epoch: UInt32 { mc_atomic_load_u32(epochWord) }
    func nextEpoch() { _ = mc_atomic_add_u32(epochWord, 1) }

    /// Tells every waiting reader to look again.
    func announce() {
        _ = mc_atomic_add_u32(sequenceWord, 1)
        mc_futex_wake_all(sequenceWord)
    }

    func beat() { mc_atomic_store_u64(beatWord, mc_boottime_nanoseconds() / 1_000_000_000) }

    var message: String {
        withUnsafeBytes(of: &header.pointee.message) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
    }

    /// One line, cut to fit with its NUL.
    func setMessage(_ text: String) {
        let line = text.utf8.map { $0 < 32 ? UInt8(ascii: " ") : $0 }
        withUnsafeMutableBytes(of: &header.pointee.message) { field in
            // At a character's start: the byte at the cut must not be a continuation.
            var end = min(line.count, field.count - 1)
            while end < line.count && end > 0 && line[end] & 0xC0 == 0x80 { end -= 1 }
            for i in 0..<field.count { field[i] = i < end ? line[i] : 0 }
        }
    }
}
