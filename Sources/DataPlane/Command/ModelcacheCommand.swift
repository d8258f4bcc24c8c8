// Command: the program `modelcache`: the agent, the mounter, and the verbs for people and Jobs.
//
// - `ModelcacheCommand` lists the verbs. Verbs/ has a file for each.
// - `AgentLauncher` finds the agent of this environment, or starts one that ends when no client needs it.
// - `SourceOptions`, `StoreOptions` and `AgentLocationOptions` are the flags that verbs share.
// - `RunModels` are the models of `modelcache run`.
// - Doctor/: `MachineChecks` and `StoreChecks` make each `Finding` of `modelcache doctor`.
// - Terminal/: `Table`, `ProgressLine` and `RepeatedView` write for people and, as JSON, for programs.
// Invariants:
// - No secret has a flag: every user of the machine can read arguments.
// - An error is one line on standard error. The exit code says whether the work failed (1), no agent or store can be
//   reached (69), or a setting is wrong (78).
// - An agent that is started here inherits neither the keys nor the LD_PRELOAD of its starter.
// Left to others: what an agent is and does (Agent), packets to it (Sessions), the page of `ui` (NodePage,
// StatusPage), the store's client (ObjectStore).

import AgentAPI
import ArgumentParser
import TextCoding

@main
struct ModelcacheCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "modelcache",
        abstract: "Starts large-model servers while their weights still arrive from object storage.",
        discussion: """
            The source and its credentials come from the environment: OSS_PATH, OSS_ENDPOINT, OSS_REGION, \
            OSS_ACCESS_KEY_ID, OSS_ACCESS_KEY_SECRET, OSS_SESSION_TOKEN. Where a flag, a variable and \
            /etc/oss-connector/config.json name the same setting, the flag wins, then the variable.

            EXAMPLES
              modelcache run --source oss://models/qwen/ -- llama-server -m {}/qwen.gguf
              modelcache warm --source oss://models/qwen/
              modelcache status --watch
              modelcache ui
              modelcache doctor
            """,
        version: Release.version,
        subcommands: [
            AgentVerb.self, MounterVerb.self, RunVerb.self, WarmVerb.self, StatusVerb.self, SwarmVerb.self,
            UIVerb.self, EvictVerb.self, ListVerb.self, DoctorVerb.self, EngineBenchVerb.self,
        ])

    static func main() async {
        await main(BooleanWords.switches.rewritten(Array(CommandLine.arguments.dropFirst())))
    }
}
