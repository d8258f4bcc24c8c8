/// One caller's use of an open model, from ``ModelRegistry/open(_:)`` until ``ModelRegistry/release(_:)``.
package struct ModelHold: Sendable {
    package let model: OpenModel
    let number: UInt64
    /// Nil: the caller is not known to be a pod.
    private(set) var reader: PodReader?

    init(model: OpenModel, number: UInt64) {
        self.model = model
        self.number = number
    }

    /// The pod's start is recorded until the hold is released.
    package func read(by reader: PodReader) -> ModelHold {
        var hold = self
        hold.reader = reader
        reader.reads(hold)
        return hold
    }

    /// Passes a wait of the caller on to the fill.
    ///
    /// - Returns: false: too many different demands of the model wait already.
    package func demand(file: UInt32, offset: UInt64, length: UInt64) -> Bool {
        reader?.awaits(file: file, offset: offset, length: length, hold: self)
        return model.demand(file: file, offset: offset, length: length)
    }
}
