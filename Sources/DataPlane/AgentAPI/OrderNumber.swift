/// Tells which of two orders to one agent is the later, without comparing the clocks of two machines.
///
/// An order carries it in its query, which is signed. An agent carries out an order for a cache when its ``epoch`` is
/// the agent's own and its ``number`` is above that of the last order for that cache; the last one again is a retry. It
/// refuses any other with `Superseded` and says its epoch and its highest number, so that the sender of orders numbers
/// the next one rightly. An agent of an earlier release ignores the query.
public struct OrderNumber: Codable, Equatable, Hashable, Sendable {
    /// Random for each agent process; empty: not known yet.
    public var epoch: String
    public var number: Int64

    public init(epoch: String, number: Int64) {
        self.epoch = epoch
        self.number = number
    }

    /// Nil: the query has none.
    public init?(query: some StringProtocol) {
        var epoch: String?
        var number: Int64?
        for part in query.split(separator: "&") {
            if part.hasPrefix("epoch=") { epoch = String(part.dropFirst(6)) }
            if part.hasPrefix("order=") { number = Int64(part.dropFirst(6)) }
        }
        guard let epoch, let number, number > 0 else { return nil }
        self.init(epoch: epoch, number: number)
    }

    /// `epoch=<epoch>&order=<number>`
    public var query: String { "epoch=\(epoch)&order=\(number)" }
}

/// The numbers that one giver of orders has given, by node.
public struct OrderNumbers: Sendable {
    private var given: [String: OrderNumber] = [:]

    public init() {}

    /// For the next order to the agent of `node`.
    public mutating func next(for node: String) -> OrderNumber {
        var order = given[node] ?? OrderNumber(epoch: "", number: 0)
        // An agent may have said any number; one that said the highest refuses orders until it starts again.
        if order.number < .max { order.number += 1 }
        given[node] = order
        return order
    }

    /// The agent of `node` said what its epoch and highest number are.
    public mutating func learned(_ highest: OrderNumber, for node: String) {
        let before = given[node]
        let number = before?.epoch == highest.epoch ? max(before?.number ?? 0, highest.number) : highest.number
        given[node] = OrderNumber(epoch: highest.epoch, number: number)
    }

    /// The node has no agent any more.
    public mutating func forget(_ node: String) { given[node] = nil }
}
