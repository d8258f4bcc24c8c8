/// Faults on request: the responses that fail, and how. A pure value; the HTTP side carries it out.
package struct FaultPlan: Sendable, Codable, Equatable {
    /// Seeds the probabilities, so that a run can be repeated.
    package var seed: UInt64?
    package var rules: [FaultRule]
    /// Bytes per second over all connections; 0 or absent: no cap.
    package var bandwidth: Double?
    /// Bytes per second for each connection.
    package var connectionBandwidth: Double?

    package init(
        seed: UInt64? = nil, rules: [FaultRule] = [], bandwidth: Double? = nil, connectionBandwidth: Double? = nil
    ) {
        self.seed = seed
        self.rules = rules
        self.bandwidth = bandwidth
        self.connectionBandwidth = connectionBandwidth
    }

    package init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: CodingKeys.self)
        seed = try values.decodeIfPresent(UInt64.self, forKey: .seed)
        rules = try values.decodeIfPresent([FaultRule].self, forKey: .rules) ?? []
        bandwidth = try values.decodeIfPresent(Double.self, forKey: .bandwidth)
        connectionBandwidth = try values.decodeIfPresent(Double.self, forKey: .connectionBandwidth)
    }

    /// Whether a rule holds responses back.
    package var holds: Bool { rules.contains { $0.action.held == true } }
}

/// One rule: every given condition must hold. The first matching rule that is not used up acts.
package struct FaultRule: Sendable, Codable, Equatable {
    package struct Match: Sendable, Codable, Equatable {
        /// Glob over the key: `*` any number of characters, `?` one character. Absent: any request, also a listing.
        package var key: String?
        package var bucket: String?
        package var method: String?
        /// `first-last`, inclusive object offsets that the response's bytes must overlap. `last` may be absent.
        package var range: String?
        /// `n`, `n-m` or `n-`: the number of the request among those that meet the other conditions, counted from 1.
        package var request: String?
        /// 0 to 1.
        package var probability: Double?
        /// Only requests with a Range header, or only those without.
        package var ranged: Bool?
        /// Only listings.
        package var listing: Bool?

        package init(
            key: String? = nil, method: String? = nil, range: String? = nil, request: String? = nil,
            probability: Double? = nil
        ) {
            self.key = key
            self.method = method
            self.range = range
            self.request = request
            self.probability = probability
        }
    }
    package var name: String?
    package var match: Match?
    package var action: FaultAction
    /// How many times the rule acts; absent: always.
    package var count: Int?

    package init(name: String? = nil, match: Match? = nil, action: FaultAction, count: Int? = nil) {
        self.name = name
        self.match = match
        self.action = action
        self.count = count
    }
}

/// The faults of a rule. Members combine: `{"delayMs": 200, "truncateAfter": 4096}`. Offsets named `After` count body
/// bytes of this response; `flipByte` counts from the object's start.
package struct FaultAction: Sendable, Codable, Equatable {
    /// Respond with this status and an error document instead.
    package var status: Int?
    /// The document's code; by default OSS's code for that status.
    package var code: String?
    /// `x-oss-qos-delay-time` in milliseconds; with a status, usually 503.
    package var qosDelayMs: Int?
    /// `Retry-After` in seconds.
    package var retryAfter: Int?
    /// Reset the connection (RST) after that many bytes.
    package var resetAfter: Int64?
    /// Send nothing more after that many bytes, for `stallSeconds` or for ever.
    package var stallAfter: Int64?
    package var stallSeconds: Double?
    /// Close the connection after that many bytes, though Content-Length is larger.
    package var truncateAfter: Int64?
    /// Content-Length is wrong by this many bytes.
    package var wrongLength: Int64?
    /// A ranged request gets 200 and the complete object.
    package var ok200: Bool?
    /// The Content-Range names other bytes than the body has.
    package var wrongContentRange: Bool?
    /// The byte at this object offset is inverted.
    package var flipByte: Int64?
    /// Another ETag, as for a replaced object. `If-Match` compares with it.
    package var changedETag: Bool?
    /// The content comes from this file instead.
    package var replaceWith: String?
    /// The request's token counts as expired.
    package var expireToken: Bool?
    /// The bytes per second of this response.
    package var bytesPerSecond: Double?
    /// Wait before the head of the response.
    package var delayMs: Double?
    /// Wait before the head of the response for as long as a rule of the plan holds: until another plan is set.
    package var held: Bool?
    /// Leave out the CRC-64 header, or send a wrong one.
    package var dropCRC: Bool?
    package var wrongCRC: Bool?

    package init() {}
}
