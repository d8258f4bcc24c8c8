/// How transfers are dealt over source addresses, so that each carries an equal share of the bytes.
///
/// - A transfer leaves from an address that has at most one transfer under way more than the address with the fewest,
///   so that all are at work: one whose path is slow or stuck does not hold up what the others could carry.
/// - The same goes for the transfers of its worker: it then needs few connections more than it has transfers, and
///   reuses those it has.
/// - Of those it gets the address that was dealt the fewest bytes over the life of the engine. Bytes, since ranges
///   differ in size by a factor of a hundred; those that a transfer asks for, as one that fails at once would else draw
///   all others to its address.
package struct AddressShares: Sendable {
    /// Transfers under way, by address.
    package private(set) var active: [Int]
    /// Bytes asked for.
    package private(set) var dealt: [UInt64]

    /// A request that asks for no range counts as so many bytes.
    private static let leastBytes: UInt64 = 4096

    package init(addresses: Int) {
        precondition(addresses > 0, "a transfer leaves from some address")
        active = Array(repeating: 0, count: addresses)
        dealt = Array(repeating: 0, count: addresses)
    }

    /// The address for a transfer of a worker that has `own` transfers of each.
    package mutating func deal(_ bytes: UInt64, own: [Int]) -> Int {
        precondition(own.count == active.count, "a worker counts its transfers of each address")
        let fewest = active.min() ?? 0
        let able = active.indices.filter { active[$0] <= fewest + 1 }
        let fewestOwn = able.map { own[$0] }.min() ?? 0
        let chosen =
            able.filter { own[$0] <= fewestOwn + 1 }
            .min { (dealt[$0], own[$0], $0) < (dealt[$1], own[$1], $1) } ?? 0
        active[chosen] += 1
        dealt[chosen] &+= max(bytes, Self.leastBytes)
        return chosen
    }

    package mutating func end(_ address: Int) {
        precondition(active[address] > 0, "a transfer ends once, and at the address that it was dealt")
        active[address] -= 1
    }
}
