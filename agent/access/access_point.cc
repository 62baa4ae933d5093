// agent/access/access_point.cc: hands requests from the server to the gate.
#include "agent/access/access_point.h"

namespace partywall::access {

Result<std::unique_ptr<AccessPoint>> AccessPoint::open(observe::Loop& loop,
                                                       const Options& options,
                                                       kubernetes::ApiAccess access,
                                                       observe::SelfMetrics& metrics,
                                                       Pages pages) {
  std::unique_ptr<AccessPoint> point(new AccessPoint);
  auto identity = options.certificate.empty()
                      ? TlsIdentity::self_signed(options.node)
                      : TlsIdentity::of_files(options.certificate, options.key);

  if (!identity) return std::move(identity.error()).within("serve https");

  auto reviewer = Reviewer::make(loop, std::move(access), metrics);

  if (!reviewer) return std::move(reviewer.error()).within("serve https");
  point->reviewer_ = std::move(*reviewer);
  point->gate_ = std::make_unique<Gate>(*point->reviewer_, metrics, std::move(pages));

  auto server =
      HttpsServer::start(loop, options.address, std::move(*identity), metrics,
                         [gate = point->gate_.get()](const Request& request, Answer answer) {
                           gate->handle(request, std::move(answer));
                         },
                         {});

  if (!server) return std::move(server.error());
  point->server_ = std::move(*server);
  return point;
}

}  // namespace partywall::access
