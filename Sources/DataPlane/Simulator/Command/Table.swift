import SwarmPlan
import SwarmSimulation

/// Reports as lines of text and as JSON.
enum Table {
    static let head =
        "scenario      nodes  average  bound  slowest  bound  direct  origin  control  requests  finished  died"
        + "  non-owner  waste  sim s   took"

    static func row(_ report: SimulationReport, _ took: Duration) -> String {
        let other = report.storeReads.filter { $0.key != .owner && $0.key != .ownerDead }.values.reduce(0, +)
        let columns = [
            pad(report.parameters.scenario.rawValue, 13, left: false), pad("\(report.parameters.nodes)", 5),
            pad(fixed(report.average, 3), 8), pad(fixed(report.averageBound, 3), 6),
            pad(fixed(report.slowest, 3), 8), pad(fixed(report.slowestBound, 3), 6),
            pad(fixed(report.slowestDirect, 1), 7), pad(fixed(report.originRatio, 3), 7),
            pad(fixed(report.controlShare * 100, 3) + "%", 8), pad(fixed(report.requestShare * 100, 3) + "%", 9),
            pad("\(report.slowdowns.count)/\(report.slowdowns.count + report.unfinished)", 9),
            pad("\(report.died)", 5), pad("\(other)", 10),
            pad(fixed(report.wastedBytes / max(1, report.storeBytes + report.peerBytes) * 100, 1) + "%", 6),
            pad(fixed(report.simulatedSeconds, 1), 6), pad(fixed(seconds(took), 2) + "s", 6),
        ]
        return columns.joined(separator: " ")
    }

    static func json(_ report: SimulationReport, _ took: Duration) -> String {
        let reads = SwarmStoreReason.allCases.map { "\"\($0.rawValue)\":\(report.storeReads[$0] ?? 0)" }.joined(
            separator: ",")
        let fields = [
            "\"scenario\":\"\(report.parameters.scenario.rawValue)\"", "\"nodes\":\(report.parameters.nodes)",
            "\"blocks\":\(report.parameters.blocks)", "\"seed\":\(report.parameters.seed)",
            "\"wireSeconds\":\(fixed(report.parameters.wireTime, 3))",
            "\"average\":\(number(report.average))", "\"slowest\":\(number(report.slowest))",
            "\"averageBound\":\(number(report.averageBound))", "\"bound\":\(number(report.slowestBound))",
            "\"averageExcess\":\(number(report.averageExcess))", "\"worstExcess\":\(number(report.worstExcess))",
            "\"averageDirect\":\(number(report.averageDirect))",
            "\"slowestDirect\":\(number(report.slowestDirect))",
            "\"slowerThanDirect\":\(report.slowerThanDirect)",
            "\"strategy\":\"\(report.parameters.strategy.rawValue)\"", "\"originRatio\":\(fixed(report.originRatio, 4))",
            "\"controlShare\":\(fixed(report.controlShare, 6))", "\"requestShare\":\(fixed(report.requestShare, 6))",
            "\"wastedShare\":\(fixed(report.wastedBytes / max(1, report.storeBytes + report.peerBytes), 4))",
            "\"finished\":\(report.slowdowns.count)", "\"unfinished\":\(report.unfinished)", "\"died\":\(report.died)",
            "\"storeReads\":{\(reads)}",
            "\"rackBytesRatio\":\(fixed(report.rackBytes / report.parameters.modelBytes, 3))",
            "\"storeEnd\":\(fixed(report.storeEnd / report.parameters.wireTime, 3))", "\"events\":\(report.events)",
            "\"plannerEvents\":\(report.plannerEvents)", "\"seconds\":\(fixed(seconds(took), 3))",
        ]
        return "{\(fields.joined(separator: ","))}"
    }

    private static func seconds(_ duration: Duration) -> Double {
        Double(duration.components.seconds) + Double(duration.components.attoseconds) / 1e18
    }

    private static func number(_ value: Double) -> String { value.isFinite ? fixed(value, 4) : "null" }

    private static func fixed(_ value: Double, _ digits: Int) -> String {
        guard value.isFinite else { return "-" }
        var scale = 1.0
        for _ in 0..<digits { scale *= 10 }
        let scaled = Int((value * scale).rounded())
        let fraction = String(scaled % Int(scale))
        return digits == 0
            ? "\(scaled)"
            : "\(scaled / Int(scale))." + String(repeating: "0", count: digits - fraction.count) + fraction
    }

    private static func pad(_ text: String, _ width: Int, left: Bool = true) -> String {
        let space = String(repeating: " ", count: max(0, width - text.count))
        return left ? space + text : text + space
    }
}
