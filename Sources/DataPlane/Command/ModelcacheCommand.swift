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
              modelcache doctor
            """,
        version: Release.version,
        subcommands: [
            AgentVerb.self, MounterVerb.self, RunVerb.self, WarmVerb.self, StatusVerb.self, SwarmVerb.self,
            EvictVerb.self, ListVerb.self, DoctorVerb.self, EngineBenchVerb.self,
        ])

    static func main() async {
        await main(BooleanWords.switches.rewritten(Array(CommandLine.arguments.dropFirst())))
    }
}
