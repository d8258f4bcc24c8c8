import SwarmPlan

// The nodes at the beginning, and the scenario's events.

extension Simulation {
    mutating func arrange() {
        let count = parameters.nodes
        let scenario = parameters.scenario
        models = scenario == .twoModels ? 2 : 1
        for index in 0..<(count + spare + (scenario == .seeder ? 1 : 0)) { nodes.append(node(index)) }
        if [.racks, .racksLate, .racksUntold].contains(scenario) {
            let racks = (nodes.count + 19) / 20
            rackUp = Array(repeating: 0, count: racks)
            rackDown = rackUp
            rackRate = parameters.link * 5
            for index in nodes.indices { nodes[index].rack = index / 20 }
        }
        let first = nodes.indices.filter { !joinsLater($0) && $0 < count } + (scenario == .seeder ? [count] : [])
        unfinished = first.count - (scenario == .seeder ? 1 : 0)
        alive = first
        for index in first { nodes[index].isAlive = true }
        refreshMembers()
        for index in first {
            let isSeeder = scenario == .seeder && index == count
            let at = isSeeder ? 1 : 1 + UInt64(random.below(Int(parameters.startSpread / 1000))) * 1000
            at_(at) { $0.start(index, isSeeder: isSeeder) }
        }
        if parameters.dumpAt > 0 { arrangeDump() }
        arrangeEvents()
    }

    /// Nodes beyond ``SimulationParameters/nodes``, which take the places of those that churn ends.
    private var spare: Int { parameters.scenario == .churn ? max(1, Int(parameters.wireTime * 0.6)) : 0 }

    private func joinsLater(_ index: Int) -> Bool {
        index >= (parameters.nodes + 1) / 2 && [.late, .racksLate, .joiners].contains(parameters.scenario)
    }

    private mutating func arrangeDump() {
        step(at: parameters.dumpAt) { simulation in
            for planner in simulation.planners.indices {
                let queue = simulation.nodes[Int(simulation.plannerNode[planner])].queue
                simulation.report.dump.append(
                    "\(planner): queue \(queue.load) serving \(queue.current.count) waiting \(queue.waiting.count) \(simulation.planners[planner].summary)"
                )
            }
        }
    }

    private mutating func arrangeEvents() {
        let count = parameters.nodes
        let wire = parameters.wireTime
        switch parameters.scenario {
        case .late, .racksLate:
            let joiners = nodes.indices.filter(joinsLater)
            unfinished += joiners.count
            step(at: wire * 0.5) { simulation in for index in joiners { simulation.join(index) } }
        case .joiners:
            let joiners = nodes.indices.filter(joinsLater)
            unfinished += joiners.count
            for (order, index) in joiners.enumerated() { step(at: Double(order + 1)) { $0.join(index) } }
        case .killThird:
            let victims = (0..<count).filter { $0 % 3 == 1 }
            step(at: wire * 0.5) { simulation in
                for index in victims { simulation.kill(index) }
                simulation.dropDead()
            }
        case .churn:
            for order in 0..<spare {
                step(at: wire * 0.2 + Double(order)) { simulation in
                    let living = simulation.alive.filter { simulation.nodes[$0].isAlive }
                    simulation.kill(living[simulation.random.below(living.count)])
                    simulation.unfinished += 1
                    simulation.join(count + order)
                    simulation.dropDead()
                }
            }
        case .stalledPeer:
            step(at: wire / 3) {
                $0.nodes[0].isStalled = true; $0.nodes[0].finished = $0.now; $0.unfinished -= 1
            }
        case .partition:
            for index in nodes.indices { nodes[index].side = UInt8(index % 2) }
            step(at: wire * Self.cutFrom) { $0.cut() }
            step(at: wire * Self.cutUntil) { $0.isPartitioned = false }
        case .throttled:
            step(at: wire * 0.3) { $0.setStoreRate($0.parameters.storeRate / 10) }
            step(at: wire * 0.5) { $0.setStoreRate($0.parameters.storeRate) }
        default: break
        }
    }

