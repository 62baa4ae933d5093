// tools/probe/orders.h: takes orders out of a file, for a test that shares a folder with the
// pod and needs no network to talk to it.
#ifndef PARTYWALL_TOOLS_PROBE_ORDERS_H
#define PARTYWALL_TOOLS_PROBE_ORDERS_H

#include <string>

#include "tools/probe/servers.h"

namespace partywall::probe {

// Serves FOLDER/orders whenever its first line, a number, is a new one: every further line is
//   ID tcp|udp ADDRESS PORT            -> ID open NAME PEER | ID PROBLEM
//   ID raw|frame SOURCE ADDRESS PORT TEXT   -> ID sent | ID PROBLEM      (frame: through eth0)
//   ID seen TEXT                       -> ID yes | ID no
//   ID flow NAME tcp|udp|stream ADDRESS PORT PAUSE-MS   -> ID started
//   ID report NAME, ID end NAME        -> ID and what Flows::report says
// All of them at a time; then FOLDER/answers has the number and the lines, in this order. Until
// the process ends.
[[noreturn]] void take_orders(const std::string& folder, Servers& servers);

}  // namespace partywall::probe

#endif
