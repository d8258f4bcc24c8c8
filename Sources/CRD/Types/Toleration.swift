/// A taint that warm-up pods and copies tolerate, as in core/v1.
///
/// https://kubernetes.io/docs/concepts/scheduling-eviction/taint-and-toleration/
public struct Toleration: Codable, Sendable, Equatable {
    public enum Operator: String, Codable, Sendable, CaseIterable {
        case exists = "Exists"
        case equal = "Equal"
    }

    public enum Effect: String, Codable, Sendable, CaseIterable {
        case noSchedule = "NoSchedule"
        case preferNoSchedule = "PreferNoSchedule"
        case noExecute = "NoExecute"
    }

    /// Nil with `Exists`: every taint.
    public var key: String?
    /// Nil: `Equal`.
    public var `operator`: Operator?
    public var value: String?
    /// Nil: every effect.
    public var effect: Effect?
    /// For `NoExecute`: how long the taint is tolerated; nil: for ever.
    public var tolerationSeconds: Int64?

    public init(
        key: String? = nil, operator: Operator? = nil, value: String? = nil, effect: Effect? = nil,
        tolerationSeconds: Int64? = nil
    ) {
        self.key = key
        self.operator = `operator`
        self.value = value
        self.effect = effect
        self.tolerationSeconds = tolerationSeconds
    }

    enum CodingKeys: String, CodingKey, CaseIterable {
        case key, `operator`, value, effect, tolerationSeconds
    }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        self.key = try container.decodeIfPresent(String.self, forKey: .key)
        self.operator = try container.decodeIfPresent(Operator.self, forKey: .operator)
        self.value = try container.decodeIfPresent(String.self, forKey: .value)
        // core/v1 writes "every effect" as an empty string too.
        let effect = try container.decodeIfPresent(String.self, forKey: .effect) ?? ""
        if effect.isEmpty {
            self.effect = nil
        } else {
            self.effect = try container.decode(Effect.self, forKey: .effect)
        }
        self.tolerationSeconds = try container.decodeIfPresent(Int64.self, forKey: .tolerationSeconds)
    }
}
