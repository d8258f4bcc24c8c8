import ArgumentParser

/// `kubectl modelcache …`: kubectl runs `kubectl-modelcache` from the PATH.
///
/// Exit codes: 0 said or done; 1 not found, not allowed or not reachable; 64 a wrong call.
@main
struct KubectlModelCache: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "kubectl modelcache",
        abstract: "Look at ModelCaches: how far they are, what they wait for.",
        discussion: """
            Examples:
              kubectl modelcache status                      all in the namespace
              kubectl modelcache status gemma --watch        a live bar for each node
              kubectl modelcache why gemma                   what it waits for, in words
              kubectl modelcache evict gemma --node node-1   drop that node's copy and fetch it again
            """,
        subcommands: [StatusCommand.self, WhyCommand.self, EvictCommand.self])
}
