// agent/access/access_point.h: the HTTPS endpoint, put together: certificate, gate, reviews.
#ifndef PARTYWALL_AGENT_ACCESS_ACCESS_POINT_H
#define PARTYWALL_AGENT_ACCESS_ACCESS_POINT_H

#include <memory>
#include <string>

#include "agent/access/gate.h"
#include "agent/access/https_server.h"
#include "agent/access/reviewer.h"
#include "agent/observe/loop.h"
#include "agent/observe/self_metrics.h"
#include "agent/source/kubernetes/kube_config.h"
#include "maps/result.h"

namespace partywall::access {

class AccessPoint {
 public:
  struct Options {
    std::string address;      // "192.0.2.1:9724", "*:9724"
    std::string certificate;  // files; both "" = one is made, signed by itself
    std::string key;
    std::string node;  // the name in a certificate that is made
  };

  // Answers from the next turn of the loop on. `metrics` and what `pages` reads outlive it.
  // Fails when the address cannot be had or the files not be used.
  static Result<std::unique_ptr<AccessPoint>> open(observe::Loop& loop, const Options& options,
                                                   kubernetes::ApiAccess access,
                                                   observe::SelfMetrics& metrics, Pages pages);

 private:
  AccessPoint() = default;

  // In this order: the server goes first, and then nobody waits for an answer.
  std::unique_ptr<Reviewer> reviewer_;
  std::unique_ptr<Gate> gate_;
  std::unique_ptr<HttpsServer> server_;
};

}  // namespace partywall::access

#endif
