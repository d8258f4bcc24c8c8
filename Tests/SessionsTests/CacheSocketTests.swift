import Sessions
import Testing

@Suite struct CacheSocketTests {
    @Test func aVolumeIsFoundFromItsSocketAsTheClientSeesIt() {
        #expect(CacheSocket.volume(of: "/cache/.modelcache/agent.sock") == "/cache")
        #expect(CacheSocket.volume(of: "/run/modelcache/agent.sock") == nil)
        #expect(CacheSocket.volume(of: "/.modelcache/agent.sock") == nil)
    }
}
