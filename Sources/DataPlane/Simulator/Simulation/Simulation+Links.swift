import SwarmPlan

// How bytes move through uplinks, racks and downlinks.

extension Simulation {
    mutating func addFlow(source: Int, destination: Int, planner: Int, block: Int, fetch: SwarmFetch, urgent: Bool)
        -> Int
    {
        let flow = Flow(
            source: Int32(source), destination: Int32(destination), planner: Int32(planner), block: Int32(block),
            fetch: fetch, urgent: urgent)
        // Numbers are not reused, because events may still name them. A flow is 48 bytes.
        let index = flows.count
        flows.append(flow)
        nodes[destination].incoming.append(Int32(index))
        return index
    }

    /// Segments of a block that a node has and may send.
    private func available(_ flow: Flow) -> UInt8 {
        let full = UInt8(parameters.segments)
        guard flow.source >= 0 else { return full }
        let source = Int(flow.source)
        guard let planner = plannerOf(node: source, model: Int(plannerModel[Int(flow.planner)])) else { return 0 }
        if planners[planner].holds(Int(flow.block)) { return full }
        var most: UInt8 = 0
        for index in nodes[source].incoming {
            let other = flows[Int(index)]
            if other.block == flow.block, other.planner == Int32(planner), !other.isOver {
                most = max(most, other.delivered)
            }
        }
        return most
    }

    mutating func requested(_ index: Int) {
        guard !flows[index].isOver else { return }
        let flow = flows[index]
        guard flow.source >= 0 else {
            flows[index].isServed = true
            makeReady(index)
            return
        }
        let source = Int(flow.source)
        guard reaches(source, Int(flow.destination)),
            let planner = plannerOf(node: source, model: Int(plannerModel[Int(flow.planner)]))
        else {
            // A dead process refuses at once; over a cut link nothing comes back.
            if !isPartitioned || !nodes[source].isAlive {
                queue.schedule(.refused, at: now + parameters.latency, 0, index)
            }
            return
        }
        flows[index].isQueued = true
        let begun = nodes[source].queue.arrived(Int32(index), block: Int(flow.block), urgent: flow.urgent)
        serve(begun)
        tellLoad(of: source)
        let isArriving = nodes[source].incoming.contains {
            flows[Int($0)].block == flow.block && flows[Int($0)].planner == Int32(planner)
        }
        if !planners[planner].holds(Int(flow.block)), !isArriving {
            tell(planner, .wanted(block: Int(flow.block), by: SwarmPeer(Int(flow.destination))))
        }
    }

    mutating func serve(_ begun: [Int32]) {
        for index in begun {
            flows[Int(index)].isServed = true
            changed(Int(index), .sending)
            makeReady(Int(index))
        }
    }

    /// A flow is being sent from now on, or no more.
    private mutating func changed(_ index: Int, _ change: SwarmUpload) {
        guard flows[index].source >= 0, flows[index].isSending != (change == .sending) else { return }
        flows[index].isSending = change == .sending
        uploadNews.append((Int32(index), change))
    }

    /// The sources' planners hear of their uploads' changes.
    mutating func tellUploads() {
        guard !uploadNews.isEmpty else { return }
        for (index, change) in uploadNews {
            let flow = flows[Int(index)]
            let model = Int(plannerModel[Int(flow.planner)])
            guard let planner = plannerOf(node: Int(flow.source), model: model) else { continue }
            tell(planner, .upload(change, to: SwarmPeer(Int(flow.destination)), block: Int(flow.block)))
        }
        uploadNews.removeAll(keepingCapacity: true)
    }

    mutating func refused(_ index: Int) {
        guard !flows[index].isOver else { return }
        let flow = flows[index]
        end(index)
        if nodes[Int(flow.destination)].isAlive { tell(Int(flow.planner), .failed(flow.fetch, .broken)) }
    }

