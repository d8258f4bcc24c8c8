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
    private var handles: [Int]
    private var active: [Int]

    init(_ sources: SourceAddresses) {
        self.sources = sources
        self.idle = Array(repeating: [], count: sources.addresses.count)
        self.handles = Array(repeating: 0, count: sources.addresses.count)
        self.active = handles
    }

    /// A handle for a transfer, or nil without memory. `give` takes it back.
    mutating func take() -> Entry? {
        let choices = idle.indices.filter { !idle[$0].isEmpty }
        let source: Int
        let handle: UnsafeMutableRawPointer
        if !choices.isEmpty, case let chosen = sources.dealTransfer(own: active, among: choices),
            let last = idle[chosen].popLast()
        {
            (source, handle) = (chosen, last)
        } else {
            source = sources.dealHandle(own: handles)
            guard let made = curl_easy_init() else {
                sources.dropHandle(source)
                return nil
            }
            handles[source] += 1
            handle = made
        }
        active[source] += 1
        sources.begin(source)
        return Entry(handle: handle, source: source)
    }

    mutating func give(_ entry: Entry) {
        active[entry.source] -= 1
        sources.end(entry.source)
        idle[entry.source].append(entry.handle)
    }

    /// Frees the idle handles.
    mutating func drain() {
        for source in idle.indices {
            for handle in idle[source] {
                curl_easy_cleanup(handle)
                sources.dropHandle(source)
            }
            handles[source] -= idle[source].count
            idle[source] = []
        }
    }
}
