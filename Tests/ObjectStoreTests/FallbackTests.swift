import Foundation
import Synchronization
import Testing

import ObjectStore
import RangeTransfer

/// An accelerator that is away: its region's own endpoint is read in its place.
@Suite struct FallbackTests {
    private static let start = ContinuousClock.now
    private static func at(_ seconds: Int) -> ContinuousClock.Instant { start + .seconds(seconds) }

    @Test func `the named endpoint is tried once a minute while it is away`() {
        var choice = EndpointChoice()
        #expect(choice.next(now: Self.at(0)) == .named && choice.reason == nil)
        let first = choice.failed("refused", now: Self.at(1))
        let second = choice.failed("refused", now: Self.at(2))
        #expect(first && !second, "said once")
        // A request from before the failure ends well: it says nothing of now.
        let late = choice.answered()
        #expect(!late && choice.next(now: Self.at(3)) == .fallback && choice.reason == "refused")
        #expect(choice.next(now: Self.at(62)) == .named)
        #expect(choice.next(now: Self.at(62)) == .fallback, "one request tries")
        // It was cancelled and tells nothing: another tries a minute later.
        #expect(choice.next(now: Self.at(123)) == .named)
        let again = choice.failed("refused", now: Self.at(124))
        #expect(!again && choice.next(now: Self.at(183)) == .fallback && choice.next(now: Self.at(184)) == .named)
        let back = choice.answered()
        #expect(back && choice.next(now: Self.at(185)) == .named && choice.reason == nil)
    }

    /// A proxy that answers for every host.
    private static func client(
        zone: String, _ handler: @escaping @Sendable (_ host: String, Responder.Request, Responder.Line) -> Bool
    ) throws -> (client: StoreClient, notices: Mutex<[String]>.Box) {
        let proxy = try Responder { request, line in
            let host = request.target.dropFirst("http://".count).prefix { $0 != "/" }
            return handler(String(host), request, line)
        }
        let engine = try TransferEngine(
            TransferEngineConfiguration(
                threads: 1, proxies: try ProxySettings(environment: ["HTTP_PROXY": proxy.endpoint]), connectTimeout: .seconds(5)))
        var configuration = try Fixture.client("http://\(zone)-internal.oss-data-acc.aliyuncs.com", engine: engine).configuration
        let notices = Mutex<[String]>.Box()
        configuration.notice = { notices.append($0) }
        return (StoreClient(configuration, engine: engine), notices)
    }

    private static let served = "bucket-x.oss-cn-test-internal.aliyuncs.com"

    /// What each zone's accelerator answers; each has a name of its own, since the process remembers who is away.
    @Test(arguments: [
        ("cn-test-a", Fixture.answer("502 Bad Gateway")), ("cn-test-b", Fixture.answer("404 Not Found", Fixture.xml("NoSuchBucket"))),
        ("cn-test-c", Fixture.answer("501 Not Implemented", Fixture.xml("NotImplemented"))),
        ("cn-test-d", Fixture.answer("403 Forbidden", Fixture.xml("AccessDenied", "The bucket you are attempting to access must be addressed using the specified endpoint."))),
    ])
    func `a bucket that an accelerator does not serve is read from its region`(zone: String, answer: String) async throws {
        let asked = Mutex<[String]>.Box()
        let (client, notices) = try Self.client(zone: zone) { host, request, line in
            asked.append(host)
            guard host == Self.served else {
                line.write(answer)
                return true
            }
            if request.target.contains("list-type") {
                line.write(Fixture.answer("200 OK", "<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>"))
            } else {
                line.write(Fixture.rightHead)
                line.write(Fixture.body)
            }
            return true
        }
        #expect(try await client.list().objects.isEmpty)
        #expect(await client.fetch().error == nil)
        #expect(await client.fetch().error == nil)
        #expect(asked.all == ["bucket-x.\(zone)-internal.oss-data-acc.aliyuncs.com"] + [String](repeating: Self.served, count: 3))
        #expect(notices.all.count == 1)
        #expect(notices.all.first?.contains("http://oss-cn-test-internal.aliyuncs.com is read in its place") == true)
        #expect(client.detour?.warning == notices.all.first)
    }

    @Test func `a range that meets the failure first may be tried again`() async throws {
        let (client, notices) = try Self.client(zone: "cn-test-e") { host, _, line in
            line.write(host == Self.served ? Fixture.rightHead : Fixture.answer("404 Not Found", Fixture.xml("NoSuchBucket")))
            if host == Self.served { line.write(Fixture.body) }
            return true
        }
        #expect(await client.fetch().error?.isRetryable == true)
        #expect(await client.fetch().error == nil)
        #expect(notices.all.count == 1)
    }

    @Test(arguments: [
        ("cn-test-f", "403 Forbidden", "AccessDenied", StoreError.Kind.accessDenied), ("cn-test-g", "404 Not Found", "NoSuchKey", .noSuchKey),
        ("cn-test-h", "503 Service Unavailable", "SlowDown", .throttled),
    ])
    func `an answer about an object or a rate is the accelerator's own`(zone: String, status: String, code: String, kind: StoreError.Kind) async throws {
        let (client, notices) = try Self.client(zone: zone) { _, _, line in
            line.write(Fixture.answer(status, Fixture.xml(code), headers: "x-oss-request-id: 1\r\n"))
            return true
        }
        #expect(await client.fetch().error?.kind == kind)
        #expect(notices.all.isEmpty && client.detour?.warning == nil)
    }
}
