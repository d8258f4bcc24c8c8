"""What the system tests and the benches share: processes, the store emulator, the agent, a shaped link."""
