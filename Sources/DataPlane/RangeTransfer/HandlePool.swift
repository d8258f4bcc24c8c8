import CurlShim

/// A worker's easy handles, each with its source address for life. Of one thread.
struct HandlePool {
    struct Entry {
        let handle: UnsafeMutableRawPointer
        /// Index into the source addresses.
        let source: Int
    }

    let sources: SourceAddresses
    private var idle: [[UnsafeMutableRawPointer]]
    private var active: [Int]

    init(_ sources: SourceAddresses) {
        self.sources = sources
        self.idle = Array(repeating: [], count: sources.addresses.count)
        self.active = Array(repeating: 0, count: sources.addresses.count)
    }

    /// A handle for a transfer of so many bytes, or nil without memory. `give` takes it back.
    mutating func take(for bytes: UInt64) -> Entry? {
        let source = sources.deal(bytes, own: active)
        guard let handle = idle[source].popLast() ?? curl_easy_init() else {
            sources.end(source)
            return nil
        }
        active[source] += 1
        return Entry(handle: handle, source: source)
    }

    mutating func give(_ entry: Entry) {
        precondition(active[entry.source] > 0, "a handle is given back once")
        active[entry.source] -= 1
        sources.end(entry.source)
        idle[entry.source].append(entry.handle)
    }

    /// Frees the idle handles.
    mutating func drain() {
        for source in idle.indices {
            for handle in idle[source] { curl_easy_cleanup(handle) }
            idle[source] = []
        }
    }
}
