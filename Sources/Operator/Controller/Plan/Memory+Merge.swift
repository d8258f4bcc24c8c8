/// Plans, orders to agents, looks at pods and the status's writer write to one ``Memory``, some at the same time. Each
/// writes its facts alone; a fact is a field, or one entry of a table.
extension Memory {
    /// Takes over what a plan changed of the memory `base` that it was made from.
    ///
    /// A fact that somebody else has changed since stays as it is: the plan did not know that. The next plan sees it.
    public mutating func take(_ planned: Memory, madeFrom base: Memory) {
        for fact in Self.facts { fact.take(&self, planned, base) }
    }

    /// A field of ``Memory``, and how a plan's change of it is taken over.
    struct Fact: Sendable {
        let name: String
        let take: @Sendable (_ current: inout Memory, _ planned: Memory, _ base: Memory) -> Void

        static func field<Value: Equatable & Sendable>(
            _ name: String, _ path: any WritableKeyPath<Memory, Value> & Sendable
        ) -> Fact {
            Fact(name: name) { current, planned, base in
                guard planned[keyPath: path] != base[keyPath: path], current[keyPath: path] == base[keyPath: path]
                else { return }
                current[keyPath: path] = planned[keyPath: path]
            }
        }

        static func table<Value: Equatable & Sendable>(
            _ name: String, _ path: any WritableKeyPath<Memory, [String: Value]> & Sendable
        ) -> Fact {
            Fact(name: name) { current, planned, base in
                let (before, after) = (base[keyPath: path], planned[keyPath: path])
                // Mostly: the whole table at once.
                guard before != after else { return }
                for key in Set(before.keys).union(after.keys) where before[key] != after[key] {
                    guard current[keyPath: path][key] == before[key] else { continue }
                    current[keyPath: path][key] = after[key]
                }
            }
        }
    }

    static let facts: [Fact] = [
        .table("sent", \.sent), .table("refusals", \.refusals), .table("examinations", \.examinations),
        .table("stalls", \.stalls), .table("toldPods", \.toldPods), .table("triedPods", \.triedPods),
        .field("claimDeletion", \.claimDeletion), .field("refusedWrites", \.refusedWrites),
        .field("sourceKnownSince", \.sourceKnownSince), .field("rolledOut", \.rolledOut),
        .field("failedWrites", \.failedWrites), .field("nodesFailSince", \.nodesFailSince),
        .table("questioned", \.questioned), .field("announced", \.announced),
        .field("statusWrittenAt", \.statusWrittenAt), .field("statusHeldSince", \.statusHeldSince),
        .field("holders", \.holders), .field("refresh", \.refresh), .field("deletionSeenAt", \.deletionSeenAt),
        .table("evictionAsked", \.evictionAsked), .table("evictionRefused", \.evictionRefused),
    ]

    /// The fields that ``take(_:madeFrom:)`` knows.
    package static var mergedFields: [String] { facts.map(\.name) }
}