    private mutating func node(_ index: Int) -> SimulatedNode {
        var share = 1.0
        var up = 1.0
        switch parameters.scenario {
        case .mixed where index % 10 == 3: share = 0.1
        case .spread: share = [1, 0.5, 0.5, 0.25][index % 4]
        case .slowPeer where index == 0: up = 0.01
        default: break
        }
        var node = SimulatedNode(up: parameters.link * share * up, down: parameters.link * share)
        node.queue = UploadQueue(slots: parameters.uploadSlots)
        return node
    }

    /// The cut of ``Scenario/partition``, in wire times.
    static let cutFrom = 0.3
    static let cutUntil = 0.6

    private mutating func at_(_ time: UInt64, _ body: @escaping (inout Simulation) -> Void) {
        steps.append(body)
        queue.schedule(.step, at: time, steps.count - 1)
    }

    private mutating func step(at seconds: Double, _ body: @escaping (inout Simulation) -> Void) {
        at_(UInt64(seconds * 1e9), body)
    }

    private mutating func refreshMembers() {
        members = (0..<models).map { model in
            SwarmMembers(
                alive.map { index in
                    SwarmMember(
                        SwarmPeer(index), key: SwarmRandom.mix(UInt64(index) &+ parameters.seed &* 1_000_003),
                        zone: zone(of: index))
                },
                blockCount: parameters.blocks, model: SwarmRandom.mix(UInt64(model) &+ 99))
        }
    }

    private func zone(of index: Int) -> String {
        if parameters.scenario == .racks || parameters.scenario == .racksLate { return "rack-\(nodes[index].rack)" }
        return parameters.zones > 0 ? "zone-\(index % parameters.zones)" : ""
    }

    private mutating func start(_ index: Int, isSeeder: Bool) {
        guard nodes[index].isAlive else { return }
        nodes[index].started = now
        nodes[index].isSeeder = isSeeder
        if isSeeder { nodes[index].finished = now }
        for model in 0..<models {
            var configuration = SwarmPlannerConfiguration(
                me: SwarmPeer(index), blockCount: parameters.blocks, blockBytes: parameters.blockBytes,
                seed: SwarmRandom.mix(UInt64(index) &* 8 &+ UInt64(model) &+ parameters.seed &* 1_000_000_007))
            parameters.adjust(&configuration)
            let planner = planners.count
            planners.append(SimulatedPlanner(configuration, parameters.strategy))
            plannerNode.append(Int32(index))
            plannerModel.append(Int8(model))
            plannerTick.append(.max)
            nodes[index].planners.append(planner)
            if isSeeder { tell(planner, .held([0..<parameters.blocks])) }
            tell(planner, .start(members[model]))
            read(planner)
        }
    }

    /// The reader advances as far as blocks are there, and waits for the next one.
    mutating func read(_ planner: Int) {
        let ahead = parameters.readersAhead
        guard ahead > 0 else { return }
        let isApart = parameters.scenario == .readersApart && plannerNode[planner] % 5 == 0
        var next = planners[planner].firstMissingBlock(from: isApart ? parameters.blocks * 2 / 3 : 0)
        if isApart, next == parameters.blocks { next = planners[planner].firstMissingBlock() }
        if next < parameters.blocks { tell(planner, .demand([next..<min(next + ahead, parameters.blocks)])) }
    }

    mutating func join(_ index: Int) {
        nodes[index].isAlive = true
        alive.append(index)
        refreshMembers()
        start(index, isSeeder: false)
        tellMembers()
    }

    private mutating func tellMembers() {
        for planner in planners.indices where nodes[Int(plannerNode[planner])].isAlive {
            tell(planner, .members(members[Int(plannerModel[planner])]))
        }
    }

    /// The headless Service stops naming dead nodes after five seconds.
    mutating func dropDead() {
        step(at: Double(now) / 1e9 + 5) { simulation in
            simulation.alive.removeAll { !simulation.nodes[$0].isAlive }
            simulation.refreshMembers()
            simulation.tellMembers()
        }
    }

    private mutating func setStoreRate(_ rate: Double) {
        storeRate = rate
        storeRates.append((Double(now) / 1e9, rate))
    }

    private mutating func cut() {
        isPartitioned = true
    }
}
