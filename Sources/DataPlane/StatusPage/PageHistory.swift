/// One look at all views.
public struct PageReading: Sendable, Equatable {
    public enum Look<Item: Encodable & Sendable & Equatable>: Sendable, Equatable {
        case seen([Item], notes: [String] = [])
        /// In words, without a full stop.
        case missing(String)
    }

    /// Nil: as before.
    public var subject: String?
    public var models: Look<PageData.Model>
    public var nodes: Look<PageData.Node>
    public var flows: Look<PageData.Flow>
    public var starts: Look<PageData.Start>

    public init(
        subject: String? = nil, models: Look<PageData.Model>, nodes: Look<PageData.Node>, flows: Look<PageData.Flow>,
        starts: Look<PageData.Start>
    ) {
        self.subject = subject
        self.models = models
        self.nodes = nodes
        self.flows = flows
        self.starts = starts
    }

    /// No view can be read.
    public init(missing why: String) {
        self.init(models: .missing(why), nodes: .missing(why), flows: .missing(why), starts: .missing(why))
    }
}

/// The views as they were seen last, and since when those are missing that cannot be read: a pure value.
package struct PageHistory: Sendable {
    package private(set) var data: PageData

    package init(_ data: PageData) { self.data = data }

    package mutating func take(_ reading: PageReading, at now: Int64) {
        data.time = now
        if let subject = reading.subject { data.subject = subject }
        Self.take(reading.models, at: now, into: &data.models)
        Self.take(reading.nodes, at: now, into: &data.nodes)
        Self.take(reading.flows, at: now, into: &data.flows)
        Self.take(reading.starts, at: now, into: &data.starts)
    }

    private static func take<Item>(_ look: PageReading.Look<Item>, at now: Int64, into view: inout PageData.View<Item>)
    {
        switch look {
        case .seen(let items, let notes):
            view = PageData.View(items: items, notes: notes, seen: now)
        case .missing(let why):
            view.missing = PageData.Missing(why: why, since: view.missing?.since ?? now)
        }
    }
}
