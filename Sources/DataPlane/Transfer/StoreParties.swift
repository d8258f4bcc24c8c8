package import ObjectStore

/// The parties as which a fill may read the store, one for each principal that opened the model. A pure value.
///
/// One party is in use, and the newest of the others is the next. A caller may list a source and yet have no right to
/// its objects: its client takes nobody's place, and serves where those before it are refused. Callers may have rights
/// to different objects: a file is asked for as the first party to which the store has not refused it.
///
/// Guarantees: a party whose keys the store refuses gives way to the next for good. An object that the store refuses is
/// asked for once as each party before its file fails. At most ``most`` are kept; the one in use always is.
package struct StoreParties: Sendable {
    package struct Party: Sendable {
        /// Each source has another.
        package let number: Int
        package let source: any RangeSource
    }

    /// Different principals that load one model at a time; the next one drops the oldest that waits.
    package static let most = 8

    /// The first one is in use.
    private var parties: [Party] = []
    private var lastNumber = 0
    /// By the file: the parties to which the store refused it.
    private var refusals: [Int: Set<Int>] = [:]

    /// - Parameter source: nil: none.
    package init(_ source: (any RangeSource)?) { if let source { offer(source) } }

    /// Nil: the store is not to be asked.
    package var current: Party? { parties.first }

    /// The party as which the file is to be asked for; nil: the store is not to be asked.
    package func current(for file: Int) -> Party? { parties.first { mayRead($0, file) } ?? parties.first }
    package var count: Int { parties.count }

    private func mayRead(_ party: Party, _ file: Int) -> Bool { refusals[file]?.contains(party.number) != true }

    /// Another caller's source. A newer one of the same party takes the place of the former.
    package mutating func offer(_ source: any RangeSource) {
        lastNumber += 1
        let party = Party(number: lastNumber, source: source)
        if let known = parties.firstIndex(where: { source.isSameParty(as: $0.source) }) {
            parties[known] = party
        } else {
            parties.insert(party, at: min(1, parties.count))
            if parties.count > Self.most { parties.removeLast() }
        }
    }

    /// A request ended with this error.
    ///
    /// - Parameters:
    ///   - number: of the party as which it was sent.
    ///   - file: that it was for.
    /// - Returns: whether there is another party, as which it is to be sent again.
    package mutating func refused(_ number: Int, file: Int, _ error: StoreError) -> Bool {
        let concernsAll = FetchFault(error) == .lostSource
        guard concernsAll || error.kind == .accessDenied, !parties.isEmpty else { return false }
        guard let place = parties.firstIndex(where: { $0.number == number }) else {
            // It gave way while the request was under way.
            return concernsAll || parties.contains { mayRead($0, file) }
        }
        if concernsAll {
            if parties.count > 1 { parties.remove(at: place) }
            return parties[0].number != number
        }
        refusals[file, default: []].insert(number)
        guard let next = parties.firstIndex(where: { mayRead($0, file) }) else { return false }
        // The other files are asked for as this one too, until they are refused.
        parties.insert(parties.remove(at: next), at: 0)
        return true
    }

    /// Nobody's credentials are kept from now on.
    package mutating func forget() {
        parties = []
        refusals = [:]
    }
}
