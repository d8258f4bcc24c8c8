// KubectlPlugin: the program `kubectl-modelcache`, which people run as `kubectl modelcache`.
//
// - `KubectlModelCache` lists the verbs, each in a file *Command.swift. `ConnectionOptions` are kubectl's own flags.
// - `Following` gives ModelCaches and their changes.
// - `Observation` reads the objects that the verb `why` needs.
// - `OperatorReading` asks the operator that leads, through the API server's proxy; `StartsReading` reads pods' starts.
// - `ClusterReader` reads the views of `ui`.
// - `Terminal` and `LivePage` write.
// Invariants:
// - All is read with the caller's rights. If a right is missing, `why` names it and goes on with the rest.
// - Only two verbs change objects: `evict` sets an annotation of a ModelCache, `delete-all` removes ModelCaches and,
//   with --then-force, their volumes.
// - The values of a Secret are never shown.
// - Exit codes: 0 success, 1 not found, not allowed or not reachable, 64 wrong usage.
// Left to others: the texts (CRD), what an eviction does (Controller), the removal (ModelCacheClient), the
// page of `ui` (ClusterPage, StatusPage).

import AgentAPI
import ArgumentParser
import TextCoding

/// `kubectl modelcache …`: kubectl runs `kubectl-modelcache` from the PATH.
///
/// Exit codes: 0 success; 1 not found, not allowed or not reachable; 64 wrong usage.
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
              kubectl modelcache starts gemma                phases of its pods' starts
              kubectl modelcache evict gemma                 drop copies, fetch them again
              kubectl modelcache evict gemma --node node-1   drop that node's copy alone
              kubectl modelcache nodes                       bytes and models of each node
              kubectl modelcache ui                          all of it as a page, live
              kubectl modelcache delete-all -A               before ModelCache is removed
            """,
        version: Release.version,
        subcommands: [
            StatusCommand.self, WhyCommand.self, StartsCommand.self, EvictCommand.self, NodesCommand.self,
            UICommand.self, DeleteAllCommand.self, VersionCommand.self,
        ])

    static func main() async {
        await main(BooleanWords.switches.rewritten(Array(CommandLine.arguments.dropFirst())))
    }
}