    /// Queues a flow at its sender if it has a segment to send.
    func canSend(_ flow: Flow) -> Bool {
        flow.isServed && !flow.isReady && !flow.isOver && flow.sent < UInt8(parameters.segments)
            && flow.sent - flow.delivered < window && flow.sent < available(flow)
    }

    mutating func makeReady(_ index: Int) {
        guard canSend(flows[index]) else {
            // A relay that waits for bytes gives up its slot.
            let flow = flows[index]
            if flow.source >= 0, flow.isServed, !flow.isReady, !flow.isOver, flow.sent < UInt8(parameters.segments),
                flow.sent >= available(flow)
            {
                changed(index, .resting)
                serve(nodes[Int(flow.source)].queue.pause(Int32(index)))
            }
            return
        }
        if flows[index].source >= 0 {
            nodes[Int(flows[index].source)].queue.resume(Int32(index))
            changed(index, .sending)
        }
        flows[index].isReady = true
        let source = Int(flows[index].source)
        if source < 0 {
            storeReady.append(Int32(index))
            if !storeSending { sendNext(from: -1) }
        } else {
            nodes[source].ready.append(Int32(index))
            if !nodes[source].isSending { sendNext(from: source) }
        }
    }

    private mutating func popReady(from source: Int) -> Int? {
        (source < 0 ? storeReady.popFirst() : nodes[source].ready.popFirst()).map { Int($0) }
    }

    private mutating func sendNext(from source: Int) {
        if source >= 0, nodes[source].isStalled || !nodes[source].isAlive { return }
        while let index = popReady(from: source) {
            flows[index].isReady = false
            if flows[index].isOver {
                continue
            }
            if source >= 0, !reaches(source, Int(flows[index].destination)) { continue }
            let segmentBytes = Double(parameters.blockBytes) / Double(parameters.segments)
            var seconds: Double
            if source < 0 {
                storeSending = true
                seconds = segmentBytes / storeRate
            } else {
                nodes[source].isSending = true
                seconds = (segmentBytes + Double(nodes[source].debt)) / nodes[source].up
                nodes[source].debt = 0
            }
            flows[index].sent += 1
            queue.schedule(.sent, at: now + UInt64(seconds * 1e9), source, index)
            return
        }
    }

    mutating func sent(by source: Int, flow index: Int) {
        let flow = flows[index]
        let destination = Int(flow.destination)
        let segmentBytes = Double(parameters.blockBytes) / Double(parameters.segments)
        if source < 0 { storeSending = false } else { nodes[source].isSending = false }
        let arrives = source < 0 ? nodes[destination].isAlive : reaches(source, destination)
        if arrives {
            var time = now + (source < 0 ? 0 : parameters.latency)
            if !rackUp.isEmpty {
                let segment = UInt64(segmentBytes / rackRate * 1e9)
                let from = source < 0 ? -1 : nodes[source].rack
                let to = nodes[destination].rack
                if from != to {
                    if from >= 0 { rackUp[from] = max(rackUp[from] + segment, time); time = rackUp[from] }
                    rackDown[to] = max(rackDown[to] + segment, time)
                    time = rackDown[to]
                    report.rackBytes += segmentBytes
                }
            }
            let rate = source < 0 ? storeRate : nodes[source].up
            let began = time - min(time, UInt64(segmentBytes / rate * 1e9))
            let through = max(nodes[destination].downFree, began) + UInt64(segmentBytes / nodes[destination].down * 1e9)
            time = max(time, through)
            nodes[destination].downFree = through
            if source < 0 {
                report.storeBytes += segmentBytes
                report.storeEnd = Double(now) / 1e9
            } else {
                report.peerBytes += segmentBytes
            }
            queue.schedule(.delivered, at: time, 0, index)
        }
        makeReady(index)
        if source < 0 ? !storeSending : !nodes[source].isSending { sendNext(from: source) }
    }

