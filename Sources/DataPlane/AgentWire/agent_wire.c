#include "agent_wire.h"
