package import ChunkStore

/// Promises capacity to openings, so that no byte is promised twice.
///
/// A value. The registry tells what models hold now; the book adds what openings were promised and takes away what is
/// on its way out, for that has been promised to the one who asked for it.
package struct CapacityBook: Sendable {
    package init() {}

    package enum Holder: Hashable, Sendable {
        case opening(ModelName)
        /// An order for the cache of this uid is being carried out.
        case order(String)
    }

    /// Promised to an opening or order that has no files yet.
    package private(set) var reservations: [Holder: UInt64] = [:]

    package struct Grant: Equatable, Sendable {
        /// Must be evicted first.
        package var victims: [String]
        /// Are on their way out, and must be gone first.
        package var leaving: [String]

        package init(victims: [String], leaving: [String]) {
            self.victims = victims
            self.leaving = leaving
        }
    }

    /// Promises `bytes` to `holder`, beside all that cannot go.
    ///
    /// - Parameters:
    ///   - usages: of the other models and reservations of the same medium, those that leave among them.
    ///   - leaving: ids of `usages` that are being evicted.
    /// - Throws: `.capacity`; nothing is promised then, and nothing need be evicted.
    package mutating func reserve(
        _ bytes: UInt64, for holder: Holder, policy: EvictionPolicy, among usages: [ModelUsage], leaving: Set<String>
    ) throws(ChunkStoreError) -> Grant {
        precondition(reservations[holder] == nil, "an opening reserves once")
        let staying = usages.filter { !leaving.contains($0.id) }
        let victims = try policy.admit(bytes: bytes, among: staying)
        let held = usages.reduce(UInt64(0)) { $0 + $1.bytes }
        let fitsBesideAll = held <= policy.budgetBytes && bytes <= policy.budgetBytes - held
        reservations[holder] = bytes
        return Grant(victims: victims, leaving: fitsBesideAll ? [] : usages.map(\.id).filter(leaving.contains).sorted())
    }

    /// The opening has its files, which are counted by themselves from now on, or is over.
    package mutating func release(_ holder: Holder) { reservations[holder] = nil }

    /// Promises `bytes` that were found to fit beside all that cannot go.
    package mutating func promise(_ bytes: UInt64, to holder: Holder) { reservations[holder] = bytes }
}