    mutating func delivered(_ index: Int) {
        flows[index].delivered += 1
        let flow = flows[index]
        if flow.isOver { return }
        let destination = Int(flow.destination)
        guard nodes[destination].isAlive else { return }
        let planner = Int(flow.planner)
        if Int(flow.delivered) == parameters.segments {
            // The flows that this one feeds see a complete block from now on.
            end(index)
            tell(planner, .received(flow.fetch))
        } else {
            makeReady(index)
            tell(planner, .progress(flow.fetch, bytes: parameters.blockBytes / parameters.segments))
        }
        passOn(block: flow.block, at: destination, planner: planner)
        if Int(flow.delivered) == parameters.segments { read(planner) }
    }

    /// Continues the uploads that waited for a segment of this block.
    private mutating func passOn(block: Int32, at node: Int, planner: Int) {
        guard nodes[node].queue.load > 0 else { return }
        for index in outgoing(of: node, block: block, planner: planner) { makeReady(Int(index)) }
    }

    /// Flows in which `node` serves the block, from its list of uploads.
    private func outgoing(of node: Int, block: Int32, planner: Int) -> [Int32] {
        let model = plannerModel[planner]
        return nodes[node].queue.current.filter {
            flows[Int($0)].block == block && plannerModel[Int(flows[Int($0)].planner)] == model
        }
    }

    // MARK: Ends

    /// Removes a flow from both ends.
    mutating func end(_ index: Int) {
        guard !flows[index].isOver else { return }
        flows[index].isOver = true
        let flow = flows[index]
        let destination = Int(flow.destination)
        if Int(flow.delivered) < parameters.segments {
            report.wastedBytes += Double(flow.sent) * Double(parameters.blockBytes) / Double(parameters.segments)
        }
        if let place = nodes[destination].incoming.firstIndex(of: Int32(index)) {
            nodes[destination].incoming.swapAt(place, nodes[destination].incoming.count - 1)
            nodes[destination].incoming.removeLast()
        }
        breakRelays(of: flow)
        changed(index, Int(flow.delivered) == parameters.segments ? .sent : .resting)
        if flow.source >= 0, flow.isQueued {
            let source = Int(flow.source)
            let before = nodes[source].queue.load
            let begun = nodes[source].queue.ended(Int32(index))
            serve(begun)
            if nodes[source].isAlive, nodes[source].queue.load != before { tellLoad(of: source) }
        }
    }

    /// A transfer that ends without its block also ends the relays that it fed.
    private mutating func breakRelays(of flow: Flow) {
        let node = Int(flow.destination)
        guard Int(flow.delivered) < parameters.segments, nodes[node].isAlive,
            !planners[Int(flow.planner)].holds(Int(flow.block))
        else { return }
        for index in outgoing(of: node, block: flow.block, planner: Int(flow.planner)) where flows[Int(index)].sent > 0
        {
            queue.schedule(.refused, at: now + parameters.latency, 0, Int(index))
        }
    }

    /// The models share the uplink, so all planners of a node hear of its load.
    private mutating func tellLoad(of node: Int) {
        for planner in nodes[node].planners { tell(planner, .uploads(nodes[node].queue.load)) }
    }

    /// The node dies: its flows break at the other ends.
    mutating func kill(_ node: Int) {
        guard nodes[node].isAlive else { return }
        nodes[node].isAlive = false
        nodes[node].died = now
        if nodes[node].finished == 0 { unfinished -= 1 }
        for index in nodes[node].incoming { end(Int(index)) }
        for index in nodes[node].queue.current + nodes[node].queue.waiting where !flows[Int(index)].isOver {
            queue.schedule(.refused, at: now + parameters.latency, 0, Int(index))
        }
        for other in nodes.indices where nodes[other].isAlive {
            for planner in nodes[other].planners where planners[planner].isNeighbour(SwarmPeer(node)) {
                queue.schedule(.disconnected, at: now + parameters.latency, planner, node)
            }
        }
    }
}
