internal import Foundation
internal import LinuxShim

/// The capabilities that a process of this program keeps.
package enum ProcessRights: Sendable {
    /// An agent with a mounter. A pod that may write to a cache can leave folders of any user and mode there: the agent
    /// deletes these too (CAP_DAC_OVERRIDE), also out of folders with the sticky bit (CAP_FOWNER).
    case agent
    /// A mounter: mount(2).
    case mounter

    private var kept: UInt64 {
        switch self {
        case .agent: MC_CAP_DAC_OVERRIDE | MC_CAP_FOWNER
        case .mounter: MC_CAP_SYS_ADMIN
        }
    }

    /// Gives up every other capability for good and sets no_new_privs, by starting the program anew with the same
    /// process ID, arguments and environment. Returns in the new program, or at once where nothing is to be given up:
    /// in the DaemonSet the container runtime has done it.
    ///
    /// - Throws: ``RightsRefused``.
    package func restrict() throws {
        var now = mc_rights()
        var result = mc_own_rights(&now)
        if result < 0 { throw RightsRefused(why: RightsRefused.text(result)) }
        let surplus = now.permitted & ~kept
        if surplus == 0 && now.no_new_privileges { return }
        // Without it a program of root would get its capabilities back, and this would never end.
        guard surplus == 0 || now.effective & MC_CAP_SETPCAP != 0 else {
            throw RightsRefused(why: "it has others and lacks CAP_SETPCAP, which giving them up needs")
        }
        let program = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
        result = mc_restart_with_rights(program, CommandLine.unsafeArgv, kept)
        throw RightsRefused(why: RightsRefused.text(result))
    }
}

/// Capabilities could not be given up.
package struct RightsRefused: Error, CustomStringConvertible {
    let why: String

    package var description: String {
        "this process cannot give up capabilities: \(why); start it with none but those that docs/security.md lists for it"
    }

    static func text(_ result: Int32) -> String { String(cString: strerror(-result)) }
}
