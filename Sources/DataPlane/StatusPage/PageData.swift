// StatusPage: the page of `modelcache ui` and `kubectl modelcache ui`.
//
// - `PageData` is what the page shows: the JSON of `/data.json` (docs/ui.md). Its numbers carry their texts, so the
//   page writes what the command prints.
// - `PageReading` is one look at the views, each seen or missing. `PageHistory` keeps of a missing view what was seen
//   last, and since when it is missing: a value. `PageFeed` looks when somebody asks, once for all who do.
// - `PageServer` listens on the loopback; `PageRule` decides about a request, `LoopbackUser` finds who sent it.
// - page.html is the page, `PageText` the same as a text in the program.
// Invariants: the page changes nothing and takes nothing from another host; it answers its own user and root alone.
// Left to others: looking (the commands), and the way from reports to the views (NodePage, ClusterPage).

/// All that the page shows at one moment.
public struct PageData: Encodable, Sendable, Equatable {
    public enum Kind: String, Encodable, Sendable {
        case node, cluster
    }

    /// How a state is coloured; its word stands beside the colour.
    public enum Tone: String, Encodable, Sendable {
        case good, busy, bad, idle
    }

    /// A number, and its text as the commands print it.
    public struct Amount: Encodable, Sendable, Equatable {
        public var value: Int64
        public var text: String

        public init(_ value: Int64, _ text: String) {
            self.value = value
            self.text = text
        }
    }

    public struct Model: Encodable, Sendable, Equatable {
        public var name: String
        public var source: String
        public var phase: String
        public var tone: Tone
        /// Nil: not known yet.
        public var size: Amount?
        public var present: Amount?
        public var percent: Int?
        /// Nil: nothing comes.
        public var rate: Amount?
        /// Seconds; nil: not known.
        public var remaining: Amount?
        /// `2/3`: nodes that are ready of those that should be; nil on a node.
        public var nodes: String?
        /// Programs that have it open; nil in a cluster.
        public var readers: Int?
        public var pinned: Bool
        public var fromStore: Amount
        public var fromNodes: Amount
        public var copied: Amount
        /// Lines: why it is not ready, and warnings.
        public var why: [String]

        public init(
            name: String, source: String, phase: String, tone: Tone, size: Amount? = nil, present: Amount? = nil,
            percent: Int? = nil, rate: Amount? = nil, remaining: Amount? = nil, nodes: String? = nil,
            readers: Int? = nil, pinned: Bool = false, fromStore: Amount, fromNodes: Amount, copied: Amount,
            why: [String] = []
        ) {
            self.name = name
            self.source = source
            self.phase = phase
            self.tone = tone
            self.size = size
            self.present = present
            self.percent = percent
            self.rate = rate
            self.remaining = remaining
            self.nodes = nodes
            self.readers = readers
            self.pinned = pinned
            self.fromStore = fromStore
            self.fromNodes = fromNodes
            self.copied = copied
            self.why = why
        }
    }

    public struct Medium: Encodable, Sendable, Equatable {
        /// `Memory` or `Disk`.
        public var name: String
        public var budget: Amount
        public var used: Amount
        /// Nil: the agent does not tell.
        public var free: Amount?

        public init(name: String, budget: Amount, used: Amount, free: Amount?) {
            self.name = name
            self.budget = budget
            self.used = used
            self.free = free
        }
    }

    public struct Copy: Encodable, Sendable, Equatable {
        public var model: String
        public var state: String
        public var tone: Tone
        public var percent: Int
        public var pinned: Bool
        public var readers: Int

        public init(model: String, state: String, tone: Tone, percent: Int, pinned: Bool, readers: Int) {
            self.model = model
            self.state = state
            self.tone = tone
            self.percent = percent
            self.pinned = pinned
            self.readers = readers
        }
    }

    public struct Node: Encodable, Sendable, Equatable {
        public var name: String
        /// Such as `Reachable`.
        public var agent: String
        public var tone: Tone
        public var message: String?
        public var media: [Medium]
        public var models: [Copy]

        public init(
            name: String, agent: String, tone: Tone, message: String? = nil, media: [Medium] = [], models: [Copy] = []
        ) {
            self.name = name
            self.agent = agent
            self.tone = tone
            self.message = message
            self.media = media
            self.models = models
        }
    }

    /// An end of a flow.
    public struct Place: Encodable, Sendable, Equatable {
        public enum Kind: String, Encodable, Sendable {
            case store, node
            /// Several nodes that are not told apart.
            case others
        }

        public var kind: Kind
        /// Empty: the store.
        public var name: String

        public init(_ kind: Kind, _ name: String = "") {
            self.kind = kind
            self.name = name
        }
    }

    public struct Flow: Encodable, Sendable, Equatable {
        public var from: Place
        public var to: Place
        public var model: String
        public var bytes: Amount
        /// Nil: nothing has come lately.
        public var rate: Amount?

        public init(from: Place, to: Place, model: String, bytes: Amount, rate: Amount? = nil) {
            self.from = from
            self.to = to
            self.model = model
            self.bytes = bytes
            self.rate = rate
        }
    }

    /// One phase of a start. Phases follow each other without gap.
    public struct Phase: Encodable, Sendable, Equatable {
        public var name: String
        /// Milliseconds.
        public var time: Amount
        public var goesOn: Bool

        public init(name: String, time: Amount, goesOn: Bool = false) {
            self.name = name
            self.time = time
            self.goesOn = goesOn
        }
    }

    public struct Start: Encodable, Sendable, Equatable {
        public var pod: String
        public var model: String
        public var node: String?
        /// Milliseconds, of all phases.
        public var total: Amount
        public var goesOn: Bool
        public var restarts: Int
        public var phases: [Phase]
        /// Lines: where the bytes came from, what the program waited for.
        public var notes: [String]

        public init(
            pod: String, model: String, node: String? = nil, total: Amount, goesOn: Bool, restarts: Int = 0,
            phases: [Phase], notes: [String] = []
        ) {
            self.pod = pod
            self.model = model
            self.node = node
            self.total = total
            self.goesOn = goesOn
            self.restarts = restarts
            self.phases = phases
            self.notes = notes
        }
    }

    /// A view that cannot be read.
    public struct Missing: Encodable, Sendable, Equatable {
        public var why: String
        /// Seconds since 1970.
        public var since: Int64
    }

    public struct View<Item: Encodable & Sendable & Equatable>: Encodable, Sendable, Equatable {
        /// While the view is missing: those that were seen last.
        public var items: [Item] = []
        /// Lines about the items.
        public var notes: [String] = []
        /// When the items were seen, in seconds since 1970; nil: never.
        public var seen: Int64?
        public var missing: Missing?

        public init(items: [Item] = [], notes: [String] = [], seen: Int64? = nil, missing: Missing? = nil) {
            self.items = items
            self.notes = notes
            self.seen = seen
            self.missing = missing
        }
    }

    /// Grows when a member goes or changes its meaning.
    public private(set) var version = 1
    public var kind: Kind
    /// The node, or the context and namespace.
    public var subject: String
    public var release: String
    /// When the page should ask again.
    public var pauseMilliseconds: Int
    /// Seconds since 1970.
    public var time: Int64
    public var models = View<Model>()
    public var nodes = View<Node>()
    public var flows = View<Flow>()
    public var starts = View<Start>()

    public init(kind: Kind, subject: String, release: String, pauseMilliseconds: Int = 1000, time: Int64 = 0) {
        self.kind = kind
        self.subject = subject
        self.release = release
        self.pauseMilliseconds = pauseMilliseconds
        self.time = time
    }
}
