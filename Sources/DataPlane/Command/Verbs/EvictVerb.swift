import Agent
import ArgumentParser
import Sessions

struct EvictVerb: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "evict",
        abstract: "Give up cached models.",
        usage: "modelcache evict <model> | --all [<options>]",
        discussion: """
            EXAMPLES
              modelcache evict qwen-0123456789abcdef
              modelcache evict --all
            """)

    @OptionGroup var place: AgentLocationOptions

    @Argument(help: "The model, as `modelcache status` names it.")
    var model: String?

    @Flag(help: "Every model that nobody uses and that is not pinned.")
    var all = false

    @Flag(help: "Models in use and pinned ones too. Readers keep the pages they have.")
    var force = false

    func validate() throws {
        guard (model == nil) == all else { throw ValidationError("name one model, or give --all") }
    }

    func run() throws {
        do {
            let client = try AgentClient(path: try place.location().socket)
            switch try client.control(.evict(model: model, force: force)) {
            case .evicted(let ids):
                if ids.isEmpty { print("nothing to evict") }
                for id in ids { print("evicted \(id)") }
            case .failed(let why): throw CommandFailure(why)
            case .status, .swarm, .starts, .pinned: break
            }
        } catch {
            fail(error)
        }
    }
}
