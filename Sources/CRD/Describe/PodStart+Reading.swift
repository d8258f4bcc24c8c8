extension PodStart {
    /// The phase in which the pod loads its model, cut by what the node's agent saw.
    ///
    /// **Guarantees.** Parts follow each other without gap or overlap: their sum is that of the phase, for any record.
    ///
    /// **Algorithm.** The phase's begin and the first opening have the node's clock, all else is relative to the
    /// opening. A moment outside the phase counts as its begin or its end, and one that lies before the one that
    /// precedes it as that one. The kubelet tells full seconds, so a part beside the phase's begin or end may be a
    /// second off. An untold first byte ends no part: its time is in ``Part/reading``.
    public struct Reading: Encodable, Sendable, Equatable {
        /// In the order of a start.
        public enum Part: String, Encodable, Sendable, CaseIterable {
            /// Until a process of the pod asks for the model: the program's own start, or images of init containers.
            case program
            /// Until the agent has answered: token keys, listing of the source, capacity.
            case opening
            /// Until the first bytes that the program waited for are there.
            case firstByte
            /// Until every byte of the model is there and verified.
            case reading
            /// With every byte there, until the phase ends.
            case finishing
        }

        public struct Share: Encodable, Sendable, Equatable {
            public var part: Part
            public var milliseconds: Int64
        }

        /// The phase that is cut.
        public var step: Step
        public var parts: [Share]
        public var totalBytes: Int64
        public var cacheBytes: Int64
        public var copiedBytes: Int64
        public var peerBytes: Int64
        public var storeBytes: Int64
        /// The time that the program waited, by cause.
        public var waitMilliseconds: [String: Int64]

        /// Nil: the record is of a container that ended before the phase began.
        ///
        /// - Parameters:
        ///   - begin: of the phase, in seconds since 1970.
        ///   - seconds: the phase's length.
        init?(_ record: PodReading, step: Step, begin: Int64, seconds: Int64) {
            // Saturating: the numbers come from another process.
            func plus(_ left: Int64, _ right: Int64) -> Int64 {
                let (sum, overflow) = left.addingReportingOverflow(right)
                return overflow ? (right > 0 ? .max : .min) : sum
            }
            let opened = plus(record.openedAt, -begin * 1000)
            if let ended = record.endedMilliseconds, plus(opened, ended) < 0 { return nil }
            self.step = step
            parts = []
            totalBytes = record.totalBytes
            cacheBytes = record.cacheBytes
            copiedBytes = record.copiedBytes
            peerBytes = record.peerBytes
            storeBytes = record.storeBytes
            waitMilliseconds = record.waitMilliseconds
            let span = seconds * 1000
            let ends: [(part: Part, end: Int64?)] = [
                (.program, 0), (.opening, record.answeredMilliseconds), (.firstByte, record.firstByteMilliseconds),
                (.reading, record.completeMilliseconds), (.finishing, .max),
            ]
            var last: Int64 = 0
            for (part, end) in ends {
                if part == .firstByte, end == nil { continue }
                let moment = min(span, max(last, end.map { plus(opened, $0) } ?? span))
                parts.append(Share(part: part, milliseconds: part == .finishing ? span - last : moment - last))
                last = moment
                // A part that goes on takes the rest of the phase.
                if end == nil { break }
            }
        }
    }

    /// Cuts the phase `step` by the record of the pod's agent; nothing where that phase has not begun.
    public mutating func cut(_ step: Step, by record: PodReading) {
        var begin = created
        for phase in phases {
            if phase.step == step {
                reading = Reading(record, step: step, begin: begin, seconds: phase.seconds)
                return
            }
            begin += phase.seconds
        }
    }
}
