import Controller
import Testing

@Suite struct WakeReasonTests {
    @Test func `Reasons that come before the turn are told together, each once`() {
        var pending = PendingReasons<String>()
        pending.add(.report, for: ["a", "b"])
        pending.add(.job, for: ["a"])
        pending.add(.report, for: ["a"])
        #expect(pending.take("a") == [.job, .report])
        #expect(pending.take("a").isEmpty, "the next turn has its own")
        #expect(pending.take("b") == [.report])
    }

    @Test func `A turn without a reason is one whose time has come`() {
        #expect(PendingReasons<String>.text([]) == "due")
        #expect(PendingReasons<String>.text([.edit, .node]) == "edit,node")
    }
}
