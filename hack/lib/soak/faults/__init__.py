"""The faults and changes of a soak, by lane."""
from soak.faults import changes, control_plane, disks, kills, links, stores

FAULTS = (*kills.FAULTS, *control_plane.FAULTS, *links.FAULTS, *stores.FAULTS, *disks.FAULTS)
CHANGES = changes.CHANGES
EVERY = (*FAULTS, *CHANGES)
