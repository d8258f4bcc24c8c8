import Controller
import Testing

/// The watches that have no list, as the log and the readiness probe tell them.
@Suite struct MissingListsTests {
    @Test func `The kinds without a list are named, with the last error`() {
        let lists: [MissingLists.Watched] = [
            .init(kind: "modelcaches", hasSynced: true, error: "cut"), .init(kind: "jobs", hasSynced: false),
            .init(kind: "resourcequotas", hasSynced: false, error: "forbidden"),
        ]
        #expect(MissingLists.kinds(of: lists) == ["jobs", "resourcequotas"])
        #expect(
            MissingLists.line(of: lists)
                == "nothing is planned before all watches have a list; missing: jobs, resourcequotas; "
                + "last error: forbidden")
        #expect(MissingLists.line(of: [lists[1]])?.hasSuffix("missing: jobs") == true)
    }

    @Test func `Nothing is told once all have one`() {
        #expect(MissingLists.line(of: [.init(kind: "jobs", hasSynced: true, error: "cut")]) == nil)
        #expect(MissingLists.kinds(of: []).isEmpty)
    }
}
